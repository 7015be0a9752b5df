"""The embedded `MessageStore`: what the gateway calls, on the standard library's sqlite3.

Appends go through one thread (`writer.py`) into the journal, reads take what is staged from memory
(`staging.py`) and the rest from the tables, on read-only connections. The order is always memory first: a
message leaves the memory after it is in the tables, so a reader meets it at least once, and drops what it met
twice by id.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import trio

from ...domain.messages import InboxRow, LogRow, StoredMessage, Watermark, merged
from ...errors import StoreUnavailable
from ...ids import Cid, ConversationId, DeviceId, MessageId, UserId
from ...protocol.frames import Kind
from ..threads import Threads
from .database import open_reader, open_writer
from .faults import is_unavailable
from .staging import Staging
from .writer import Expiring, Writer, restore

READERS: Final = 3
DEADLINE_S: Final = 5.0

T = TypeVar("T")

_LOG: Final = (
    "SELECT id, conv, kind, sender, device, cid, nullif(ref, x''), body FROM chatlog WHERE conv = ? "
)
_FIND: Final = _LOG + "AND id > ? AND device = ? AND cid = ? LIMIT 1"
_NEWEST: Final = _LOG + "ORDER BY id DESC LIMIT ?"
_OLDER: Final = _LOG + "AND id < ? ORDER BY id DESC LIMIT ?"
_INBOX: Final = (
    "SELECT i.id, i.conv, i.kind, i.sender, i.sender_device, i.cid, nullif(i.ref, x''), i.wrap,"
    " coalesce(c.body, i.body), i.id "
    "FROM inbox i LEFT JOIN chatlog c ON i.body = x'' AND c.conv = i.conv AND c.id = i.id "
    "WHERE i.device = ? AND i.id > ? ORDER BY i.id LIMIT ?"
)
_WATERMARKS: Final = "SELECT conv, user, delivered, read FROM receipts WHERE conv = ?"


class SqliteMessageStore:
    """Chat log, inboxes and receipts in one file. Made by `open_message_store`."""

    is_exclusive: Final = True

    def __init__(self, writer: Writer, staging: Staging, readers: Sequence[sqlite3.Connection]) -> None:
        self._writer = writer
        self._staging = staging
        self._idle_readers = list(readers)
        self._writes = Threads(1, DEADLINE_S)
        self._reads = Threads(len(readers), DEADLINE_S)

    async def append(self, messages: Sequence[StoredMessage], watermarks: Sequence[Watermark]) -> None:
        """Store all of these in one transaction; durable on return. Raises: `StoreUnavailable`."""
        if messages or watermarks:
            await _translated(self._writes.run(self._writer.append, messages, watermarks))

    async def find(self, conv: ConversationId, device: DeviceId, cid: Cid, after: MessageId) -> LogRow | None:
        """Return the message (device, cid) of a conversation if it has an id greater than `after`."""
        staged = self._staging.log(conv, lambda m: m.id > after and m.device == device and m.cid == cid)
        if staged or after >= self._staging.floor:
            return min(staged, key=_by_id, default=None)
        rows = await self._query(_FIND, (conv, after, device, cid))
        return _log_row(rows[0]) if rows else None

    async def history(self, conv: ConversationId, before: MessageId | None, limit: int) -> list[LogRow]:
        """Return up to `limit` rows with ids less than `before`, newest first."""
        staged = self._staging.log(conv, lambda m: before is None or m.id < before)
        if before is None:
            rows = await self._query(_NEWEST, (conv, limit))
        else:
            rows = await self._query(_OLDER, (conv, before, limit))
        both = {row.id: row for row in (*staged, *map(_log_row, rows))}
        return sorted(both.values(), key=_by_id, reverse=True)[:limit]

    async def inbox(self, device: DeviceId, after: MessageId, limit: int) -> list[InboxRow]:
        """Return up to `limit` rows of a device's inbox with ids greater than `after`, oldest first."""
        both = {row.id: row for row in self._staging.inbox(device, after)}
        if after < self._staging.floor:
            for row in await self._query(_INBOX, (device, after, limit)):
                both[row[0]] = InboxRow(row[0], row[1], Kind(row[2]), *row[3:])
        else:
            await trio.lowlevel.checkpoint()
        return sorted(both.values(), key=_by_id)[:limit]

    async def watermarks(self, convs: Sequence[ConversationId]) -> list[Watermark]:
        """Return everybody's watermarks in these conversations."""
        found: dict[tuple[ConversationId, UserId], Watermark] = {}
        staged = self._staging.watermarks(convs)
        stored = await _translated(self._reads.run(self._read_watermarks, convs))
        for watermark in (*stored, *staged):
            key = watermark.conv, watermark.user
            found[key] = merged(found.get(key), watermark)
        return list(found.values())

    async def newest_id(self) -> MessageId:
        """Return the greatest message id stored, or 16 zero bytes."""
        await trio.lowlevel.checkpoint()
        return self._staging.newest

    async def ping(self) -> None:
        """Return if a write reaches the disk and a read is answered. Raises: `StoreUnavailable`."""
        await _translated(self._writes.run(self._writer.ping))
        await self._query("SELECT id FROM newest", ())

    async def settle(self) -> None:
        """Move all that is staged into the tables, for whoever looks at them. Raises: `StoreUnavailable`."""
        await _translated(self._writes.run(self._writer.settle))

    async def expire(self, before: MessageId) -> int:
        """Delete inbox rows with ids less than `before`; return how many.

        A few hundred rows at a time, so that appends get their turn; cancelled, it has done a part of the
        work.
        Raises: `StoreUnavailable`.
        """
        return await self._expire(Expiring.INBOX, before)

    async def expire_log(self, before: MessageId) -> int:
        """Delete rows of the chat log as `expire` does those of inboxes; the watermarks stay.

        To be called with ids that no inbox has any more, since a long body stands in the log only.
        """
        return await self._expire(Expiring.CHATLOG, before)

    async def aclose(self) -> None:
        """Close the connections once no thread uses them; nothing can be called afterwards."""
        if await self._writes.drain():
            self._writer.close()
        if await self._reads.drain():
            for connection in self._idle_readers:
                connection.close()

    async def _expire(self, what: Expiring, before: MessageId) -> int:
        await self.settle()
        total = 0
        key: bytes | None = b""
        while key is not None:
            deleted, key = await _translated(self._writes.run(self._writer.expire_some, what, before, key))
            total += deleted
        return total

    async def _query(self, sql: str, values: tuple[bytes | int, ...]) -> list[tuple[Any, ...]]:
        return await _translated(self._reads.run(self._read, sql, values))

    def _read(self, sql: str, values: tuple[bytes | int, ...]) -> list[tuple[Any, ...]]:
        connection = self._idle_readers.pop()  # there are as many as threads
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            self._idle_readers.append(connection)

    def _read_watermarks(self, convs: Iterable[ConversationId]) -> list[Watermark]:
        return [
            Watermark(conv, user, delivered or None, read or None)
            for wanted in convs
            for conv, user, delivered, read in self._read(_WATERMARKS, (wanted,))
        ]


