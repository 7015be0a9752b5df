"""Backups and restores as docs/backup.md says, command by command: the stores go back, the people who chat do not.

Each engine's operator runs the blocks of that page by their headings. Then all that the devices ever wrote down, before
and after, has to be one history in which nothing was lost, doubled or moved.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Protocol

import pytest
import trio

from chaos.people.crowd import Crowd, Habits, Profile, chatting, enrol
from chaos.stack.node import CONFIG, READY_S, Node, serving
from chappe.client import ErrorCode, RequestError
from chappe.history import Tick, load
from chappe.ids import UserId
from tests.services import Services, services
from tests.system.shared import Sections, shared_stores, to_toml

__all__ = ["services"]

pytestmark = [pytest.mark.system, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "backup.md"
DEVICES = {"alice": 2, "bob": 2, "carol": 1, "dave": 1}
OLD_TALKS = [("alice", "bob"), ("bob", "carol"), ("alice", "dave")]
LATER_TALKS = [("alice", "bob"), ("carol", "dave")]  # the second one is forgotten, and keys were used for it
NEW_TALKS = list(combinations(DEVICES, 2))  # with some that nobody ever had
MESSAGES = 15

CQLSH = """#!{python}
import sys
sys.path.insert(0, {root!r})
from deploy.services.cql import ALL, query
assert sys.argv[1] == "-e"
query({host!r}, {port}, sys.argv[2], ALL, 60.0)
"""


def blocks(heading: str) -> list[str]:
    """Return the commands that the page shows under a heading, block by block."""
    _, *sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    [text] = [section for section in sections if section.startswith(f"{heading}\n")]
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


class Operator:
    """Somebody with a shell and the page. `variables` are those that its commands name, `tools` comes first in PATH."""

    def __init__(self, node: Node, tools: Path, **variables: object) -> None:
        path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
        given = {name: str(value) for name, value in variables.items()}
        self._environment = os.environ | given | {"PATH": path, "CONFIG": str(node.config)}

    async def run(self, *commands: str) -> None:
        for command in commands:
            done = await trio.run_process(
                ["bash", "-euo", "pipefail", "-c", command],
                env=self._environment,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
            said = f"$ {command}\n{done.stdout.decode()}\n{done.stderr.decode()}"
            print(said)
            assert done.returncode == 0, said


class Engine(Protocol):
    """A node and what it keeps its data in."""

    node: Node

    async def back_up(self) -> None: ...
    async def restore(self) -> None: ...


class OnSqlite:
    """Both stores in the data folder."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node = node
        self._operator = Operator(node, folder, BACKUP=folder / "backup", DATA=node.data)

    async def back_up(self) -> None:
        await self._operator.run(*blocks("SQLite: back up"))

    async def restore(self) -> None:
        await self._operator.run(*blocks("SQLite: restore"))
        await self._operator.run('chappe store check --config "$CONFIG"')


class OnServers:
    """Users on PostgreSQL, messages on Cassandra."""

    def __init__(self, node: Node, folder: Path, found: Services, sections: Sections) -> None:
        self.node = node
        self._users_url = str(sections["stores"]["users_url"])
        self._restored = f"restored_{secrets.token_hex(4)}"
        cassandra = found("cassandra").cassandra
        address = cassandra.address
        tools, unpacked = folder / "tools", found.folder / self._restored
        tools.mkdir()
        unpacked.mkdir()
        self._tool(tools / "nodetool", f'#!/bin/sh\nexec {shlex.join(cassandra.nodetool(1, []))} "$@"\n')
        host, port = address["contact_points"][0], address["port"]
        self._tool(tools / "cqlsh", CQLSH.format(python=sys.executable, root=str(ROOT), host=host, port=port))
        self._operator = Operator(
            node,
            tools,
            BACKUP=folder / "backup",
            USERS=self._users_url.replace("+psycopg", ""),
            RESTORED=self._restored,
            KEYSPACE=sections["cassandra"]["keyspace"],
            CASSANDRA_DATA=cassandra.folder / "node1" / "data",
            TAG="before",
            UNPACKED=unpacked,
        )

    @staticmethod
    def _tool(file: Path, text: str) -> None:
        file.write_text(text)
        file.chmod(0o755)

    async def back_up(self) -> None:
        await self._operator.run(*blocks("PostgreSQL and Cassandra: back up"))

    async def restore(self) -> None:
        users, *others = blocks("PostgreSQL and Cassandra: restore")
        await self._operator.run(users)
        config = self.node.config
        config.write_text(config.read_text().replace(self._users_url, self._in_new_database()))
        await self._operator.run(*others)

    def _in_new_database(self) -> str:
        return f"{self._users_url.rpartition('/')[0]}/{self._restored}"


