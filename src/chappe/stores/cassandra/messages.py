"""The replicated `MessageStore`: what the gateway calls, on Cassandra. The tables are in `migrations/`.

Any number of gateways write at the same time, and any of them may lose touch in the middle of it: `append.py` says in
which order rows are written, and what is known when that fails. This module reads, and opens the store.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

import trio

from ...domain.messages import InboxRow, LogRow, StoredMessage, Watermark, merged
from ...errors import OutcomeUnknown, StoreUnavailable
from ...ids import FIRST_ID, Cid, ConversationId, DeviceId, MessageId
from . import faults, statements
from .append import NEWEST_SLOTS, Appender, too_old
from .bridge import Answer, Bridge, Failure, Observe, Result, Warn
from .migrate import check_schema
from .session import READ, Where, close, connect
from .statements import Statements, bound, bucket_of, day_of, edge, integer, message_of, partition_key

DEADLINE_S: Final = 5.0
GOODBYE_S: Final = 5.0
FIND_BUCKETS: Final = 4  # 40 days: longer than an inbox waits, so than any client that still tries to send
BODIES_AT_ONCE: Final = 32  # of up to 64 KiB each
_LAST_BUCKET: Final = 2**31 - 1
_CONV, _BODY = 2, 9  # in a row of an inbox


@dataclass(frozen=True, slots=True)
class Options:
    """What the adapter is told beside where the cluster is. `observe` and `warn` must not raise."""

    inbox_days: int = 30
    log_days: int = 0
    write_deadline_ms: int = 5_000
    requests: int = 256
    observe: Observe = lambda _name, _outcome, _seconds: None
    warn: Warn = lambda _kind, _text: None


class CassandraMessageStore:
    """Chat log, inboxes and receipts on a cluster. Made by `open_message_store`."""

    is_exclusive: Final = False

    def __init__(
        self, session: Any, prepared: Statements, options: Options, now_ms: Callable[[], int]
    ) -> None:
        self._session = session
        self._statements = prepared
        self._options = options
        self._now_ms = now_ms
        self._bridge = Bridge(session, requests=options.requests, observe=options.observe, warn=options.warn)
        self._appender = Appender(self._bridge, prepared, self._owners, options.warn)

    async def append(self, messages: Sequence[StoredMessage], watermarks: Sequence[Watermark]) -> None:
        """Store all of these; durable on a quorum on return.

        Raises: `OutcomeUnknown`, also when the messages got too old meanwhile; `StoreUnavailable` when nothing was
        stored. Cancelled, it is as if it had raised the former.
        """
        if not messages and not watermarks:
            await trio.lowlevel.checkpoint()
            return
        try:
            with trio.fail_after(DEADLINE_S):
                await self._appender.append(messages, watermarks, self._check_age)
        except trio.TooSlowError:
            raise OutcomeUnknown(f"Cassandra did not confirm a write within {DEADLINE_S:g} s.") from None

    async def find(self, conv: ConversationId, device: DeviceId, cid: Cid, after: MessageId) -> LogRow | None:
        """Return the message (device, cid) of a conversation if it has an id greater than `after`.

        Tries that failed may have left several, under other ids. Only the one that was written last can have been
        shown: whoever wrote that had looked, and would have taken what was shown before.

        Looks into the newest 40 days in which something was said: an older one is not found, and its second copy is
        the receivers' to drop.
        """
        rows: list[tuple[Any, ...]] = []
        with _deadline():
            for bucket in (await self._bucket_numbers(conv, bucket_of(after), _LAST_BUCKET))[:FIND_BUCKETS]:
                statement = bound(
                    self._statements.find, conv, integer(bucket), edge(after), device, cid,
                    key=partition_key(conv, bucket),
                )  # fmt: skip
                rows += await self._read("find", statement, None)
        return statements.log_row(conv, max(rows, key=itemgetter(0))[1:]) if rows else None

    async def history(self, conv: ConversationId, before: MessageId | None, limit: int) -> list[LogRow]:
        """Return up to `limit` rows with ids less than `before`, newest first."""
        found: list[LogRow] = []
        last = _LAST_BUCKET if before is None else bucket_of(before)
        with _deadline():
            for bucket in await self._bucket_numbers(conv, 0, last):
                left = limit - len(found)
                if left <= 0:
                    break
                values = (conv, integer(bucket)) if before is None else (conv, integer(bucket), edge(before))
                prepared = self._statements.history_all if before is None else self._statements.history
                statement = bound(prepared, *values, integer(left), key=partition_key(conv, bucket))
                rows = await self._read("history", statement, left)
                found += [statements.log_row(conv, row) for row in rows]
        return found

    async def inbox(self, device: DeviceId, after: MessageId, limit: int) -> list[InboxRow]:
        """Return up to `limit` rows of a device's inbox with positions greater than `after`, in their order."""
        found: list[InboxRow] = []
        with _deadline():
            for day in await self._day_numbers(device, day_of(after)):
                cursor = edge(after)
                while (left := limit - len(found)) > 0:
                    statement = bound(
                        self._statements.inbox, device, integer(day), cursor, integer(left),
                        key=partition_key(device, day),
                    )  # fmt: skip
                    rows = await self._read("inbox", statement, left)
                    found += await self._with_bodies(rows)
                    if len(rows) < left:
                        break
                    cursor = rows[-1][0].bytes
        return found

    async def watermarks(self, convs: Sequence[ConversationId]) -> list[Watermark]:
        """Return everybody's watermarks in these conversations."""
        wanted = list(dict.fromkeys(convs))
        asked = [bound(self._statements.watermarks, conv, key=conv) for conv in wanted]
        found = []
        with _deadline():
            for conv, statement, answer in zip(
                wanted, asked, await self._ask("watermarks", asked), strict=True
            ):
                rows = await self._rest("watermarks", statement, answer, None)
                found += [merged(None, statements.watermark(conv, row)) for row in rows]
        return found

    async def newest_id(self) -> MessageId:
        """Return the greatest message id that any gateway stored, or 16 zero bytes."""
        asked = [
            bound(self._statements.newest, integer(slot), key=integer(slot)) for slot in range(NEWEST_SLOTS)
        ]
        with _deadline():
            answers = await self._ask("newest", asked)
        return max((MessageId(row[0].bytes) for answer in answers for row in answer.rows), default=FIRST_ID)

    async def ping(self) -> None:
        """Return if a quorum would answer, and accept a write, for one partition: it says nothing of all others.

        Raises: `StoreUnavailable`.
        """
        with _deadline():
            # The smallest id there is: whatever is stored stays.
            lost = await self._appender.write(
                "ping", [self._statements.newest_row(self._appender.slot, FIRST_ID)]
            )
            if lost.error is not None:
                raise lost.error
            await self._ask("ping", [bound(self._statements.newest, integer(0), key=integer(0))])

    def replicas(self) -> tuple[int, int]:
        """Return how many nodes are up, as far as the driver knows, and how many there are."""
        hosts = self._session.cluster.metadata.all_hosts()
        return sum(bool(host.is_up) for host in hosts), len(hosts)

    async def aclose(self) -> None:
        """End what is in flight, for a while, and the driver; nothing can be called afterwards."""
        with trio.move_on_after(GOODBYE_S, shield=True):
            await self._bridge.drain()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(close, self._session)

    def _check_age(self, messages: Sequence[StoredMessage]) -> None:
        too_old(messages, self._now_ms(), self._options.write_deadline_ms)

    def _owners(self) -> Callable[[bytes], frozenset[Any]]:
        """Return the function from a partition to its replicas."""
        metadata, keyspace = self._session.cluster.metadata, self._session.keyspace
        everybody = frozenset(metadata.all_hosts())
        if len(metadata.get_replicas(keyspace, b"")) >= len(everybody):
            return lambda _: everybody  # each node has everything
        return lambda key: frozenset(metadata.get_replicas(keyspace, key))

    async def _bucket_numbers(self, conv: ConversationId, first: int, last: int) -> list[int]:
        """Return which buckets hold anything, newest first."""
        statement = bound(self._statements.buckets, conv, integer(first), integer(last), key=conv)
        return [row[0] for row in await self._read("buckets", statement, None)]

    async def _day_numbers(self, device: DeviceId, first: int) -> list[int]:
        """Return the days on which a device got anything, oldest first."""
        statement = bound(self._statements.days, device, integer(first), key=device)
        return [row[0] for row in await self._read("days", statement, None)]

    async def _with_bodies(self, rows: Sequence[Sequence[Any]]) -> list[InboxRow]:
        """Return inbox rows with the bodies that the chat log keeps; without those whose body is not there."""
        missing: dict[bytes, tuple[bytes, int, list[bytes]]] = {}
        for row in rows:
            if row[_BODY] is None:
                message, conv = message_of(row), row[_CONV]
                bucket = bucket_of(message)
                missing.setdefault(partition_key(conv, bucket), (conv, bucket, []))[2].append(message)
        if not missing:
            return [statements.inbox_row(row, row[_BODY]) for row in rows]
        asked = [
            bound(
                self._statements.bodies, conv, integer(bucket), statements.uuids(ids[n : n + BODIES_AT_ONCE]),
                key=key,
            )
            for key, (conv, bucket, ids) in missing.items()
            for n in range(0, len(ids), BODIES_AT_ONCE)
        ]  # fmt: skip
        bodies: dict[bytes, bytes] = {
            message.bytes: body
            for answer in await self._ask("bodies", asked)
            for message, body in answer.rows
        }
        return [
            statements.inbox_row(row, bodies[message_of(row)] if row[_BODY] is None else row[_BODY])
            for row in rows
            if row[_BODY] is not None or message_of(row) in bodies
        ]

    async def _read(self, name: str, statement: Any, limit: int | None) -> list[tuple[Any, ...]]:
        """Return all rows of one read, or the first `limit`, page by page."""
        (answer,) = await self._ask(name, [statement])
        return await self._rest(name, statement, answer, limit)

    async def _rest(
        self, name: str, statement: Any, answer: Answer, limit: int | None
    ) -> list[tuple[Any, ...]]:
        rows = list(answer.rows)
        while answer.next_page is not None and (limit is None or len(rows) < limit):
            (answer,) = await self._ask(name, [statement], answer.next_page)
            rows += answer.rows
        return rows

    async def _ask(self, name: str, asked: Sequence[Any], next_page: bytes | None = None) -> list[Answer]:
        results = await self._bridge.ask(name, asked, READ, next_page)
        return [_answer(result) for result in results]


