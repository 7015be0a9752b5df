"""Which SQLite errors mean "the store is unavailable"; all others are bugs and pass through.

Asked by both adapters that run on SQLite. Source: https://www.sqlite.org/rescode.html (primary result codes).
"""

from __future__ import annotations

import sqlite3
from typing import Final

_UNAVAILABLE: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)


def is_unavailable(error: BaseException | None) -> bool:
    """Return whether `error` is SQLite saying that disk, file or lock did not serve it."""
    code = getattr(error, "sqlite_errorcode", None)  # absent when the error is the module's own, not SQLite's
    return code is not None and code & 0xFF in _UNAVAILABLE
