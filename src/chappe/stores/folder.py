"""The data folder: made for its owner alone, and held by one process at a time.

The server holds one for its embedded stores, the client one for its own. The lock is the kernel's
(https://man7.org/linux/man-pages/man2/flock.2.html): it goes with the process, however that ends, so there is
no stale lock to clean up; the lock file itself stays.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..errors import DataFolderInUse

LOCK_FILE: Final = "lock"


@contextmanager
def open_data_folder(path: Path) -> Iterator[Path]:
    """Make the folder (mode 0700) if it is not there, and hold it while the block runs.

    Raises: `DataFolderInUse` when another process holds it, `OSError` when it cannot be made or written.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
            raise DataFolderInUse(
                f"The data folder {path} is in use by process {owner}: stop that one, or name another folder."
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield path
    finally:
        os.close(lock)
