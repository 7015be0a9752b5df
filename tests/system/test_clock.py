"""The server's clock is set back by minutes between two starts, and forward again: no harm to any message.

Where there is another clock to hold it against, the database's, the node says that its own is wrong.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.people.crowd import Habits, crowd
from chaos.stack.node import CONFIG, serving, until
from chappe.stores.sql.engine import migrate_database
from tests.services import Databases, Services, services

__all__ = ["services"]  # a fixture: pytest finds it here


@pytest.mark.system
async def test_a_clock_that_was_set_back_changes_neither_order_nor_delivery(
    tmp_path: Path, seed: int
) -> None:
    async with serving(tmp_path / "server") as server:
        async with crowd(server, tmp_path, {"alice": 2, "bob": 1}, Habits(seed, per_s=5.0)) as people:
            for clock_s in (-300.0, 0.0):
                await people.chat(10)
                await server.kill()
                await server.start(clock_s=clock_s)
                assert ("set it right" in await server.page("/readyz")) == (clock_s < 0)
            await people.chat(10)
            verdict = await people.verdict()
    assert verdict.is_kept, verdict.to_text()


@pytest.fixture(scope="session")
def databases(services: Services) -> Databases:
    return Databases(services("postgres").postgres.address["url"], migrate_database)


@pytest.mark.system
async def test_a_node_whose_clock_is_off_the_databases_says_that_it_is_not_ready(
    tmp_path: Path, databases: Databases
) -> None:
    with databases.clone() as url:
        async with serving(tmp_path, config=f'{CONFIG}\n[stores]\nusers_url = "{url}"\n') as server:
            for starts, (clock_s, says) in enumerate(
                [
                    (0.0, "ready"),
                    (60.0, "60.0 s ahead of the database's"),
                    (-60.0, "60.0 s behind the database's"),
                ],
                1,
            ):
                if starts > 1:
                    await server.kill()
                    await server.start(clock_s=clock_s)
                await until(lambda n=starts: server.logged.count(" listening ") == n, "everything runs")
                answer = await server.page("/readyz")
                assert answer.split()[1] == ("503" if clock_s else "200")
                assert says in answer
                assert await server.metric("chappe_clock_skew_seconds") == pytest.approx(clock_s, abs=5.0)
