"""The message store in a file, page by page, for `check.py` and `stats.py`.

Read-only, and every page is a read of its own: a node that runs on the file goes on, and its write-ahead log can be
emptied between two pages. What is still in the journal is not looked at: it is on its way into the tables, and every
start reads it back as a whole.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from ...errors import SettingsError, StoreUnavailable
from ...ids import ConversationId, MessageId
from ..sqlite.database import SCHEMA_VERSION, open_reader
from ..sqlite.faults import is_unavailable
from .rules import InboxEntry, LogEntry, Partition, ReceiptEntry, Tally
from .sources import Page, StoreDamaged, Told
from .stats import scanned

PAGE_ROWS: Final = 1_000
_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

T = TypeVar("T")

_INBOX: Final = (
    "SELECT device, id, conv, kind, length(sender) + length(sender_device) + length(cid) + length(ref)"
    " + length(wrap) + length(body) + 48 FROM inbox WHERE (device, id) > (?, ?) ORDER BY device, id LIMIT ?"
)
_LOG: Final = (
    "SELECT conv, id, length(sender) + length(device) + length(cid) + length(ref) + length(body) + 32"
    " FROM chatlog WHERE (conv, id) > (?, ?) ORDER BY conv, id LIMIT ?"
)
_RECEIPTS: Final = "SELECT conv, user FROM receipts WHERE (conv, user) > (?, ?) ORDER BY conv, user LIMIT ?"


class SqliteSource:
    """A `Source`. It has no partitions and no indexes of them."""

    engine: Final = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def summary(self, rows_per_s: float | None, told: Told, *, scan: bool) -> dict[str, Any]:  # noqa: ARG002 - always
        """Return how much there is, read through; `journal` is what is not in the tables yet."""
        ((appends, size),) = self.query("SELECT count(*), coalesce(sum(length(batch)), 0) FROM journal")
        return {**scanned(self, rows_per_s, told), "journal": {"appends": appends, "bytes": size}}

    def inbox(self) -> Iterator[Page[InboxEntry]]:
        """Yield all inbox rows, device by device."""
        tally = Tally()
        for rows, done in self._pages(_INBOX):
            ended = [one for row in rows for one in tally.add(row[0], None, row[4], row[1])]
            entries = [InboxEntry(device, None, pos, pos, conv, kind) for device, pos, conv, kind, _ in rows]
            yield Page(entries, ended if rows else list(tally.end()), done)

    def log(self) -> Iterator[Page[LogEntry]]:
        """Yield all chat log rows, conversation by conversation."""
        tally = Tally()
        for rows, done in self._pages(_LOG):
            ended = [one for row in rows for one in tally.add(row[0], None, row[2], row[1])]
            yield Page(
                [LogEntry(conv, None, message) for conv, message, _ in rows],
                ended if rows else list(tally.end()),
                done,
            )

    def receipts(self) -> Iterator[Page[ReceiptEntry]]:
        """Yield whose watermarks there are."""
        for rows, done in self._pages(_RECEIPTS):
            yield Page([ReceiptEntry(conv, user) for conv, user in rows], [], done)

    def logged(self, rows: Sequence[InboxEntry]) -> set[tuple[ConversationId, MessageId]]:
        """Return which of these messages are in the chat log."""
        found = "SELECT 1 FROM chatlog WHERE conv = ? AND id = ?"
        keys = {(row.conv, row.id) for row in rows}
        return {key for key in keys if self.query(found, key)}

    def unlisted_days(self, inboxes: Sequence[Partition]) -> list[Partition]:  # noqa: ARG002 - there are none
        """Return nothing: there is no such index."""
        return []

    unlisted_buckets = unlisted_days

    def list_day(self, inbox: Partition) -> None:
        """Do nothing: nothing is ever missing."""

    list_bucket = list_day

    def query(self, sql: str, values: Sequence[bytes | int] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a short query. Raises: `StoreUnavailable`, `StoreDamaged`."""
        with _translating():
            return self._connection.execute(sql, values).fetchall()

    def _pages(self, sql: str) -> Iterator[tuple[list[tuple[Any, ...]], float]]:
        """Yield pages, the last one empty, and how far the first column has got: its values are random ids."""
        last: tuple[bytes, bytes] = b"", b""
        while True:
            rows = self.query(sql, (*last, PAGE_ROWS))
            if not rows:
                yield [], 1.0
                return
            last = rows[-1][0], rows[-1][1]
            yield rows, int.from_bytes(last[0][:4], "big") / 2**32


@contextmanager
def open_source(path: Path) -> Iterator[SqliteSource]:
    """Open the file of a node, which may be running.

    Raises: `SettingsError` when it is not there or of another Chappe; `StoreUnavailable`, `StoreDamaged`.
    """
    if not path.exists():
        raise SettingsError(f"There is no message store {path}; name the node's settings with --config.")
    with _translating():
        connection = open_reader(path)
    with closing(connection):
        source = SqliteSource(connection)
        ((version,),) = source.query("PRAGMA user_version")
        if version != SCHEMA_VERSION:
            raise SettingsError(
                f"The message store {path} has schema {version} and this Chappe knows {SCHEMA_VERSION}: "
                "use the Chappe that wrote it."
            )
        yield source


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            raise StoreDamaged(
                f"The message store is damaged ({error}); restore it from a backup."
            ) from error
        if is_unavailable(error):
            raise StoreUnavailable(f"The message store cannot be read now: {error}.") from error
        raise
