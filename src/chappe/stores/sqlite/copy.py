"""A copy of a SQLite file as it was at one moment, while others go on writing to it: what a backup is made of.

`stores/backup.py` makes one of each database. SQLite's own backup function copies page by page
(https://www.sqlite.org/backup.html); a read transaction around it keeps every page as it was when it began, so that
writers do not make it start again. They wait for nothing; their write-ahead log grows until the copy is done.
Rejected: VACUUM INTO, which says nothing while it works, and copying the files, which is wrong in the middle of a
checkpoint.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from ...errors import SettingsError, StoreUnavailable
from .database import open_reader
from .faults import is_unavailable

STEP_PAGES: Final = 1_000

Told = Callable[[float, int], None]


def copy_database(source: Path, target: Path, told: Told) -> int:
    """Copy a database to a new file, which is checked and on disk on return; return its size in bytes. Blocks.

    `told` hears how much is done, from 0 to 1, and how many pages there are. What is left after an error is the
    caller's to remove.

    Raises: `SettingsError` when there is no such file, `FileExistsError`, `StoreUnavailable` when a disk is full or
    broken, or the copy is.
    """
    if not source.exists():
        raise SettingsError(f"There is no database {source}; name the node's settings with --config.")
    target.touch(mode=0o600, exist_ok=False)
    try:
        with closing(open_reader(source)) as reader, closing(sqlite3.connect(target)) as writer:
            reader.execute("BEGIN")
            reader.execute(
                "SELECT count(*) FROM sqlite_master"
            ).fetchone()  # here the moment is: BEGIN only waits

            def progress(_: int, left: int, pages: int) -> None:
                told(1.0 - left / max(1, pages), pages)

            reader.backup(writer, pages=STEP_PAGES, progress=progress)
            writer.execute(
                "PRAGMA journal_mode = DELETE"
            )  # one file; whoever opens it turns the log on again
            found = [row[0] for row in writer.execute("PRAGMA quick_check(1)")]
    except sqlite3.Error as error:
        if is_unavailable(error):
            raise StoreUnavailable(f"{source} was not copied to {target}: {error}.") from error
        raise
    if found != ["ok"]:
        raise StoreUnavailable(f"The copy of {source} is damaged ({found[0]}); check the disks.")
    for path in (target, target.parent):
        sync(path)
    return target.stat().st_size


def sync(path: Path) -> None:
    """Return when a file, or what a folder names, is on disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
