"""Three nodes, three copies of each row: one node may die, and of two the store says so instead of guessing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any

import pytest
import trio

from chappe.domain.messages import StoredMessage, Watermark
from chappe.errors import StoreUnavailable
from chappe.ids import FIRST_ID, ConversationId, DeviceId, UserId
from chappe.ports import MessageStore
from chappe.settings import Cassandra
from chappe.stores.cassandra.messages import CassandraMessageStore
from tests.contracts import samples
from tests.services import Services

from .cluster import TABLES, empty, migrated, opened, settings_of, with_session

pytestmark = pytest.mark.slow

CONVERSATIONS = 24  # on all parts of the ring


@pytest.fixture
def ring(services: Services) -> Cassandra:
    settings = migrated(settings_of(services, nodes=3))
    empty(settings)
    return settings


@pytest.fixture
async def store(ring: Cassandra) -> AsyncIterator[CassandraMessageStore]:
    async with opened(ring) as one:
        yield one


def said_in(convs: Collection[ConversationId], device: DeviceId) -> list[StoredMessage]:
    return [samples.message(conv, device, body=bytes(1025)) for conv in convs]  # the body is in the log alone


async def check(
    store: MessageStore, said: Sequence[StoredMessage], marks: Sequence[Watermark], device: DeviceId
) -> None:
    """Read every row, by every way that there is."""
    assert await store.inbox(device, FIRST_ID, 1000) == [samples.inbox_row(m, device) for m in said]
    for m in said:
        assert samples.log_row(m) in await store.history(m.conv, None, 10)
        assert await store.find(m.conv, m.device, m.cid, FIRST_ID) == samples.log_row(m)
    assert set(await store.watermarks([mark.conv for mark in marks])) == set(marks)
    assert await store.newest_id() == said[-1].id


def test_nodes_are_reached_where_the_settings_say(ring: Cassandra) -> None:
    first, second, third = ring.hosts
    settings = ring.model_copy(update={"hosts": (first,), "translate": {second: "127.0.9.9"}})
    reached = with_session(
        settings, lambda session: {host.address for host in session.cluster.metadata.all_hosts()}
    )
    assert reached == {first, "127.0.9.9", third}


async def patiently(work: Callable[[], Awaitable[None]]) -> None:
    """Do something that may be refused at first: a node has just died, or has just come back."""
    with trio.fail_after(90):
        while True:
            try:
                return await work()
            except StoreUnavailable:
                await trio.sleep(0.1)


def test_the_keyspace_and_all_its_tables_are_kept_three_times(ring: Cassandra) -> None:
    def look(session: Any) -> tuple[dict[str, str], int, list[int]]:
        find = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s"
        replication = dict(session.execute(find, (ring.keyspace,)).one()[0])
        metadata = session.cluster.metadata
        copies = [len(metadata.get_replicas(ring.keyspace, samples.new_id())) for _ in range(CONVERSATIONS)]
        return replication, len(metadata.all_hosts()), copies

    replication, hosts, copies = with_session(ring, look)
    assert replication.pop("class").endswith("NetworkTopologyStrategy")
    assert replication == {ring.datacenter: "3"}
    assert (hosts, set(copies)) == (3, {3})


def test_a_dead_replica_is_not_waited_for_long(ring: Cassandra) -> None:
    find = "SELECT table_name, speculative_retry FROM system_schema.tables WHERE keyspace_name = %s"
    found = dict(with_session(ring, lambda session: list(session.execute(find, (ring.keyspace,)))))
    assert {found[table] for table in TABLES} == {"100ms"}


async def test_a_write_does_not_wait_for_a_node_that_hangs(
    services: Services, store: CassandraMessageStore
) -> None:
    device = DeviceId(samples.new_id())
    convs = [ConversationId(samples.new_id()) for _ in range(CONVERSATIONS)]
    hanging = services("cassandra", nodes=3).cassandra.servers[1]
    hanging.freeze()  # the driver has not heard of it: some batches are sent there, and to nobody else at first
    try:
        await store.append(said_in(convs, device), [])
    finally:
        hanging.thaw()
        services("cassandra", nodes=3)


async def test_rows_are_written_and_read_while_one_node_is_dead_and_refused_while_two_are(
    services: Services, store: CassandraMessageStore
) -> None:
    device = DeviceId(samples.new_id())
    convs = [ConversationId(samples.new_id()) for _ in range(CONVERSATIONS)]
    before = said_in(convs, device)
    marks = [Watermark(m.conv, UserId(samples.new_id()), m.id, None) for m in before]
    await store.append(before, marks)
    servers = services("cassandra", nodes=3).cassandra.servers
    try:
        servers[2].kill()
        await patiently(partial(check, store, before, marks, device))
        during = said_in(convs, device)
        await patiently(partial(store.append, during, []))
        await patiently(partial(check, store, [*before, *during], marks, device))

        servers[1].kill()  # one copy alone may be an old one
        with pytest.raises(StoreUnavailable):
            await store.inbox(device, FIRST_ID, 1)
        with pytest.raises(StoreUnavailable):
            await store.append(said_in(convs[:1], device), [])
        with pytest.raises(StoreUnavailable):
            await store.ping()
    finally:
        services("cassandra", nodes=3)

    async def everything_is_there() -> None:
        rows = await store.inbox(device, FIRST_ID, 1000)
        assert rows[: 2 * CONVERSATIONS] == [samples.inbox_row(m, device) for m in [*before, *during]]
        for m in during:
            assert await store.find(m.conv, m.device, m.cid, FIRST_ID) == samples.log_row(m)

    # Who was away has missed rows. With another one dead these must still be found, on the third alone.
    await patiently(store.ping)
    servers[0].kill()
    try:
        await patiently(store.ping)
        await patiently(everything_is_there)
    finally:
        services("cassandra", nodes=3)
