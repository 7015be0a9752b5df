"""Writing to Cassandra: an append's rows in two steps, each in as few batches as its replicas allow.

First the message's row in the chat log, and the indexes of that; when a quorum has these, the rows of the inboxes. So
whatever a device was shown is found again by a resend, through any gateway, and keeps its id (ADR 34). `messages.py`
hands appends in; it also reads.

What it means when one fails. `OutcomeUnknown`: any of its rows may be stored, and more may turn up, for as long as the
coordinators try (their time-out, 2 s) and even after, when a replica that has a row repairs one that has not. The next
successful append says nothing about it. Its messages are sent again and appended once more, at a new place in the
inboxes. Plain `StoreUnavailable`: nothing was stored. Rejected: a logged batch, which would complete the rest of the
rows, but seconds later, behind the cursors of who should have read them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ...domain.messages import StoredMessage, Watermark
from ...errors import OutcomeUnknown, StoreUnavailable
from ...ids import MessageId, millis
from ...protocol.frames import Kind
from . import faults, statements
from .batching import Row, batches
from .bridge import Bridge, Failure, Warn
from .known import Known
from .session import WRITE
from .statements import Statements, day_of, inbox_key, log_key

KNOWN_PARTITIONS: Final = 100_000
PARTITION_BYTES: Final = (
    64 * 1024 * 1024
)  # a partition should stay under 100 MB, and others may write to it too
NEWEST_SLOTS: Final = 16


@dataclass(slots=True)
class Lost:
    """What of some rows was not confirmed: their owners, and why; `is_all` when every request was refused."""

    owners: set[bytes] = field(default_factory=set)
    error: StoreUnavailable | None = None
    is_all: bool = False


class Appender:
    """The writing half of the store. `owners` returns a function from a partition to what its replicas share."""

    def __init__(
        self,
        bridge: Bridge,
        prepared: Statements,
        owners: Callable[[], Callable[[bytes], Hashable]],
        warn: Warn,
    ) -> None:
        self._bridge = bridge
        self._statements = prepared
        self._owners = owners
        self._warn = warn
        self.slot = random.randrange(NEWEST_SLOTS)  # noqa: S311 - spreads load, guards nothing
        self._days = Known(KNOWN_PARTITIONS)
        self._buckets = Known(KNOWN_PARTITIONS)

    async def append(
        self,
        messages: Sequence[StoredMessage],
        watermarks: Sequence[Watermark],
        check_age: Callable[[Sequence[StoredMessage]], None],
    ) -> None:
        """Store all of these. `check_age` raises when they are too old to go on with.

        Raises: `OutcomeUnknown`; `StoreUnavailable` when nothing was stored.
        """
        check_age(messages)
        lost = await self.write("append_log", self._log_rows(messages, watermarks))
        if lost.error is not None and lost.is_all:
            raise lost.error
        whole = [m for m in messages if m.id not in lost.owners and log_key(m) not in lost.owners]
        if whole:
            try:
                check_age(whole)
            except StoreUnavailable as error:
                raise OutcomeUnknown(str(error)) from None
            more = await self.write("append_inbox", self._inbox_rows(whole))
            whole = [
                m for m in whole if more.owners.isdisjoint({m.id, *(inbox_key(d, m.pos) for d in m.wraps)})
            ]
            lost.error = lost.error or more.error
        if lost.error is not None:
            stored = frozenset(m.id for m in whole)
            raise OutcomeUnknown(f"A write may have happened or not. {lost.error}", stored) from lost.error

    async def write(self, name: str, rows: Sequence[Row]) -> Lost:
        """Send rows, all at once; return what was not confirmed."""
        parts = batches(rows, self._owners())
        results = await self._bridge.ask(name, [statements.batch(part) for part in parts], WRITE)
        lost = Lost()
        refused = 0
        for part, result in zip(parts, results, strict=True):
            if not isinstance(result, Failure):
                self._remember(part)
                continue
            error = faults.translated(result.error)
            if not isinstance(error, StoreUnavailable):
                raise error
            lost.error = error
            lost.owners.update(row.owner for row in part)
            refused += result.is_refused
        lost.is_all = refused == len(parts)
        return lost

    def _log_rows(self, messages: Sequence[StoredMessage], watermarks: Sequence[Watermark]) -> list[Row]:
        make = self._statements
        rows = [row for mark in watermarks for row in make.receipt_rows(mark)]
        buckets = set[bytes]()
        for m in messages:
            if m.kind >= Kind.CONTROL:
                continue
            row = make.log_row(m)
            rows.append(row)
            if row.key not in self._buckets and row.key not in buckets:
                buckets.add(row.key)
                rows.append(make.bucket_row(m))
        if messages:
            # It may end up greater than what is stored, by what failed: a clock that goes on from there is right too.
            rows.append(make.newest_row(self.slot, max(m.pos for m in messages)))
        return rows

    def _inbox_rows(self, messages: Sequence[StoredMessage]) -> list[Row]:
        make = self._statements
        rows: list[Row] = []
        days = set[bytes]()
        for m in messages:
            for device, row in zip(m.wraps, make.inbox_rows(m), strict=True):
                rows.append(row)
                if row.key not in self._days and row.key not in days:
                    days.add(row.key)
                    rows.append(make.day_row(device, day_of(m.pos)))
        return rows

    def _remember(self, rows: Iterable[Row]) -> None:
        """Take note of which partitions are in the indexes now, and how large they are.

        A row and its index entry may be in different batches: one that is not confirmed fails its message, which is
        then appended once more. So an entry is known by its own confirmation only.
        """
        make = self._statements
        for row in rows:
            known = self._days if row.statement in (make.insert_inbox, make.day) else self._buckets
            if row.statement in (make.day, make.bucket):
                known.add(row.owner, 0)
            elif row.statement in (make.insert_inbox, make.insert_log) and row.key in known:
                total = known.add(row.key, row.size)
                if total > PARTITION_BYTES >= total - row.size:
                    what = "inbox" if known is self._days else "chat log"
                    self._warn(
                        "partition", f"Over {PARTITION_BYTES >> 20} MiB in {what} partition {row.key.hex()}."
                    )


def too_old(messages: Sequence[StoredMessage], now_ms: int, most_ms: int) -> None:
    """Refuse messages whose places in the inboxes readers may have gone past. Raises: `StoreUnavailable`."""
    late_ms = now_ms - millis(min((m.pos for m in messages), default=MessageId(b"\xff" * 16)))
    if late_ms > most_ms:
        raise StoreUnavailable(f"The messages are {late_ms} ms old and not written yet: too late.")
