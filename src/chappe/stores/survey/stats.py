"""How much a message store holds, and how it is spread: what every source has as its `summary`.

`scanned` reads everything and is exact. A cluster is too large for that on most days: `estimates.py` asks it instead.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any, Final, TypeVar

from ...ids import MessageId, millis
from .rules import InboxEntry, LogEntry, Partition
from .sources import Page, Source, Told, paced
from .spread import Spread

LARGEST: Final = 10

T = TypeVar("T")


class _Table:
    """What is known of a table that is being read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows = 0
        self.bytes = 0
        self.spread = Spread()
        self._largest: list[tuple[int, Partition]] = []

    def add(self, page: Page[T]) -> None:
        self.rows += len(page.rows)
        for one in page.ended:
            self.bytes += one.bytes
            self.spread.add(one.rows)
            heapq.heappush(self._largest, (one.bytes, one))
            if len(self._largest) > LARGEST:
                heapq.heappop(self._largest)

    def largest(self) -> list[dict[str, object]]:
        return [
            {
                "table": self.name,
                "key": one.key.hex(),
                "part": one.number,
                "rows": one.rows,
                "bytes": one.bytes,
            }
            for _, one in sorted(self._largest, reverse=True)
        ]


def scanned(source: Source, rows_per_s: float | None, told: Told) -> dict[str, Any]:
    """Read everything; return rows, bytes (of values), the largest partitions, and the first and last message.

    A store without partitions has one for each device and conversation. Raises: `StoreUnavailable`, `StoreDamaged`.
    """
    inbox, log, receipts = _Table("inbox"), _Table("chatlog"), _Table("receipts")
    first: MessageId | None = None
    last: MessageId | None = None

    def read(table: _Table, pages: Iterator[Page[T]]) -> Iterator[T]:
        for page in paced(pages, rows_per_s):
            table.add(page)
            yield from page.rows
            told(table.name, page.done, table.rows)

    rows: Iterator[InboxEntry | LogEntry]
    for rows in (read(inbox, source.inbox()), read(log, source.log())):
        for row in rows:
            first = row.id if first is None else min(first, row.id)
            last = row.id if last is None else max(last, row.id)
    for _ in read(receipts, source.receipts()):
        pass
    return {
        "is_estimate": False,
        "tables": [
            {"table": "inbox", "rows": inbox.rows, "bytes": inbox.bytes},
            {"table": "chatlog", "rows": log.rows, "bytes": log.bytes},
            {"table": "receipts", "rows": receipts.rows},
        ],
        "spreads": {
            "rows_per_inbox_partition": inbox.spread.to_dict(),
            "rows_per_chatlog_partition": log.spread.to_dict(),
        },
        "largest": log.largest() + inbox.largest(),
        "oldest_ms": None if first is None else millis(first),
        "newest_ms": None if last is None else millis(last),
    }
