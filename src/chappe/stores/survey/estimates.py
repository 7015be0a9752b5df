"""What a cluster says of the tables of the message store by itself, at the price of a few questions.

From the virtual tables `disk_usage`, `max_partition_size` and `tombstones_per_read`, which each node has for itself, in
whole mebibytes, file by file, of what it has flushed. The two indexes are read through: they are small, and say exactly
how many partitions there are, and how they are spread. Rejected: `system.size_estimates`, which knows of partitions by
the hundred and twenty-eight; on a ring of three it made 385 of two, and 4 GB of 36 MB (Cassandra 5.0.5).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from ...ids import millis
from ..cassandra.statements import BUCKET_MS
from .sources import Told, paced
from .spread import Spread

if TYPE_CHECKING:
    from .cassandra import CassandraSource

TABLES: Final = ("chatlog", "chatlog_buckets", "inbox", "inbox_days", "receipts", "newest")


def estimated(source: CassandraSource, rows_per_s: float | None, told: Told) -> dict[str, Any]:
    """Return what the cluster knows without reading the tables. Raises: `StoreUnavailable`."""
    newest = source.newest()
    return {
        "is_estimate": True,
        "tables": _tables(source),
        **indexes(source, rows_per_s, told),
        "newest_ms": None if newest is None else millis(newest),
    }


def indexes(source: CassandraSource, rows_per_s: float | None, told: Told) -> dict[str, Any]:
    """Return how many partitions there are, how they are spread, and when the oldest bucket begins.

    Raises: `StoreUnavailable`.
    """
    buckets, days = Spread(), Spread()
    oldest: int | None = None
    partitions: dict[str, int] = {}
    for table, index, spread, pages in (
        ("chatlog", "chatlog_buckets", buckets, source.index_of_buckets()),
        ("inbox", "inbox_days", days, source.index_of_days()),
    ):
        rows = 0
        for page in paced(pages, rows_per_s):
            rows += len(page.rows)
            for one in page.ended:
                spread.add(one.rows)
            if spread is buckets and page.rows:
                oldest = min(page.rows) if oldest is None else min(oldest, *page.rows)
            told(index, page.done, rows)
        partitions[table] = rows
    return {
        "partitions": partitions,
        "spreads": {"buckets_per_conversation": buckets.to_dict(), "days_per_device": days.to_dict()},
        "oldest_bucket_ms": None if oldest is None else oldest * BUCKET_MS,
    }


def _tables(source: CassandraSource) -> list[dict[str, object]]:
    disk = _views(source, "disk_usage", "mebibytes")
    widest = _views(source, "max_partition_size", "mebibytes")
    tombstones = _views(source, "tombstones_per_read", "max")
    return [
        {
            "table": table,
            "disk_mib_of_all_replicas": sum(disk[table]),
            "largest_partition_mib": max(widest[table], default=0),
            "most_tombstones_in_a_read": max(tombstones[table], default=0),
        }
        for table in TABLES
    ]


def _views(source: CassandraSource, view: str, column: str) -> dict[str, list[int]]:
    """Return what every node says of each of our tables."""
    found: dict[str, list[int]] = defaultdict(list)
    for keyspace, table, value in source.everywhere(
        f"SELECT keyspace_name, table_name, {column} FROM system_views.{view}"  # noqa: S608 - names of this file
    ):
        if keyspace == source.keyspace:
            found[table].append(round(value))
    return found
