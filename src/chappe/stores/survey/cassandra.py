"""The message store on a cluster, read through by ranges of tokens, for `check.py` and `stats.py`.

Of each of a few ranges one page is asked for while the page before it is looked at: memory is bounded by so many pages,
and the cluster never has more than so many questions of this kind. A page that is not answered is asked for again.
Reads are of a quorum, as a gateway's are. Rejected: a thread for each range, which would wait at the same speed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar

from ...errors import StoreUnavailable
from ...ids import FIRST_ID, ConversationId, DeviceId, MessageId, UserId
from ...protocol.frames import Kind
from ..cassandra import faults
from ..cassandra.migrate import check_schema
from ..cassandra.session import WRITE, Where, close, connect
from ..cassandra.statements import (
    PAGE_ROWS,
    Statements,
    bound,
    bucket_of,
    day_of,
    integer,
    partition_key,
    uuids,
)
from .estimates import estimated, indexes
from .rules import InboxEntry, LogEntry, Partition, ReceiptEntry, Tally
from .sources import Page, Told
from .stats import scanned
from .tokens import pieces

PIECES: Final = 256  # of the ring: a bar moves, and on a ring of few nodes there are some to read at once
AT_ONCE: Final = 4  # ranges; of 256 rows with at most 64 KiB each
LOOKS_AT_ONCE: Final = 32
IDS_AT_ONCE: Final = 64
TRIES: Final = 6
PAUSE_S: Final = 2.0
ROW_BYTES: Final = 150  # what a row of either table has beside body and wrap

E = TypeVar("E")


class _Row(NamedTuple):
    """One row as it was read: what the check wants of it, and its partition, size and place."""

    entry: Any
    key: bytes
    number: int | None
    size: int
    at: MessageId


class CassandraSource:
    """A `Source`, and what a cluster says of its tables."""

    engine: Final = "cassandra"

    def __init__(self, session: Any, keyspace: str, prepared: Statements) -> None:
        self._session = session
        self.keyspace = keyspace
        self._statements = prepared
        self._scan_inbox = self._scanning(
            "device, day, pos, id, conv, kind, wrap, body", "inbox", "device, day"
        )
        self._scan_log = self._scanning("conv, bucket, id, body", "chatlog", "conv, bucket")
        self._scan_receipts = self._scanning("conv, user", "receipts", "conv")
        self._scan_days = self._scanning("device, day", "inbox_days", "device")
        self._scan_buckets = self._scanning("conv, bucket", "chatlog_buckets", "conv")
        self._logged = self._prepared("SELECT id FROM chatlog WHERE conv = ? AND bucket = ? AND id IN ?")

    def summary(self, rows_per_s: float | None, told: Told, *, scan: bool) -> dict[str, Any]:
        """Return how much there is by the cluster's own estimates; with `scan`, read through."""
        if not scan:
            return estimated(self, rows_per_s, told)
        found, more = scanned(self, rows_per_s, told), indexes(self, rows_per_s, told)
        return {**found, **more, "spreads": {**found["spreads"], **more["spreads"]}}

    def inbox(self) -> Iterator[Page[InboxEntry]]:
        """Yield all inbox rows, partition by partition."""
        return self._scan(self._scan_inbox, _inbox_row)

    def log(self) -> Iterator[Page[LogEntry]]:
        """Yield all chat log rows, partition by partition."""
        return self._scan(self._scan_log, _log_row)

    def receipts(self) -> Iterator[Page[ReceiptEntry]]:
        """Yield whose watermarks there are."""
        return self._scan(self._scan_receipts, _receipt_row)

    def index_of_days(self) -> Iterator[Page[int]]:
        """Yield the days of all devices; what ended is a device, and its rows are its days."""
        return self._scan(self._scan_days, _day_row)

    def index_of_buckets(self) -> Iterator[Page[int]]:
        """Yield the buckets of all conversations; what ended is a conversation, and its rows are its buckets."""
        return self._scan(self._scan_buckets, _bucket_row)

    def logged(self, rows: Sequence[InboxEntry]) -> set[tuple[ConversationId, MessageId]]:
        """Return which of these messages are in the chat log; those that belong there are looked for."""
        wanted: dict[tuple[ConversationId, int], set[MessageId]] = {}
        for row in rows:
            if row.kind < Kind.CONTROL:
                wanted.setdefault((row.conv, bucket_of(row.id)), set()).add(row.id)
        looks = [
            (conv, bucket, some)
            for (conv, bucket), ids in wanted.items()
            for some in _cut(sorted(ids), IDS_AT_ONCE)
        ]
        asked = [
            bound(self._logged, conv, integer(bucket), uuids(some), key=partition_key(conv, bucket))
            for conv, bucket, some in looks
        ]
        return {
            (conv, MessageId(row[0].bytes))
            for (conv, _, _), found in zip(looks, self._all(asked), strict=True)
            for row in found
        }

    def unlisted_days(self, inboxes: Sequence[Partition]) -> list[Partition]:
        """Return which of these partitions of inboxes the index lacks."""
        asked = [bound(self._statements.days, one.key, integer(0), key=one.key) for one in inboxes]
        return self._lacking(inboxes, asked)

    def unlisted_buckets(self, logs: Sequence[Partition]) -> list[Partition]:
        """Return which of these partitions of the chat log the index lacks."""
        asked = [
            bound(
                self._statements.buckets,
                one.key,
                integer(one.number or 0),
                integer(one.number or 0),
                key=one.key,
            )
            for one in logs
        ]
        return self._lacking(logs, asked)

    def list_day(self, inbox: Partition) -> None:
        """Enter a day into the index, for as long as a gateway would. Doing so twice is no error."""
        self._enter(self._statements.day, inbox)

    def list_bucket(self, log: Partition) -> None:
        """Enter ten days into the index. Doing so twice is no error."""
        self._enter(self._statements.bucket, log)

    def everywhere(self, cql: str) -> list[tuple[Any, ...]]:
        """Return what every node of this data centre says to a question that each answers for itself."""
        hosts = [host for host, pool in self._session.get_pool_state().items() if pool["open_count"]]
        with _translating():
            return [row for host in hosts for row in self._session.execute(cql, host=host)]

    def newest(self) -> MessageId | None:
        """Return the greatest message id that any gateway stored."""
        with _translating():
            rows = self._session.execute(f"SELECT id FROM {self.keyspace}.newest")  # noqa: S608 - checked
            return max((MessageId(row[0].bytes) for row in rows), default=None)

    def _scanning(self, columns: str, table: str, key: str) -> Any:
        return self._prepared(f"SELECT {columns} FROM {table} WHERE token({key}) > ? AND token({key}) <= ?")  # noqa: S608

    def _prepared(self, cql: str) -> Any:
        prepared = self._session.prepare(cql)
        prepared.is_idempotent = True
        prepared.fetch_size = PAGE_ROWS
        return prepared

    def _scan(self, prepared: Any, read: Callable[[Sequence[Any]], _Row]) -> Iterator[Page[Any]]:
        """Yield what a table holds: of a few ranges a page each, in turn."""
        ring = [token.value for token in self._session.cluster.metadata.token_map.ring]
        ranges = pieces(ring, PIECES)
        to_read = iter(ranges)
        reading = deque((self._ask(prepared.bind(one)), Tally()) for one in islice(to_read, AT_ONCE))
        done = 0
        while reading:
            asked, tally = reading.popleft()
            rows = [read(row) for row in asked.rows()]
            ended = [one for row in rows for one in tally.add(row.key, row.number, row.size, row.at)]
            if asked.next_page is not None:
                reading.append((self._ask(asked.statement, asked.next_page), tally))
            else:
                ended += tally.end()
                done += 1
                reading.extend((self._ask(prepared.bind(one)), Tally()) for one in islice(to_read, 1))
            yield Page([row.entry for row in rows], ended, done / len(ranges))

    def _ask(self, statement: Any, page: bytes | None = None) -> _Asked:
        return _Asked(self._session, statement, page)

    def _all(self, statements: Sequence[Any]) -> Iterator[list[Any]]:
        """Yield all rows of each statement, in order; so many are on their way at once."""
        for some in _cut(statements, LOOKS_AT_ONCE):
            for asked in [self._ask(one) for one in some]:
                rows = asked.rows()
                while asked.next_page is not None:
                    asked = self._ask(asked.statement, asked.next_page)  # noqa: PLW2901 - its next page
                    rows += asked.rows()
                yield rows

    def _lacking(self, partitions: Sequence[Partition], asked: Sequence[Any]) -> list[Partition]:
        found = zip(partitions, self._all(asked), strict=True)
        return [one for one, rows in found if all(number != one.number for (number,) in rows)]

    def _enter(self, prepared: Any, partition: Partition) -> None:
        entry = bound(prepared, partition.key, integer(partition.number or 0), key=partition.key)
        with _translating():
            self._session.execute(entry, execution_profile=WRITE)


