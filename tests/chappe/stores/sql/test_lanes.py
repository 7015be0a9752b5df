"""One kind of work on the database cannot keep the others waiting."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import trio
from sqlalchemy import Connection, text

from chappe.stores.sql.engine import migrate_database, open_database
from chappe.stores.sql.lanes import SIZES, Lane


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What the blocked work waits for; opened at the end in any case."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("full", list(Lane))
async def test_a_full_lane_leaves_the_others_free(empty_url: str, full: Lane, gate: threading.Event) -> None:
    await trio.to_thread.run_sync(migrate_database, empty_url)
    done: list[int] = []

    def block(connection: Connection) -> None:
        connection.execute(text("SELECT 1")).close()
        gate.wait(4)
        done.append(1)

    async with open_database(empty_url) as database, trio.open_nursery() as nursery:
        for _ in range(3 * SIZES[full]):
            nursery.start_soon(database.read, block, full)
        await trio.testing.wait_all_tasks_blocked()
        for lane in Lane:
            if lane is not full:
                assert await database.read(lambda c: c.execute(text("SELECT 2")).scalar_one(), lane) == 2
        assert not done, "the lane was not full any more"
        gate.set()
    assert len(done) == 3 * SIZES[full]


async def test_on_sqlite_the_lanes_take_turns_at_the_one_writer(tmp_path: object) -> None:
    order: list[str] = []
    busy, gate = trio.Event(), threading.Event()

    def hold(_: Connection) -> None:
        trio.from_thread.run_sync(busy.set)
        gate.wait(4)

    async with open_database(f"sqlite:///{tmp_path}/users") as database, trio.open_nursery() as nursery:
        nursery.start_soon(database.write, hold, Lane.KEYS)
        await busy.wait()
        for number in range(20):
            nursery.start_soon(database.write, lambda _, n=number: order.append(f"keys {n}"), Lane.KEYS)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(database.write, lambda _: order.append("sign-in"), Lane.SIGN_IN)
        await trio.testing.wait_all_tasks_blocked()
        assert await database.read(lambda c: c.execute(text("SELECT 3")).scalar_one(), Lane.KEYS) == 3
        gate.set()
    assert len(order) == 21
    assert order.index("sign-in") <= 1, "it waited behind more than one other write"


async def test_a_lane_has_no_more_connections_than_its_size(postgres_url: str) -> None:
    await trio.to_thread.run_sync(migrate_database, postgres_url)
    mine = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'chappe'"
    )
    async with open_database(postgres_url) as database:
        async with trio.open_nursery() as nursery:
            for lane in Lane:
                for _ in range(4 * SIZES[lane]):
                    nursery.start_soon(
                        database.read, lambda c: c.execute(text("SELECT pg_sleep(0.05)")).close(), lane
                    )
        most = await database.read(lambda c: c.execute(mine).scalar_one())
    assert 2 <= most <= sum(SIZES.values())
