"""What is wrong with a row: pure. `check.py` reads the rows, and what else has to be known of them.

A row younger than W + S may be in the middle of being written: what it lacks is not missing yet. Rows of an inbox are
young by their position, which is later than the id when a message was stored once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from ...ids import ConversationId, DeviceId, MessageId, UserId, millis
from ...protocol.frames import Kind

DAY_MS: Final = 24 * 3_600_000
# Expiry comes round once an hour, and Cassandra counts from when a row was written.
GRACE_MS: Final = DAY_MS


class Fault(Enum):
    """What can be found, in words; `is_broken` unless it goes away by itself."""

    def __init__(self, words: str, is_broken: bool = True) -> None:
        self.words = words
        self.is_broken = is_broken

    NO_LOG_ROW = "inbox rows whose message is not in the chat log"
    NO_DEVICE = "inbox rows of devices that do not exist"
    NO_CONVERSATION = "chat log rows of conversations that do not exist"
    NO_RECEIPT_CONVERSATION = "receipts of conversations that do not exist"
    UNLISTED_DAY = "inbox partitions that the index of days does not list"
    UNLISTED_BUCKET = "chat log partitions that the index of buckets does not list"
    WRONG_DAY = "inbox rows in the partition of another day"
    WRONG_BUCKET = "chat log rows in the partition of other ten days"
    OLD_INBOX = "inbox rows kept for longer than stores.inbox_days"
    OLD_LOG = "chat log rows kept for longer than stores.log_days"
    WIDE = "partitions over the limit of bytes or rows"
    REVOKED_KEYS = "revoked devices that still have one-time prekeys"
    REVOKED_INBOX = "inbox rows of revoked devices: they expire", False
    UNSETTLED = "rows too young to tell", False


class InboxEntry(NamedTuple):
    """A row of an inbox, without what it says. `is_misplaced`: its position is not of the day it is in.

    `day` is None where a store has no partitions.
    """

    device: DeviceId
    day: int | None
    pos: MessageId
    id: MessageId
    conv: ConversationId
    kind: int
    is_misplaced: bool = False


class LogEntry(NamedTuple):
    """A row of the chat log, without what it says; as `InboxEntry`."""

    conv: ConversationId
    bucket: int | None
    id: MessageId
    is_misplaced: bool = False


class ReceiptEntry(NamedTuple):
    """Whose watermarks these are."""

    conv: ConversationId
    user: UserId


class Partition(NamedTuple):
    """A partition that was read to its end: a device or conversation, and its day or bucket.

    `number` is None where a store has no partitions: then it is all that the device or conversation has.
    """

    key: bytes
    number: int | None
    rows: int
    bytes: int
    newest: MessageId


class Standing(Enum):
    """What the user store says of a device."""

    LINKED = "linked"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Limits:
    """What is too young, too old and too large. `log_days` 0: never too old."""

    late_ms: int
    inbox_days: int
    log_days: int
    partition_bytes: int
    partition_rows: int


def inbox_faults(
    row: InboxEntry, limits: Limits, now_ms: int, *, is_logged: bool, standing: Standing
) -> Iterator[Fault]:
    """Yield what is wrong with a row of an inbox."""
    age_ms = now_ms - millis(row.pos)
    if row.is_misplaced:
        yield Fault.WRONG_DAY
    if not is_logged and row.kind < Kind.CONTROL:
        yield Fault.UNSETTLED if age_ms <= limits.late_ms else Fault.NO_LOG_ROW
    if standing is Standing.UNKNOWN:
        yield Fault.NO_DEVICE
    elif standing is Standing.REVOKED:
        yield Fault.REVOKED_INBOX
    if age_ms > limits.inbox_days * DAY_MS + GRACE_MS:
        yield Fault.OLD_INBOX


def log_faults(row: LogEntry, limits: Limits, now_ms: int, *, is_known: bool) -> Iterator[Fault]:
    """Yield what is wrong with a row of the chat log; `is_known`: its conversation is in the user store."""
    if row.is_misplaced:
        yield Fault.WRONG_BUCKET
    if not is_known:
        yield Fault.NO_CONVERSATION
    if limits.log_days and now_ms - millis(row.id) > limits.log_days * DAY_MS + GRACE_MS:
        yield Fault.OLD_LOG


def unlisted(fault: Fault, partition: Partition, limits: Limits, now_ms: int) -> Fault:
    """Return what it means that an index lacks a partition: its entry may be on the way, as its only rows are."""
    return Fault.UNSETTLED if now_ms - millis(partition.newest) <= limits.late_ms else fault


def is_wide(partition: Partition, limits: Limits) -> bool:
    """Whether a partition is over a limit."""
    if partition.number is None:
        return False
    return partition.bytes > limits.partition_bytes or partition.rows > limits.partition_rows


class Tally:
    """Adds up rows that come partition by partition."""

    def __init__(self) -> None:
        self._open: Partition | None = None

    def add(self, key: bytes, number: int | None, size: int, message: MessageId) -> Iterator[Partition]:
        """Count a row; yield the partition before it, if that ended there."""
        last = self._open
        if last is not None and (last.key, last.number) == (key, number):
            self._open = Partition(key, number, last.rows + 1, last.bytes + size, max(last.newest, message))
            return
        yield from self.end()
        self._open = Partition(key, number, 1, size, message)

    def end(self) -> Iterator[Partition]:
        """Yield the last partition."""
        if self._open is not None:
            yield self._open
        self._open = None