class _Asked:
    """A question on its way. Asked again when there is no answer: a long scan does not end with one busy node."""

    def __init__(self, session: Any, statement: Any, page: bytes | None) -> None:
        self._session = session
        self.statement = statement
        self._page = page
        self.next_page: bytes | None = None
        self._future = self._send()

    def rows(self) -> list[Any]:
        """Wait for the page. Raises: `StoreUnavailable`."""
        for left in reversed(range(TRIES)):
            try:
                with _translating():
                    result = self._future.result()
                    self.next_page = result.paging_state if result.has_more_pages else None
                    return list(result.current_rows)
            except StoreUnavailable:
                if not left:
                    raise
                time.sleep(PAUSE_S)
                self._future = self._send()
        raise AssertionError("The last try returned or raised.")

    def _send(self) -> Any:
        # Without the second, speculative request of the profile for reads: nobody waits for this one.
        return self._session.execute_async(self.statement, execution_profile=WRITE, paging_state=self._page)


@contextmanager
def open_source(settings: Where, inbox_days: int, log_days: int) -> Iterator[CassandraSource]:
    """Connect to a cluster that may have gateways on it.

    Raises: `SettingsError` when the schema is not there or too new, or the cluster refuses the settings;
    `StoreUnavailable` when it is away.
    """
    session = connect(settings, None)
    try:
        with _translating():
            check_schema(session, settings.keyspace)
            session.set_keyspace(settings.keyspace)
            source = CassandraSource(session, settings.keyspace, Statements(session, inbox_days, log_days))
        yield source
    finally:
        close(session)


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        translated = faults.translated(error)
        if translated is error:
            raise
        raise translated from error


