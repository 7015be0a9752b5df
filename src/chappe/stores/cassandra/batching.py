"""Rows into batches: pure. `append.py` gives it an append's rows and sends what comes out, all at once.

One request costs the driver more than a hundred microseconds, whatever is in it; a row in a batch costs a few. A batch
holds rows of any partitions whose replicas are the same nodes, so that its coordinator, one of them, hands nothing to
nodes that do not store it. Unlogged: the batch log would make two writes of each, and buy an atomicity that comes too
late to be of use (ADR 34).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final, NamedTuple

# Cassandra refuses batches over 50 KiB unless told otherwise, and counts a little more than the values.
BATCH_BYTES: Final = 32 * 1024
BATCH_ROWS: Final = 100
ROW_OVERHEAD_BYTES: Final = 64


class Row(NamedTuple):
    """One row to write: a prepared statement, its values as bytes, its partition and its size.

    `owner` says what is not stored without it: a message (its id), all of a partition (the key of that, for the entry
    of an index), or nothing else (empty).
    """

    statement: Any
    values: tuple[Any, ...]
    key: bytes
    size: int
    owner: bytes = b""


def batches(rows: Iterable[Row], owners: Callable[[bytes], Hashable]) -> list[list[Row]]:
    """Group rows by `owners(partition key)` and cut each group by count and bytes.

    A row over the limit of bytes is a batch of its own.
    """
    done: list[list[Row]] = []
    filling: dict[Hashable, list[Row]] = {}
    sizes: dict[Hashable, int] = {}
    for row in rows:
        group = owners(row.key)
        size = row.size + ROW_OVERHEAD_BYTES
        batch = filling.get(group)
        if batch is None or len(batch) >= BATCH_ROWS or sizes[group] + size > BATCH_BYTES:
            batch = filling[group] = []
            sizes[group] = 0
            done.append(batch)
        batch.append(row)
        sizes[group] += size
    return done