@asynccontextmanager
async def open_message_store(path: Path) -> AsyncIterator[SqliteMessageStore]:
    """Open the store, making the file if it is not there; its folder must be.

    Raises: `SettingsError` for a file of a newer Chappe, `StoreUnavailable` when it cannot be opened.
    """
    store = await _translated(trio.to_thread.run_sync(_open, path))
    try:
        yield store
    finally:
        await store.aclose()


def _open(path: Path) -> SqliteMessageStore:
    connection = open_writer(path)
    staging = restore(connection)
    return SqliteMessageStore(
        Writer(connection, staging), staging, [open_reader(path) for _ in range(READERS)]
    )


async def _translated(call: Awaitable[T]) -> T:
    try:
        return await call
    except trio.TooSlowError:
        raise StoreUnavailable(
            f"The message store did not answer within {DEADLINE_S:g} s; try again."
        ) from None
    except sqlite3.Error as error:
        if is_unavailable(error):
            raise StoreUnavailable(
                f"The message store did not take the work ({error}); see to its disk and try again."
            ) from error
        raise


def _log_row(row: Sequence[Any]) -> LogRow:
    return LogRow(row[0], row[1], Kind(row[2]), *row[3:])


def _by_id(row: LogRow | InboxRow) -> MessageId:
    return row.id