@pytest.fixture(params=["sqlite", "postgresql and cassandra"])
def on_servers(request: pytest.FixtureRequest) -> Iterator[tuple[Services, Sections] | None]:
    """Lend the settings of stores of this test's own, and what they are on; None for SQLite."""
    if request.param == "sqlite":
        yield None
        return
    found = request.getfixturevalue("services")
    with shared_stores(found, f"chappe_restore_{secrets.token_hex(4)}") as sections:
        sections["cassandra"]["replicas"] = 1
        yield found, sections


@pytest.fixture
async def engine(on_servers: tuple[Services, Sections] | None, tmp_path: Path) -> AsyncIterator[Engine]:
    """Run a node on either."""
    data = tmp_path / "data"
    sections: Sections = on_servers[1] if on_servers else {"stores": {"data": str(data)}}
    async with serving(tmp_path / "server", config=CONFIG + to_toml(sections), data=data) as node:
        yield OnServers(node, tmp_path, *on_servers) if on_servers else OnSqlite(node, tmp_path)


def acknowledged(people: Crowd) -> set[str]:
    """Return the ids that devices were told so far."""
    histories = [load(path) for path in people.histories if path.exists()]
    return {tick.id for history in histories for _, tick in history.each(Tick) if tick.id is not None}


async def on_server(profiles: dict[str, list[Profile]]) -> set[str]:
    """Return the ids in the server's log, as far back as people can page."""
    found: set[str] = set()
    for one, other in NEW_TALKS:
        async with profiles[one][0].client() as client:
            with trio.fail_after(READY_S):
                await client.online()
            conv, before, is_more = client.conversation(UserId(profiles[other][0].user)), None, True
            while is_more:
                try:
                    page = await client.fetch_history(conv, before, 200)
                except RequestError as error:
                    assert error.code is ErrorCode.UNKNOWN_CONVERSATION  # noqa: PT017 - nobody spoke in it
                    break
                found |= {entry.id.hex() for entry in page.entries}
                before, is_more = (page.entries[-1].id if page.entries else None), page.more
    return found


async def test_a_restore_loses_nothing_that_devices_hold(engine: Engine, tmp_path: Path, seed: int) -> None:
    profiles = await enrol(engine.node, tmp_path, DEVICES)

    def crowd(talks: Iterable[tuple[str, str]], seed: int) -> Crowd:
        return Crowd(engine.node, tmp_path, profiles, talks, Habits(seed, per_s=2.0))

    async with chatting(crowd(OLD_TALKS, seed)) as people:
        await people.chat(MESSAGES)
        before_backup = acknowledged(people)
        await engine.back_up()
        await people.chat(MESSAGES)
        before = await people.verdict()
        until_later = acknowledged(people)
    assert before.is_kept, before.to_text()
    async with chatting(crowd(LATER_TALKS, seed + 1)) as people:
        await people.chat(MESSAGES)
        later = await people.verdict()
        until_restore = acknowledged(people)
    assert later.is_kept, later.to_text()
    assert await engine.node.stop() == 0
    async with chatting(crowd(NEW_TALKS, seed + 2)) as people:  # nobody answers, so it all waits
        await engine.restore()
        await engine.node.start()
        await people.chat(3 * MESSAGES)
        after = await people.verdict()
        in_the_end = acknowledged(people)
    assert after.is_kept, after.to_text()
    assert after.acknowledged >= later.acknowledged + 3 * MESSAGES >= 6 * MESSAGES
    # The restore was one: what was said before the backup is there, what was said after it is not.
    there = await on_server(profiles)
    assert before_backup <= there
    assert not there & (until_restore - until_later)
    assert in_the_end - until_restore <= there
