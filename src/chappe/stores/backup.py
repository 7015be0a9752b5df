"""What backing up and restoring need beyond the stores' own tools: `chappe store backup` and `chappe store restored`.

PostgreSQL and Cassandra have tools of their own (docs/backup.md); here are copies of SQLite files, and the step after
every restore.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sqlalchemy import make_url

from ..errors import SettingsError
from .folder import open_data_folder
from .sql.engine import default_url, write_alone
from .sql.restores import note_restore
from .sqlite.copy import copy_database, sync


class Stores(Protocol):
    """The section `stores` of the settings."""

    @property
    def data(self) -> Path: ...
    @property
    def users_url(self) -> str | None: ...
    @property
    def messages(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Copy:
    """A file of a backup."""

    store: str
    file: Path
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Restored:
    """`at_ms` is what clients are told from now on; `dropped_keys`: one-time prekeys, of all devices."""

    at_ms: int
    dropped_keys: int


def back_up(stores: Stores, folder: Path, told: Callable[[str, float, int], None]) -> list[Copy]:
    """Copy those stores that are on SQLite into a new folder; nodes may be running. Blocks.

    The folder is there when everything in it is complete and on disk, or not at all. Messages come first: whatever
    they refer to is in the later copy of the users. `told` hears of a store, how much is done, from 0 to 1, and pages.

    Raises: `SettingsError` when the folder exists or nothing is on SQLite; `StoreUnavailable`; `OSError`.
    """
    files = sqlite_files(stores)
    if not files:
        raise SettingsError(
            "No store of these settings is on SQLite; docs/backup.md has the steps for others."
        )
    folder = folder.absolute()
    if folder.exists():
        raise SettingsError(f"{folder} is there already, and a backup overwrites nothing: name a new folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        sizes = {
            store: copy_database(
                file, unfinished / f"{store}.sqlite", lambda *at, what=store: told(what, *at)
            )
            for store, file in files.items()
        }
        os.rename(unfinished, folder)  # fails on a folder with files in it  # noqa: PTH104
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    sync(folder.parent)
    return [Copy(store, folder / f"{store}.sqlite", size) for store, size in sizes.items()]


def sqlite_files(stores: Stores) -> dict[str, Path]:
    """Return the database files of the stores that are on SQLite, by store, in the order of a backup."""
    files = {"messages": stores.data / "messages.sqlite"} if stores.messages == "sqlite" else {}
    url = make_url(stores.users_url or default_url(stores.data))
    if url.get_backend_name() == "sqlite":
        files["users"] = Path(url.database or "")
    return files


def restored(stores: Stores, now_ms: int) -> Restored:
    """Note that stores were brought back to an earlier point; no node may be running. Blocks.

    Raises: `SettingsError` when there is no user store of this Chappe's schema, `DataFolderInUse`, `StoreUnavailable`.
    """
    is_here = bool(sqlite_files(stores)) and stores.data.exists()
    with open_data_folder(stores.data) if is_here else nullcontext():
        url = stores.users_url or default_url(stores.data)
        return Restored(*write_alone(url, lambda connection: note_restore(connection, now_ms)))
