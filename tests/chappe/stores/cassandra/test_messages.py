"""What only this `MessageStore` does: two steps, indexes, many writers. The contract is in `tests/contracts`."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
import trio
import trio.testing
from cassandra.query import BatchStatement, BatchType, BoundStatement
from msgspec.structs import replace

from chappe.domain.messages import Watermark
from chappe.errors import OutcomeUnknown, StoreUnavailable
from chappe.ids import FIRST_ID, Cid, ConversationId, DeviceId, HybridClock, MessageId, UserId, floor_id
from chappe.protocol.frames import Kind
from chappe.settings import Cassandra
from chappe.stores.cassandra import append, statements
from chappe.stores.cassandra import messages as adapter
from chappe.stores.cassandra.messages import CassandraMessageStore
from chappe.stores.cassandra.statements import BUCKET_MS, DAY_MS, inbox_key, log_key
from tests.contracts import samples

from .cluster import Gate, gated, opened

LONG = bytes(1025)


@pytest.fixture
def conv() -> ConversationId:
    return ConversationId(samples.new_id())


@pytest.fixture
def device() -> DeviceId:
    return DeviceId(samples.new_id())


def at(ms: int, number: int = 1) -> MessageId:
    clock = HybridClock(lambda: ms, node=number)
    for _ in range(number):
        made = clock.next()
    return made


def keys_read(gate: Gate, since: int) -> Counter[bytes]:
    """Return which partitions were asked for since so many statements, and how often."""
    return Counter(statement.routing_key for statement in gate.statements[since:])


# Two steps


async def test_what_is_in_no_inbox_yet_is_found_and_stored_once_more_under_its_id(
    store: CassandraMessageStore, conv: ConversationId, device: DeviceId
) -> None:
    before = samples.next_id()
    short, long = samples.message(conv, device), samples.message(conv, device, body=LONG)
    gate = gated(store)
    gate.is_shut = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.append, [short, long], [])
        await trio.testing.wait_all_tasks_blocked()
        await trio.to_thread.run_sync(gate.until_waiting, 1)
        nursery.cancel_scope.cancel()  # the log has it, and the writer is gone
    gate.open()
    assert await store.inbox(device, FIRST_ID, 10) == []
    for m in (short, long):
        assert await store.find(conv, m.device, m.cid, before) == samples.log_row(m)
    cursor = samples.next_id()  # of a reader that went on meanwhile
    again = [replace(m, again=samples.next_id()) for m in (short, long)]
    await store.append(again, [])
    assert await store.inbox(device, cursor, 10) == [samples.inbox_row(m, device) for m in again]
    assert [row.id for row in await store.inbox(device, cursor, 10)] == [short.id, long.id]
    assert await store.history(conv, None, 10) == [samples.log_row(m) for m in (long, short)]


async def test_of_one_append_each_message_is_judged_by_its_own_rows(
    store: CassandraMessageStore, conv: ConversationId, device: DeviceId, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ConversationId(samples.new_id())
    elsewhere = DeviceId(samples.new_id())
    kept, not_logged = samples.message(conv, device), samples.message(other, device)
    not_delivered = samples.message(conv, device, elsewhere)
    monkeypatch.setattr(
        store._appender, "_owners", lambda: lambda key: key
    )  # each partition on nodes of its own
    gate = gated(store)
    gate.unreachable = {log_key(not_logged), inbox_key(elsewhere, not_delivered.pos)}
    with pytest.raises(OutcomeUnknown) as raised:
        await store.append([kept, not_logged, not_delivered], [])
    assert set(raised.value.stored) == {kept.id}
    gate.unreachable.clear()
    assert {row.id for row in await store.inbox(device, FIRST_ID, 10)} >= {kept.id}
    assert not_logged.id not in {row.id for row in await store.inbox(device, FIRST_ID, 10)}
    assert await store.find(other, not_logged.device, not_logged.cid, FIRST_ID) is None
    assert await store.find(conv, not_delivered.device, not_delivered.cid, FIRST_ID) is not None


async def test_an_inbox_page_is_full_although_rows_without_body_are_left_out(
    store: CassandraMessageStore, conv: ConversationId, device: DeviceId, session: Any
) -> None:
    said = [samples.message(conv, device, body=LONG) for _ in range(6)]
    await store.append(said, [])
    for m in said[:3]:
        session.execute(
            "DELETE FROM chatlog WHERE conv = %s AND bucket = %s AND id = %s",
            (conv, int.from_bytes(m.id[:6], "big") // BUCKET_MS, UUID(bytes=m.id)),
        )
    assert await store.inbox(device, FIRST_ID, 2) == [samples.inbox_row(m, device) for m in said[3:5]]


async def test_what_is_too_old_is_not_written(
    settings: Cassandra, conv: ConversationId, device: DeviceId
) -> None:
    in_time, late = samples.message(conv, device, at=at(10_000)), samples.message(conv, device, at=at(9_999))
    async with opened(settings, now_ms=15_000) as store:
        await store.append([in_time], [])
        with pytest.raises(StoreUnavailable, match="too late") as raised:
            await store.append([late], [])
        assert not isinstance(raised.value, OutcomeUnknown)
        assert await store.history(conv, None, 10) == [samples.log_row(in_time)]
        await store.append([replace(late, again=at(10_001))], [])
        assert [row.id for row in await store.inbox(device, FIRST_ID, 10)] == [in_time.id, late.id]


async def test_what_gets_too_old_between_the_steps_is_in_no_inbox(
    settings: Cassandra, conv: ConversationId, device: DeviceId, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([10_000, 99_999])  # as after a SIGSTOP
    async with opened(settings) as store:
        monkeypatch.setattr(store, "_now_ms", lambda: next(clock))
        with pytest.raises(OutcomeUnknown, match="too late"):
            await store.append([samples.message(conv, device, at=at(10_000))], [])
        assert len(await store.history(conv, None, 10)) == 1
        assert await store.inbox(device, FIRST_ID, 10) == []


async def test_no_answer_in_time_means_unknown_for_a_write_and_away_for_a_read(
    store: CassandraMessageStore, conv: ConversationId, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = gated(store)
    gate.is_shut = True
    monkeypatch.setattr(adapter, "DEADLINE_S", 0.05)
    with pytest.raises(OutcomeUnknown):
        await store.append([samples.message(conv)], [])
    with pytest.raises(StoreUnavailable) as raised:
        await store.history(conv, None, 1)
    assert not isinstance(raised.value, OutcomeUnknown)
    gate.open()


async def test_a_write_that_was_refused_is_known_not_to_have_happened(
    settings: Cassandra,
    store: CassandraMessageStore,
    conv: ConversationId,
    device: DeviceId,
    session: Any,
) -> None:
    replicated = (
        f"ALTER KEYSPACE {settings.keyspace} WITH replication ="
        f" {{'class': 'NetworkTopologyStrategy', '{settings.datacenter}': %s}}"
    )
    session.execute(replicated, (9,))  # more than twice as many as there are: no quorum
    try:
        with pytest.raises(StoreUnavailable) as raised:
            await store.append([samples.message(conv, device)], [])
        assert not isinstance(raised.value, OutcomeUnknown)
        with pytest.raises(StoreUnavailable):
            await store.inbox(device, FIRST_ID, 1)
        with pytest.raises(StoreUnavailable):
            await store.ping()
    finally:
        session.execute(replicated, (settings.replicas,))
    assert await store.inbox(device, FIRST_ID, 1) == []


# Watermarks and the newest id: the greater wins


@pytest.mark.parametrize("is_one_batch", [True, False])
async def test_watermarks_in_any_order_end_at_the_greatest(
    store: CassandraMessageStore, conv: ConversationId, is_one_batch: bool
) -> None:
    # Two of them in one millisecond, where write times are equal and the value decides.
    ids = [at(1_000), at(2_000, 1), at(2_000, 2), at(3_000)]
    marks = [[Watermark(conv, UserId(samples.new_id()), one, None) for one in ids] for _ in range(24)]
    for order, (first, *_) in zip(permutations(range(4)), marks, strict=True):
        written = [Watermark(conv, first.user, ids[n], ids[n - 1] if n else None) for n in order]
        if is_one_batch:
            await store.append([], written)
        else:
            for mark in written:
                await store.append([], [mark])
    assert {(m.delivered, m.read) for m in await store.watermarks([conv])} == {(ids[3], ids[2])}
    assert len(await store.watermarks([conv])) == 24


async def test_writers_at_the_same_time_end_at_the_greatest(
    settings: Cassandra, store: CassandraMessageStore, conv: ConversationId
) -> None:
    user = UserId(samples.new_id())
    ids = [at(5_000, n) for n in range(1, 41)]

    async def write(through: CassandraMessageStore, wanted: list[MessageId]) -> None:
        for one in wanted:
            await through.append([], [Watermark(conv, user, one, one)])

    async with opened(settings) as other, trio.open_nursery() as nursery:
        nursery.start_soon(write, store, ids[::2])
        nursery.start_soon(write, other, ids[1::2][::-1])
    assert await store.watermarks([conv]) == [Watermark(conv, user, ids[-1], ids[-1])]


async def test_the_newest_id_is_of_all_writers_and_never_goes_back(
    settings: Cassandra, store: CassandraMessageStore, conv: ConversationId
) -> None:
    async with opened(settings) as other:
        other._appender.slot = (store._appender.slot + 1) % adapter.NEWEST_SLOTS
        await store.append([samples.message(conv, at=at(9_000))], [])
        await other.append([samples.message(conv, at=at(9_000, 2))], [])
        await store.append([samples.message(conv, at=at(8_000))], [])
        await store.ping()
        assert await store.newest_id() == await other.newest_id() == at(9_000, 2)


# Wide rows


async def test_history_is_paged_over_buckets_and_reads_only_those_with_something_in_them(
    store: CassandraMessageStore, conv: ConversationId
) -> None:
    said = [
        samples.message(conv, at=at(bucket * BUCKET_MS + n)) for bucket in (3, 4, 90, 700) for n in range(3)
    ]
    await store.append(said, [])
    rows = [samples.log_row(m) for m in reversed(said)]
    gate = gated(store)
    assert await store.history(conv, None, 100) == rows
    assert gate.sent == 5  # the index and four buckets
    pages: list[Any] = []
    before = None
    while page := await store.history(conv, before, 5):
        pages += page
        before = page[-1].id
    assert pages == rows


async def test_a_long_history_comes_in_pages(store: CassandraMessageStore, conv: ConversationId) -> None:
    said = [samples.message(conv) for _ in range(600)]
    await store.append(said, [])
    gate = gated(store)
    assert await store.history(conv, None, 600) == [samples.log_row(m) for m in reversed(said)]
    assert gate.sent == 4  # the index, and three pages of at most 256


async def test_a_thousand_waiting_messages_are_read_from_three_partitions(
    store: CassandraMessageStore, conv: ConversationId, device: DeviceId
) -> None:
    midnight = 20_000 * DAY_MS
    said = [samples.message(conv, device, at=at(midnight + (n - 500) * 1000)) for n in range(1000)]
    cursor = at(midnight - 600_000)
    for n in range(0, 1000, 100):
        await store.append(said[n : n + 100], [])
    gate = gated(store)
    rows: list[Any] = []
    after = cursor
    while page := await store.inbox(device, after, 256):
        rows += page
        after = page[-1].id
    assert rows == [samples.inbox_row(m, device) for m in said]
    read = keys_read(gate, 0)
    assert len(read) == 3  # the days it got anything on, and those two days
    assert gate.sent == 11


async def test_days_without_anything_cost_nothing(
    store: CassandraMessageStore, conv: ConversationId, device: DeviceId
) -> None:
    said = [samples.message(conv, device, at=at(day * DAY_MS)) for day in (19_000, 19_001, 19_029)]
    await store.append(said, [])
    gate = gated(store)
    rows = [samples.inbox_row(m, device) for m in said]
    assert await store.inbox(device, floor_id(19_000 * DAY_MS), 10) == rows
    assert gate.sent == 4
    assert await store.inbox(device, said[0].id, 10) == rows[1:]


@pytest.mark.parametrize("log_days", [0, 90])
async def test_the_log_expires_when_it_is_to_and_watermarks_never(
    settings: Cassandra, session: Any, conv: ConversationId, device: DeviceId, log_days: int
) -> None:
    mark = Watermark(conv, UserId(samples.new_id()), samples.next_id(), None)
    async with opened(settings, log_days=log_days) as store:
        await store.append([samples.message(conv, device)], [mark])
    ((row_s,),) = session.execute("SELECT TTL(body) FROM chatlog")
    ((receipt_s,),) = session.execute("SELECT TTL(delivered) FROM receipts")
    assert receipt_s is None
    if log_days:
        assert log_days * 86_400 - 600 < row_s <= log_days * 86_400
    else:
        assert row_s is None


def test_the_entry_of_ten_days_outlives_the_last_of_their_rows() -> None:
    row_s, entry_s = (int(ending.removeprefix(" USING TTL ")) for ending in statements._log_ttls(90))
    assert (row_s, entry_s - row_s >= BUCKET_MS // 1000 + 86_400) == (90 * 86_400, True)


async def test_index_entries_are_written_once(
    store: CassandraMessageStore, conv: ConversationId, device: DeviceId
) -> None:
    gate = gated(store)
    inserted: Counter[str] = Counter()
    for _ in range(3):
        await store.append([samples.message(conv, device), samples.message(conv, device)], [])
    tables = {p.query_id: p.query_string.split()[2] for p in vars(store._statements).values()}
    for statement in gate.statements:
        if isinstance(statement, BatchStatement):
            inserted.update(tables[query] for _, query, _ in statement._statements_and_parameters)
        else:
            inserted[tables[statement.prepared_statement.query_id]] += 1
    assert inserted == {"inbox": 6, "inbox_days": 1, "chatlog_buckets": 1, "newest": 3, "chatlog": 6}


async def test_entries_of_a_failed_append_are_written_again(
    store: CassandraMessageStore, conv: ConversationId, device: DeviceId, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = gated(store)
    gate.is_shut = True
    with monkeypatch.context() as shorter:
        shorter.setattr(adapter, "DEADLINE_S", 0.05)
        with pytest.raises(OutcomeUnknown):
            await store.append([samples.message(conv, device)], [])
    gate.open()
    assert len(store._appender._days._bytes) == len(store._appender._buckets._bytes) == 0


async def test_a_retried_message_is_looked_for_in_forty_days_at_most(
    store: CassandraMessageStore, conv: ConversationId
) -> None:
    said = [samples.message(conv, at=at(bucket * BUCKET_MS)) for bucket in range(10, 18)]
    await store.append(said, [])
    gate = gated(store)
    assert await store.find(conv, said[4].device, said[4].cid, FIRST_ID) == samples.log_row(said[4])
    assert gate.sent == 5
    assert await store.find(conv, said[3].device, said[3].cid, FIRST_ID) is None
    assert await store.find(conv, said[4].device, Cid(samples.new_id()), said[6].id) is None


async def test_inbox_rows_expire_and_their_days_a_little_later(
    settings: Cassandra, conv: ConversationId, device: DeviceId, session: Any
) -> None:
    async with opened(settings, inbox_days=7) as store:
        await store.append([samples.message(conv, device)], [])
        # An entry is all key, and Cassandra tells the time to live of values only.
        assert store._statements.day.query_string.endswith(f"USING TTL {9 * 86_400}")
    left_s = session.execute("SELECT TTL(wrap) FROM inbox").one()[0]
    assert 7 * 86_400 - 600 < left_s <= 7 * 86_400


async def test_no_write_makes_a_tombstone(
    store: CassandraMessageStore, conv: ConversationId, device: DeviceId
) -> None:
    gate = gated(store)
    await store.append(
        [samples.message(conv, device), samples.message(conv, device, body=LONG, kind=Kind.MESSAGE)],
        [Watermark(conv, UserId(samples.new_id()), None, samples.next_id())],
    )
    for statement in gate.statements:
        one = [(None, None, statement.values)] if isinstance(statement, BoundStatement) else None
        for _, _, values in one or statement._statements_and_parameters:
            assert None not in values


# Batches, warnings


async def test_a_large_append_is_a_few_batches_that_all_have_to_succeed(
    store: CassandraMessageStore, conv: ConversationId
) -> None:
    devices = [DeviceId(samples.new_id()) for _ in range(300)]
    gate = gated(store)
    await store.append([samples.message(conv, *devices), samples.message(conv, kind=Kind.CONTROL)], [])
    batches = [len(s) for s in gate.statements if isinstance(s, BatchStatement)]
    assert all(s.batch_type is BatchType.UNLOGGED for s in gate.statements if isinstance(s, BatchStatement))
    assert (
        sum(batches) == 300 + 300 + 3
    )  # inboxes and their days; before that the log row, its bucket, the newest
    assert max(batches) <= 100
    assert gate.sent == len(batches)
    assert all([await store.inbox(device, FIRST_ID, 10) for device in devices])


async def test_a_partition_past_its_size_is_told_once(
    settings: Cassandra, conv: ConversationId, device: DeviceId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(append, "PARTITION_BYTES", 3_000)
    told: list[tuple[str, str]] = []
    async with opened(settings, warn=lambda *what: told.append(what)) as store:
        for _ in range(6):
            await store.append([samples.message(conv, device, body=bytes(1000))], [])
    assert [(kind, "inbox" in text) for kind, text in told] == [("partition", False), ("partition", True)]


async def test_a_read_over_tombstones_is_told(
    settings: Cassandra, conv: ConversationId, device: DeviceId, session: Any
) -> None:
    day = 19_000
    delete = session.prepare("DELETE FROM inbox WHERE device = ? AND day = ? AND pos = ?")
    ids = [at(day * DAY_MS + n) for n in range(1_100)]
    for n in range(0, len(ids), 100):
        batch = BatchStatement(BatchType.UNLOGGED)
        for one in ids[n : n + 100]:
            batch.add(delete, (UUID(bytes=device), day, UUID(bytes=one)))
        session.execute(batch)
    told: list[tuple[str, str]] = []
    seen: list[tuple[str, str, float]] = []
    async with opened(
        settings, warn=lambda *what: told.append(what), observe=lambda *what: seen.append(what)
    ) as store:
        await store.append([samples.message(conv, device, at=at(day * DAY_MS + 5_000))], [])
        assert len(await store.inbox(device, FIRST_ID, 10)) == 1
    assert "tombstones" in {kind for kind, _ in told}
    assert {(name, outcome) for name, outcome, _ in seen} == {
        ("append_inbox", "ok"), ("append_log", "ok"), ("days", "ok"), ("inbox", "ok"),
    }  # fmt: skip
    assert all(0 < seconds < 60 for _, _, seconds in seen)
