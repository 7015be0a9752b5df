"""What was appended lately: durable in the journal, readable from memory, on its way into the tables.

A message belongs in one place of the chat log and in one of every recipient's inbox, and each place is
another page: written at once, that cost 45 to 60 us of CPU a message. So an append writes one
journal row, and a generation of a few thousand rows goes into the tables later, sorted, when many of them
share a page (the idea of the log-structured merge tree, O'Neil et al. 1996). `messages.py` owns the one
`Staging`: its writing thread adds and takes, the trio thread looks; the lock is held for microseconds. No I/O
here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from threading import Lock
from typing import Final, TypeAlias

from ...domain.messages import InboxRow, LogRow, StoredMessage, Watermark, merged
from ...ids import FIRST_ID, ConversationId, DeviceId, MessageId, UserId
from ...protocol.frames import Kind

GENERATION_ROWS: Final = 8_192
GENERATION_BYTES: Final = 4 * 1024 * 1024
INLINE_BODY_BYTES: Final = 1024

# Rows go to sqlite3 as bytearrays: bound in 0.2 us; it takes 0.7 us to find that bytes need no adapter.
Row: TypeAlias = tuple[bytearray | int, ...]


class Generation:
    """Appended messages and watermarks, by whom they will be asked for; up to journal row `last_seq`."""

    __slots__ = ("by_conv", "by_device", "bytes", "last_seq", "newest", "rows", "watermarks")

    def __init__(self) -> None:
        self.by_conv: dict[ConversationId, list[StoredMessage]] = {}
        self.by_device: dict[DeviceId, list[StoredMessage]] = {}
        self.watermarks: dict[ConversationId, dict[UserId, Watermark]] = {}
        self.newest = FIRST_ID
        self.last_seq = 0
        self.rows = 0
        self.bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether it is time to move it into the tables."""
        return self.rows >= GENERATION_ROWS or self.bytes >= GENERATION_BYTES

    def add(
        self, seq: int, size: int, messages: Iterable[StoredMessage], watermarks: Iterable[Watermark]
    ) -> None:
        """Take in what journal row `seq`, of `size` bytes, holds."""
        self.last_seq = seq
        self.bytes += size
        for message in messages:
            self.newest = max(self.newest, message.id)
            if message.kind < Kind.CONTROL:
                self.by_conv.setdefault(message.conv, []).append(message)
            for device in message.wraps:
                self.by_device.setdefault(device, []).append(message)
            self.rows += 1 + len(message.wraps)
        for watermark in watermarks:
            users = self.watermarks.setdefault(watermark.conv, {})
            users[watermark.user] = merged(users.get(watermark.user), watermark)
            self.rows += 1

    def chatlog_rows(self) -> Iterator[Row]:
        """Yield its rows for the chat log, in the table's order."""
        for _, messages in sorted(self.by_conv.items()):
            for m in sorted(messages, key=_by_id):
                blobs = m.conv, m.id, m.sender, m.device, m.cid, m.ref or b"", m.body
                yield *map(bytearray, blobs), int(m.kind)

    def inbox_rows(self) -> Iterator[Row]:
        """Yield its rows for the inboxes, in the table's order."""
        for device, messages in sorted(self.by_device.items()):
            for m in sorted(messages, key=_by_id):
                body = m.body if m.kind >= Kind.CONTROL or len(m.body) <= INLINE_BODY_BYTES else b""
                blobs = device, m.id, m.conv, m.sender, m.device, m.cid, m.ref or b"", m.wraps[device], body
                yield *map(bytearray, blobs), int(m.kind)

    def receipt_rows(self) -> Iterator[Row]:
        """Yield its rows for the receipts, in the table's order."""
        for conv, users in sorted(self.watermarks.items()):
            for user, w in sorted(users.items()):
                yield tuple(map(bytearray, (conv, user, w.delivered or b"", w.read or b"")))


class Staging:
    """At most two generations: one that fills, and one that is being moved into the tables.

    `floor`: every stored message with a greater id is in here, so a reader past it need not ask the tables.
    """

    def __init__(self, filling: Generation, floor: MessageId) -> None:
        self._lock = Lock()
        self._filling = filling
        self._moving: Generation | None = None
        self._floor = floor

    @property
    def floor(self) -> MessageId:
        """The greatest message id that left for the tables."""
        return self._floor

    @property
    def newest(self) -> MessageId:
        """The greatest message id stored."""
        with self._lock:
            return max(self._floor, *(generation.newest for generation in self._generations()))

    def add(
        self, seq: int, size: int, messages: Sequence[StoredMessage], watermarks: Sequence[Watermark]
    ) -> None:
        """Take in journal row `seq` of `size` bytes. To be called once it is durable."""
        with self._lock:
            self._filling.add(seq, size, messages, watermarks)

    def start_moving(self) -> Generation:
        """Return the generation that was filling; a new one fills from here on."""
        with self._lock:
            self._moving, self._filling = self._filling, Generation()
            return self._moving

    def moved(self) -> None:
        """Forget the generation that was moving: the tables have it."""
        with self._lock:
            if self._moving is not None:
                self._floor = max(self._floor, self._moving.newest)
                self._moving = None

    @property
    def is_full(self) -> bool:
        """Whether the filling generation should start moving."""
        return self._filling.is_full

    @property
    def is_empty(self) -> bool:
        """Whether nothing is waiting to be moved."""
        return self._filling.last_seq == 0

    def log(self, conv: ConversationId, chosen: Callable[[StoredMessage], bool]) -> list[LogRow]:
        """Return the chosen messages of a conversation, in no order."""
        with self._lock:
            return [
                LogRow(m.id, m.conv, m.kind, m.sender, m.device, m.cid, m.ref, m.body)
                for m in chain.from_iterable(g.by_conv.get(conv, ()) for g in self._generations())
                if chosen(m)
            ]

    def inbox(self, device: DeviceId, after: MessageId) -> list[InboxRow]:
        """Return what a device has to hear after an id, in no order."""
        with self._lock:
            return [
                InboxRow(
                    m.id, m.conv, m.kind, m.sender, m.device, m.cid, m.ref, m.wraps[device], m.body, m.pos
                )
                for m in chain.from_iterable(g.by_device.get(device, ()) for g in self._generations())
                if m.id > after
            ]

    def watermarks(self, convs: Iterable[ConversationId]) -> list[Watermark]:
        """Return the staged watermarks of these conversations; somebody may be in it twice."""
        with self._lock:
            return [
                w for conv in convs for g in self._generations() for w in g.watermarks.get(conv, {}).values()
            ]

    def _generations(self) -> tuple[Generation, ...]:
        return (self._filling,) if self._moving is None else (self._moving, self._filling)


def _by_id(message: StoredMessage) -> MessageId:
    return message.id
