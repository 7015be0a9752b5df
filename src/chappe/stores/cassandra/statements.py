"""Every statement of the adapter, prepared; rows of ours into bound values, and rows of Cassandra's into ours.

Why no write here needs a lightweight transaction, and all can be sent twice:

* Messages and index entries never change: written again, a row is what it was.
* `receipts` and `newest` keep the greatest id. Their write time is the id's own milliseconds, so of two ids the later
  one is kept, in whatever order they come; of two in one millisecond Cassandra keeps the greater value, as it does
  whenever write times are equal, and a UUID compares as its bytes (ADR 31).

Values are bound as bytes: ids are bytes with us and on the wire, and a `uuid.UUID` in between would be made only to be
taken apart. What is None is left unset, since a null is a tombstone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from cassandra.query import UNSET_VALUE, BatchStatement, BatchType, BoundStatement

from ...domain.messages import InboxRow, LogRow, StoredMessage, Watermark
from ...ids import Cid, ConversationId, DeviceId, MessageId, UserId, millis
from ...protocol.frames import Kind
from .batching import Row

DAY_MS: Final = 24 * 3_600_000
BUCKET_MS: Final = 10 * DAY_MS
INLINE_BODY_BYTES: Final = 1024
INDEX_DAYS_LONGER: Final = 2  # a day's entry is written with its first message, and must outlive its last
BUCKET_DAYS_LONGER: Final = 12  # so must the entry of ten days
PAGE_ROWS: Final = 256

_int = struct.Struct(">i").pack
_tinyint = [struct.pack(">b", n) for n in range(128)]
_bigint = struct.Struct(">q").pack
_partition = struct.Struct(">H16sxHix").pack  # of a partition key of two parts: 16 bytes and an int


def day_of(pos: MessageId) -> int:
    """Return the day, since 1970, whose inbox partition a position belongs to."""
    return millis(pos) // DAY_MS


def bucket_of(message: MessageId) -> int:
    """Return the ten days whose chat log partition a message belongs to."""
    return millis(message) // BUCKET_MS


def edge(position: MessageId) -> bytes:
    """Return where to begin or end a range: what sorts among stored ids as `position` does byte by byte.

    Cassandra looks at a uuid's version first. All that is stored is of version 7; the bounds that are computed, such
    as the least id of a millisecond, are of any, and would sort before or after everything.
    """
    version = position[6] >> 4
    if version == 7:
        return position
    return position[:6] + (b"\x70" + bytes(9) if version < 7 else b"\x7f" + b"\xff" * 9)


def log_key(m: StoredMessage) -> bytes:
    """Return the key of the chat log partition that a message belongs to."""
    return partition_key(m.conv, bucket_of(m.id))


def inbox_key(device: DeviceId, pos: MessageId) -> bytes:
    """Return the key of the inbox partition that a position belongs to."""
    return partition_key(device, day_of(pos))


def partition_key(name: bytes, number: int) -> bytes:
    """Return the routing key of a partition of the chat log or of an inbox."""
    return _partition(16, name, 4, number)


class Statements:
    """Prepared for one session."""

    def __init__(self, session: Any, inbox_days: int, log_days: int = 0) -> None:
        def prepare(cql: str) -> Any:
            prepared = session.prepare(cql)
            prepared.is_idempotent = True
            prepared.fetch_size = PAGE_ROWS
            return prepared

        keep_s = inbox_days * DAY_MS // 1000
        entry_s = keep_s + INDEX_DAYS_LONGER * DAY_MS // 1000
        log_ttl, bucket_ttl = _log_ttls(log_days)
        self.insert_log = prepare(
            "INSERT INTO chatlog (conv, bucket, id, kind, sender, device, cid, ref, body)"  # noqa: S608 - a number
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)" + log_ttl
        )
        self.bucket = prepare("INSERT INTO chatlog_buckets (conv, bucket) VALUES (?, ?)" + bucket_ttl)  # noqa: S608
        self.insert_inbox = prepare(
            "INSERT INTO inbox (device, day, pos, id, conv, kind, sender, sender_device, cid, ref, wrap, body)"  # noqa: S608 - a number
            f" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TTL {keep_s}"
        )
        self.day = prepare(
            f"INSERT INTO inbox_days (device, day) VALUES (?, ?) USING TTL {entry_s}"  # noqa: S608
        )
        self._person = prepare("INSERT INTO receipts (conv, user) VALUES (?, ?) USING TIMESTAMP ?")
        self._delivered = prepare(
            "INSERT INTO receipts (conv, user, delivered) VALUES (?, ?, ?) USING TIMESTAMP ?"
        )
        self._read = prepare("INSERT INTO receipts (conv, user, read) VALUES (?, ?, ?) USING TIMESTAMP ?")
        self._newest = prepare("INSERT INTO newest (slot, id) VALUES (?, ?) USING TIMESTAMP ?")
        log = "SELECT id, kind, sender, device, cid, ref, body FROM chatlog WHERE conv = ? AND bucket = ? "
        self.history = prepare(log + "AND id < ? LIMIT ?")
        self.history_all = prepare(log + "LIMIT ?")
        # Filters inside one partition, from the newest row to a given one: nothing else is read for it.
        self.find = prepare(
            "SELECT WRITETIME(kind), id, kind, sender, device, cid, ref, body FROM chatlog"
            " WHERE conv = ? AND bucket = ? AND id > ? AND device = ? AND cid = ? ALLOW FILTERING"
        )
        self.bodies = prepare("SELECT id, body FROM chatlog WHERE conv = ? AND bucket = ? AND id IN ?")
        self.buckets = prepare(
            "SELECT bucket FROM chatlog_buckets WHERE conv = ? AND bucket >= ? AND bucket <= ?"
        )
        self.inbox = prepare(
            "SELECT pos, id, conv, kind, sender, sender_device, cid, ref, wrap, body FROM inbox"
            " WHERE device = ? AND day = ? AND pos > ? LIMIT ?"
        )
        self.days = prepare("SELECT day FROM inbox_days WHERE device = ? AND day >= ?")
        self.watermarks = prepare("SELECT user, delivered, read FROM receipts WHERE conv = ?")
        self.newest = prepare("SELECT id FROM newest WHERE slot = ?")

    def log_row(self, m: StoredMessage) -> Row:
        """Return a message's row of the chat log."""
        bucket = bucket_of(m.id)
        values = (
            m.conv, _int(bucket), m.id, _tinyint[m.kind], m.sender, m.device, m.cid,
            UNSET_VALUE if m.ref is None else m.ref, m.body,
        )  # fmt: skip
        return Row(self.insert_log, values, partition_key(m.conv, bucket), 150 + len(m.body), m.id)

    def bucket_row(self, m: StoredMessage) -> Row:
        """Return the index entry of a message's bucket."""
        return Row(self.bucket, (m.conv, _int(bucket_of(m.id))), m.conv, 20, log_key(m))

    def inbox_rows(self, m: StoredMessage) -> Iterator[Row]:
        """Yield a message's row for every device that must hear it."""
        day = day_of(m.pos)
        is_inline = m.kind >= Kind.CONTROL or len(m.body) <= INLINE_BODY_BYTES
        shared = (
            _int(day), m.pos, UNSET_VALUE if m.again is None else m.id, m.conv, _tinyint[m.kind], m.sender,
            m.device, m.cid, UNSET_VALUE if m.ref is None else m.ref,
        )  # fmt: skip
        body = m.body if is_inline else UNSET_VALUE
        size = 150 + (len(m.body) if is_inline else 0)
        for device, wrap in m.wraps.items():
            key = partition_key(device, day)
            yield Row(self.insert_inbox, (device, *shared, wrap, body), key, size + len(wrap), m.id)

    def day_row(self, device: DeviceId, day: int) -> Row:
        """Return the index entry of a day of a device's inbox."""
        return Row(self.day, (device, _int(day)), device, 20, partition_key(device, day))

    def receipt_rows(self, mark: Watermark) -> Iterator[Row]:
        """Yield the writes of a watermark: each part has its own time."""
        key = mark.conv, mark.user
        if mark.delivered is None and mark.read is None:
            yield Row(self._person, (*key, _bigint(0)), mark.conv, 40)
        if mark.delivered is not None and mark.delivered != mark.read:  # what was read was delivered
            yield Row(self._delivered, (*key, mark.delivered, _write_time(mark.delivered)), mark.conv, 56)
        if mark.read is not None:
            yield Row(self._read, (*key, mark.read, _write_time(mark.read)), mark.conv, 56)

    def newest_row(self, slot: int, message: MessageId) -> Row:
        """Return the write that raises the greatest id."""
        key = _int(slot)
        return Row(self._newest, (key, message, _write_time(message)), key, 28)


