"""One-time prekeys on a real PostgreSQL, claimed over many connections at once: each goes out at most once."""

from __future__ import annotations

import random
import threading
from collections.abc import AsyncIterator

import pytest
import trio
from sqlalchemy import Connection, select, text

from chappe.domain.accounts import Registration
from chappe.protocol.calls import Bundle
from chappe.stores.sql import keys as module
from chappe.stores.sql.engine import Database, migrate_database, open_database
from chappe.stores.sql.keys import SqlKeyStore
from chappe.stores.sql.lanes import SIZES, Lane
from chappe.stores.sql.schema import one_time_keys, spent_keys
from chappe.stores.sql.users import SqlUserStore
from tests.contracts import samples

CLAIMERS = 50
EACH = 4
KEYS = CLAIMERS * EACH


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    await trio.to_thread.run_sync(migrate_database, postgres_url)
    async with open_database(postgres_url, {**SIZES, Lane.KEYS: CLAIMERS}) as opened:
        yield opened


@pytest.fixture
def keys(database: Database) -> SqlKeyStore:
    return SqlKeyStore(database)


@pytest.fixture
async def owner(database: Database) -> Registration:
    registration = samples.registration()
    await SqlUserStore(database).create_account(registration)
    return registration


async def deadlocks(database: Database) -> int:
    statement = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    return await database.read(lambda connection: int(connection.execute(statement).scalar_one()))


def one_time_ids(given: list[Bundle]) -> list[int]:
    return [bundle.one_time.id for bundle in given if bundle.one_time is not None]


async def test_every_key_goes_out_once_to_fifty_at_a_time(
    database: Database, keys: SqlKeyStore, owner: Registration
) -> None:
    user, device = owner.account.user, owner.device.device
    await keys.add_one_time(device, samples.one_time(*range(KEYS)), samples.one_time_kem(*range(KEYS)))
    given: list[Bundle] = []
    connections: set[int] = set()

    together = threading.Barrier(CLAIMERS)

    def backend(connection: Connection) -> int:
        pid = int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
        together.wait(20)  # nobody gives a connection back before everybody has one
        return pid

    async def claim() -> None:
        connections.add(await database.read(backend, Lane.KEYS))
        for _ in range(EACH):
            given.extend(await keys.claim(user, [device]))

    async with trio.open_nursery() as nursery:
        for _ in range(CLAIMERS):
            nursery.start_soon(claim)
    # As many claims as keys: had one gone out twice, or one been lost, somebody would have got none.
    assert sorted(one_time_ids(given)) == list(range(KEYS))
    assert sorted(bundle.kem_id for bundle in given) == list(range(KEYS))
    assert await keys.count(device) == (0, 0)
    assert len(connections) == CLAIMERS
    assert await deadlocks(database) == 0


async def test_uploads_repeated_during_claims_bring_no_key_back(
    database: Database, keys: SqlKeyStore, owner: Registration
) -> None:
    user, device = owner.account.user, owner.device.device
    one_time, kem = samples.one_time(*range(60)), samples.one_time_kem(*range(60))
    await keys.add_one_time(device, one_time, kem)
    given: list[Bundle] = []

    async def claim() -> None:
        for _ in range(4):
            given.extend(await keys.claim(user, [device]))

    async def upload(order: random.Random) -> None:
        for _ in range(5):
            shuffled = order.sample(one_time, len(one_time))
            await keys.add_one_time(device, shuffled, kem)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(claim)
            if number % 4 == 0:
                nursery.start_soon(upload, random.Random(number))
    taken = one_time_ids(given)
    assert len(taken) == len(set(taken)) == 60 - (await keys.count(device))[0]
    assert await deadlocks(database) == 0
    spent = await database.read(
        lambda connection: connection.execute(
            select(one_time_keys.c.id).join(
                spent_keys,
                (spent_keys.c.device == one_time_keys.c.device)
                & (spent_keys.c.kind == one_time_keys.c.kind)
                & (spent_keys.c.id == one_time_keys.c.id),
            )
        ).all()
    )
    assert spent == [], "a key is there that was handed out"


async def test_a_claim_takes_the_next_key_instead_of_waiting(
    database: Database, keys: SqlKeyStore, owner: Registration
) -> None:
    user, device = owner.account.user, owner.device.device
    await keys.add_one_time(device, samples.one_time(1, 2), samples.one_time_kem(1, 2))
    half_way, go_on = trio.Event(), trio.Event()

    def claim_and_change_ones_mind(connection: Connection) -> None:
        (bundle,) = module._claim(connection, user, [device])
        assert (bundle.one_time and bundle.one_time.id, bundle.kem_id) == (1, 1)
        trio.from_thread.run_sync(half_way.set)
        trio.from_thread.run(go_on.wait)
        connection.rollback()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.write, claim_and_change_ones_mind, Lane.KEYS)
        await half_way.wait()
        (second,) = await keys.claim(user, [device])
        go_on.set()
    assert (second.one_time and second.one_time.id, second.kem_id) == (2, 2)
    # What was not handed out after all is there for the next one.
    (third,) = await keys.claim(user, [device])
    assert (third.one_time and third.one_time.id, third.kem_id) == (1, 1)


async def test_an_upload_that_met_a_claim_half_way_leaves_the_key_spent(
    database: Database, keys: SqlKeyStore, owner: Registration
) -> None:
    user, device = owner.account.user, owner.device.device
    first = samples.one_time(1)
    await keys.add_one_time(device, first, [])
    given: list[Bundle] = []
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    half_way, go_on = trio.Event(), trio.Event()

    def claim_slowly(connection: Connection) -> None:
        given.extend(module._claim(connection, user, [device]))
        trio.from_thread.run_sync(half_way.set)
        trio.from_thread.run(go_on.wait)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.write, claim_slowly, Lane.KEYS)
        await half_way.wait()
        nursery.start_soon(keys.add_one_time, device, first, [])
        while not await database.read(lambda connection: connection.execute(waiting).scalar_one()):  # noqa: ASYNC110 - the database tells nobody
            await trio.sleep(0.01)
        go_on.set()
    assert one_time_ids(given) == [1]
    assert await keys.count(device) == (0, 0)


async def test_revoking_a_device_during_claims_is_no_deadlock(
    database: Database, keys: SqlKeyStore, owner: Registration
) -> None:
    users = SqlUserStore(database)
    user, device = owner.account.user, owner.device.device
    await keys.add_one_time(device, samples.one_time(*range(40)), samples.one_time_kem(*range(40)))
    given: list[Bundle] = []

    async def claim() -> None:
        for _ in range(6):
            given.extend(await keys.claim(user, [device]))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(claim)
        await users.replace_device_list(user, b"list", 2, now_ms=1, link=None, revoke=[device])
    taken = one_time_ids(given)
    assert len(taken) == len(set(taken))
    assert await keys.claim(user, [device]) == []
    assert await keys.count(device) == (0, 0)
    assert await deadlocks(database) == 0
