"""compose.yaml's two commands with its environment, on the real services: migrate, then a node that is ready.

Only what Docker's network would do is done by hand: the names of the services become their addresses here.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import trio

from chaos.stack.node import free_port, until
from tests.services import Databases, Services

from .test_compose import OURS

pytestmark = pytest.mark.system


@pytest.fixture
def environment(services: Services, tmp_path: Path) -> Iterator[dict[str, str]]:
    fleet = services("postgres", "redis", "cassandra")
    cassandra = fleet.cassandra.address
    named = OURS["chappe"]["environment"]
    nothing = Databases(fleet.postgres.address["url"], lambda _: None)
    with nothing.clone() as url:
        theirs = {
            "CHAPPE_NODE_STORES__USERS_URL": url,
            "CHAPPE_NODE_CASSANDRA__HOSTS": json.dumps(cassandra["contact_points"]),
            "CHAPPE_NODE_BUS__URL": fleet.redis.address["url"],
        }
        assert set(theirs) < set(named)
        here = {
            "CHAPPE_NODE_CASSANDRA__PORT": str(cassandra["port"]),
            "CHAPPE_NODE_CASSANDRA__KEYSPACE": "chappe_compose",
            "CHAPPE_NODE_BUS__PREFIX": "compose:",
            "CHAPPE_NODE_STORES__DATA": str(tmp_path),
            "CHAPPE_NODE_GATEWAY__PORT": str(free_port()),
            "CHAPPE_NODE_HTTP__PORT": str(free_port()),
        }
        yield os.environ | named | theirs | here


def ready(environment: dict[str, str]) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{environment['CHAPPE_NODE_HTTP__PORT']}/readyz") as page:
            return bool(page.status == 200)
    except URLError:  # nobody listens yet, or it is not ready
        return False


async def test_it_migrates_and_serves(environment: dict[str, str], tmp_path: Path) -> None:
    chappe = str(Path(sys.executable).with_name("chappe"))

    async def migrate(*words: str) -> int:
        done = await trio.run_process(
            [chappe, *OURS["migrate"]["command"], *words], env=environment, check=False, capture_stdout=True
        )
        return done.returncode

    assert await migrate("--check") == 1
    assert (await migrate(), await migrate("--check")) == (0, 0)
    with (tmp_path / "log").open("w") as log:
        node = await trio.lowlevel.open_process([chappe, "serve"], env=environment, stdout=log, stderr=log)
    try:
        await until(lambda: ready(environment), "the node is ready")
        node.terminate()
        assert await node.wait() == 0
    finally:
        if node.returncode is None:
            node.kill()
            with trio.CancelScope(shield=True):
                await node.wait()
        print((tmp_path / "log").read_text())
