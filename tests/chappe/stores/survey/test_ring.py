"""A check goes on when one of three nodes is killed under it."""

from __future__ import annotations

import pytest

from chappe.ids import HybridClock
from chappe.settings import Cassandra as CassandraSettings
from chappe.stores.survey.cassandra import open_source
from chappe.stores.survey.check import Check
from chappe.stores.survey.rules import Limits
from chappe.stores.survey.users import open_users
from tests.chappe.stores.cassandra.cluster import empty, migrated, opened, settings_of
from tests.contracts import samples
from tests.services import Services

from .world import DAY_MS, LONG, NOW, counts, populate


@pytest.fixture
def ring(services: Services) -> CassandraSettings:
    settings = migrated(settings_of(services, nodes=3))
    empty(settings)
    return settings


@pytest.mark.slow
async def test_a_node_is_killed_under_a_check(services: Services, ring: CassandraSettings, url: str) -> None:
    third = services("cassandra", nodes=3).cassandra.servers[2]
    world = await populate(url)
    clock = HybridClock(lambda: NOW - DAY_MS, node=1)
    async with opened(ring) as store:
        for _ in range(40):
            said = [samples.message(world.conv, world.phone, body=LONG, at=clock.next()) for _ in range(50)]
            await store.append(said, [])
    pages = 0

    def told(_table: str, _done: float, _rows: int) -> None:
        nonlocal pages
        pages += 1
        if pages == 20:
            third.kill()

    with open_source(ring, 30, 0) as source, open_users(url) as users:
        check = Check(Limits(5_500, 30, 0, 2**26, 400_000), lambda: NOW)
        found = check.run(source, users, told)
    assert pages > 3 * 256
    assert counts(found) == {}
    assert found.rows == {"inbox": 2_000, "chatlog": 2_000, "receipts": 0}
