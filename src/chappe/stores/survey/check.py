"""Reads through a whole store and says what is wrong with it. `chappe store check` calls `Check.run`.

Page by page: first the rows, then what has to be known of them, so that a node may go on writing meanwhile; what a row
needs is there by the time the row is old enough to be judged. What makes a row wrong is in `rules.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .findings import Findings
from .rules import (
    Fault,
    InboxEntry,
    Limits,
    LogEntry,
    Partition,
    inbox_faults,
    is_wide,
    log_faults,
    unlisted,
)
from .sources import Page, Source, Told, Users, paced

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Check:
    """How to check. `rows_per_s` None: as fast as it goes. `repair`: enter what an index lacks."""

    limits: Limits
    now_ms: Callable[[], int]
    rows_per_s: float | None = None
    repair: bool = False

    def run(self, source: Source, users: Users, told: Told) -> Findings:
        """Read everything; return what was found.

        Raises: `StoreUnavailable`, `StoreDamaged`.
        """
        found = Findings()
        for device, count in users.keys_of_revoked():
            found.add(Fault.REVOKED_KEYS, device=device, keys=count)
        for inbox in self._pages("inbox", source.inbox(), found, told):
            self._inbox_rows(inbox.rows, source, users, found)
            lacking = source.unlisted_days(inbox.ended)
            self._unlisted(Fault.UNLISTED_DAY, lacking, source.list_day, found)
        for log in self._pages("chatlog", source.log(), found, told):
            self._log_rows(log.rows, users, found)
            lacking = source.unlisted_buckets(log.ended)
            self._unlisted(Fault.UNLISTED_BUCKET, lacking, source.list_bucket, found)
        for receipts in self._pages("receipts", source.receipts(), found, told):
            known = users.conversations({row.conv for row in receipts.rows})
            for row in receipts.rows:
                if row.conv not in known:
                    found.add(Fault.NO_RECEIPT_CONVERSATION, conv=row.conv, user=row.user)
        return found

    def _pages(self, table: str, pages: Iterable[Page[T]], found: Findings, told: Told) -> Iterator[Page[T]]:
        for page in paced(pages, self.rows_per_s):
            yield page
            found.rows[table] += len(page.rows)
            for one in page.ended:
                if is_wide(one, self.limits):
                    found.add(
                        Fault.WIDE, table=table, key=one.key, part=one.number, rows=one.rows, bytes=one.bytes
                    )
            told(table, page.done, found.rows[table])

    def _inbox_rows(self, rows: Sequence[InboxEntry], source: Source, users: Users, found: Findings) -> None:
        logged = source.logged(rows)
        standings = users.standings({row.device for row in rows})
        now_ms = self.now_ms()
        for row in rows:
            is_logged = (row.conv, row.id) in logged
            faults = inbox_faults(
                row, self.limits, now_ms, is_logged=is_logged, standing=standings[row.device]
            )
            for fault in faults:
                found.add(fault, device=row.device, part=row.day, conv=row.conv, id=row.id)

    def _log_rows(self, rows: Sequence[LogEntry], users: Users, found: Findings) -> None:
        known = users.conversations({row.conv for row in rows})
        now_ms = self.now_ms()
        for row in rows:
            for fault in log_faults(row, self.limits, now_ms, is_known=row.conv in known):
                found.add(fault, conv=row.conv, part=row.bucket, id=row.id)

    def _unlisted(
        self, what: Fault, lacking: Sequence[Partition], enter: Callable[[Partition], None], found: Findings
    ) -> None:
        now_ms = self.now_ms()
        for partition in lacking:
            fault = unlisted(what, partition, self.limits, now_ms)
            found.add(fault, key=partition.key, part=partition.number)
            if self.repair and fault.is_broken:
                enter(partition)
                found.repaired[fault] += 1