def batch(rows: Sequence[Row]) -> Any:
    """Return what the driver is to execute for rows of the same replicas."""
    if len(rows) == 1:
        return bound(rows[0].statement, *rows[0].values, key=rows[0].key)
    together = BatchStatement(BatchType.UNLOGGED)
    together.is_idempotent = True
    for row in rows:
        together.add(bound(row.statement, *row.values, key=row.key))
    return together


def bound(prepared: Any, *values: bytes | object, key: bytes) -> Any:
    """Return a statement with values that are bytes already, and the routing key of its partition."""
    statement = BoundStatement(prepared, routing_key=key)
    statement.values = list(values)
    return statement


def integer(value: int) -> bytes:
    """Return an int as Cassandra's."""
    return _int(value)


def uuids(values: Sequence[bytes]) -> bytes:
    """Return ids as Cassandra's list of uuid."""
    return b"".join((_int(len(values)), *(_int(len(value)) + value for value in values)))


def log_row(conv: ConversationId, row: Sequence[Any]) -> LogRow:
    """Return a row of the chat log as ours."""
    message, kind, sender, device, cid, ref, body = row
    return LogRow(
        MessageId(message.bytes), conv, Kind(kind), UserId(sender.bytes), DeviceId(device.bytes), Cid(cid),
        _id(ref), body,
    )  # fmt: skip


