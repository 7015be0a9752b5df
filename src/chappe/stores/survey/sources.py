"""What `check.py` and `stats.py` need of a message store and of the user store, whichever they are.

The pages of a table are read one after the other and forgotten: memory is bounded by a page, or a few on Cassandra.
All may raise `StoreUnavailable`, and `StoreDamaged` where a file can be.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from ...errors import ChappeError
from ...ids import ConversationId, DeviceId, MessageId
from .rules import InboxEntry, LogEntry, Partition, ReceiptEntry, Standing

T = TypeVar("T")

# Told after every page: what is being read, how much of it is done (0 to 1), and how many rows that were.
Told = Callable[[str, float, int], None]


class StoreDamaged(ChappeError):
    """A store's file cannot be read as what it is: only a backup helps."""


class Page(NamedTuple, Generic[T]):
    """Some rows of a table, the partitions that ended in them, and how much of the table is done, from 0 to 1."""

    rows: list[T]
    ended: list[Partition]
    done: float


class Source(Protocol):
    """A message store. `engine` is what it runs on."""

    @property
    def engine(self) -> str: ...

    def summary(self, rows_per_s: float | None, told: Told, *, scan: bool) -> dict[str, Any]:
        """Return how much there is, for programs. A store too large to be read through says what it knows, and reads
        only with `scan`.
        """

    def inbox(self) -> Iterator[Page[InboxEntry]]:
        """Yield all inbox rows, partition by partition."""

    def log(self) -> Iterator[Page[LogEntry]]:
        """Yield all chat log rows, partition by partition."""

    def receipts(self) -> Iterator[Page[ReceiptEntry]]:
        """Yield whose watermarks there are."""

    def logged(self, rows: Sequence[InboxEntry]) -> set[tuple[ConversationId, MessageId]]:
        """Return which of these messages are in the chat log."""

    def unlisted_days(self, inboxes: Sequence[Partition]) -> list[Partition]:
        """Return which of these partitions of inboxes the index lacks."""

    def unlisted_buckets(self, logs: Sequence[Partition]) -> list[Partition]:
        """Return which of these partitions of the chat log the index lacks."""

    def list_day(self, inbox: Partition) -> None:
        """Enter a day into the index. Doing so twice is no error."""

    def list_bucket(self, log: Partition) -> None:
        """Enter ten days into the index. Doing so twice is no error."""


class Users(Protocol):
    """The user store."""

    def standings(self, devices: Collection[DeviceId]) -> dict[DeviceId, Standing]:
        """Return what is known of each of these devices."""

    def conversations(self, convs: Collection[ConversationId]) -> set[ConversationId]:
        """Return which of these conversations there are."""

    def keys_of_revoked(self) -> Iterator[tuple[DeviceId, int]]:
        """Yield the revoked devices that have one-time prekeys, and how many."""


def paced(pages: Iterable[Page[T]], rows_per_s: float | None) -> Iterator[Page[T]]:
    """Yield the pages, no faster than so many rows a second."""
    due = time.monotonic()
    for page in pages:
        yield page
        if rows_per_s is not None:
            due = max(due, time.monotonic() - 1.0) + len(page.rows) / rows_per_s
            time.sleep(max(0.0, due - time.monotonic()))