@asynccontextmanager
async def open_message_store(
    settings: Where, now_ms: Callable[[], int], options: Options | None = None
) -> AsyncIterator[CassandraMessageStore]:
    """Open the store on a keyspace that `migrate` has made. `now_ms` is the wall clock that ids are made with.

    Raises: `SettingsError` when the schema is not there or too new, or the cluster refuses the settings;
    `StoreUnavailable` when it is away.
    """
    options = options or Options()
    session, prepared = await trio.to_thread.run_sync(_open, settings, options)
    store = CassandraMessageStore(session, prepared, options, now_ms)
    try:
        yield store
    finally:
        await store.aclose()


def _open(settings: Where, options: Options) -> tuple[Any, Statements]:
    session = connect(settings, None)
    try:
        check_schema(session, settings.keyspace)
        session.set_keyspace(settings.keyspace)
        return session, Statements(session, options.inbox_days, options.log_days)
    except BaseException as error:
        close(session)
        raise faults.translated(error) from error


def _answer(result: Result) -> Answer:
    if isinstance(result, Failure):
        raise faults.translated(result.error) from result.error
    return result


@contextmanager
def _deadline() -> Iterator[None]:
    try:
        with trio.fail_after(DEADLINE_S):
            yield
    except trio.TooSlowError:
        raise StoreUnavailable(f"Cassandra did not answer within {DEADLINE_S:g} s; try again.") from None