def inbox_row(row: Sequence[Any], body: bytes) -> InboxRow:
    """Return a row of an inbox as ours, with its body, wherever that was."""
    pos, _, conv, kind, sender, device, cid, ref, wrap, _ = row
    return InboxRow(
        message_of(row), ConversationId(conv), Kind(kind), UserId(sender.bytes), DeviceId(device.bytes),
        Cid(cid), _id(ref), wrap, body, MessageId(pos.bytes),
    )  # fmt: skip


def message_of(row: Sequence[Any]) -> MessageId:
    """Return the message id of a row of an inbox: its position, unless it was stored once more."""
    return MessageId((row[1] or row[0]).bytes)


def watermark(conv: ConversationId, row: Sequence[Any]) -> Watermark:
    """Return a row of the receipts as ours, its parts not merged yet."""
    user, delivered, read = row
    return Watermark(conv, UserId(user.bytes), _id(delivered), _id(read))


def _log_ttls(log_days: int) -> tuple[str, str]:
    """Return what a row of the chat log and an entry of its index end with. Watermarks never expire: of two with one
    write time Cassandra keeps the one that expires later, not the greater.
    """
    if not log_days:
        return "", ""
    days = log_days, log_days + BUCKET_DAYS_LONGER
    row, entry = (f" USING TTL {one * DAY_MS // 1000}" for one in days)
    return row, entry


def _id(value: UUID | None) -> MessageId | None:
    return None if value is None else MessageId(value.bytes)


def _write_time(message: MessageId) -> bytes:
    return _bigint(millis(message) * 1000)  # microseconds, as Cassandra's own