def _inbox_row(row: Sequence[Any]) -> _Row:
    device, day, pos, message, conv, kind, wrap, body = row
    at = MessageId(pos.bytes)
    entry = InboxEntry(
        DeviceId(device.bytes), day, at, MessageId((message or pos).bytes), ConversationId(conv), kind,
        day != day_of(at),
    )  # fmt: skip
    return _Row(entry, device.bytes, day, ROW_BYTES + len(wrap) + len(body or b""), at)


def _log_row(row: Sequence[Any]) -> _Row:
    conv, bucket, message, body = row
    at = MessageId(message.bytes)
    entry = LogEntry(ConversationId(conv), bucket, at, bucket != bucket_of(at))
    return _Row(entry, conv, bucket, ROW_BYTES + len(body), at)


def _receipt_row(row: Sequence[Any]) -> _Row:
    conv, user = row
    return _Row(ReceiptEntry(ConversationId(conv), UserId(user.bytes)), conv, None, 0, FIRST_ID)


def _day_row(row: Sequence[Any]) -> _Row:
    device, day = row
    return _Row(day, device.bytes, None, 0, FIRST_ID)


def _bucket_row(row: Sequence[Any]) -> _Row:
    conv, bucket = row
    return _Row(bucket, conv, None, 0, FIRST_ID)


def _cut(values: Sequence[E], size: int) -> Iterator[Sequence[E]]:
    for n in range(0, len(values), size):
        yield values[n : n + size]
