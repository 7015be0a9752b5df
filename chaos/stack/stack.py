"""Chappe as people run it in production: nodes of several workers behind a balancer, on real stores and a bus.

The services are a `deploy.services.Fleet` that runs already; a stack takes a database, a keyspace and a prefix of its
own in it, so that many stacks can follow each other on one fleet.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import trio
from sqlalchemy import make_url

from deploy.services import Fleet

from .balancer import Balancer
from .node import CHAPPE, CONFIG, READY_S, Node, printed_code, with_settings

AGREED_S = 180.0
"""How long to do as `chappe migrate` says, once more, until Cassandras of which one was frozen agree on the schema."""

SETTINGS = """
drain_s = 5.0

[gateway]
workers = {workers}

[stores]
users_url = "{users_url}"
messages = "cassandra"

[cassandra]
hosts = {hosts}
translate = {translate}
port = {port}
keyspace = "{keyspace}"
datacenter = "{datacenter}"
replicas = {replicas}

[bus]
url = "{bus_url}"
prefix = "{name}:"

[log]
format = "json"
"""


@dataclass(frozen=True)
class Shape:
    """How a stack is built: nodes of `workers` processes that run `program`, with further `settings` by section.
    `via` names ports of proxies through which nodes reach `postgres` and `redis`, `twins` the addresses at which they
    reach each Cassandra.
    """

    nodes: int = 2
    workers: int = 2
    via: Mapping[str, int] = field(default_factory=dict)
    twins: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    program: Sequence[str] = (CHAPPE,)


class Stack:
    """Nodes behind a balancer: fulfils `people.crowd.Door`. Use `running`."""

    def __init__(self, folder: Path, fleet: Fleet, shape: Shape) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = f"stack_{secrets.token_hex(4)}"
        self.fleet = fleet
        self._users = make_url(fleet.postgres.address["url"])
        ring = fleet.cassandra.address
        users, bus = self._users.set(database=self.name), make_url(fleet.redis.address["url"])
        users = users.set(port=shape.via.get("postgres", users.port))
        bus = bus.set(port=shape.via.get("redis", bus.port))
        config = CONFIG + SETTINGS.format(
            workers=shape.workers,
            users_url=users.render_as_string(hide_password=False),
            hosts=json.dumps([shape.twins.get(host, host) for host in ring["contact_points"]]),
            translate="{" + ", ".join(f'"{host}" = "{twin}"' for host, twin in shape.twins.items()) + "}",
            port=ring["port"],
            datacenter=ring["datacenter"],
            replicas=len(ring["contact_points"]),
            keyspace=self.name,
            bus_url=bus.render_as_string(hide_password=False),
            name=self.name,
        )
        config = with_settings(config, shape.settings)
        self.nodes = [
            Node(folder / f"node{number}", config=config, program=shape.program)
            for number in range(1, shape.nodes + 1)
        ]
        self.balancer = Balancer(folder, self.nodes)

    @property
    def url(self) -> str:
        """Where people knock."""
        url: str = self.balancer.address["url"]
        return url

    async def code(self, phone: str) -> str:
        """Return the verification code that one of the nodes printed for a phone."""
        return await printed_code(self.nodes, phone)

    async def start(self) -> None:
        """Make the stores, start everything, and return when it serves."""
        await trio.to_thread.run_sync(self._prepare)
        async with trio.open_nursery() as nursery:
            for node in self.nodes:
                nursery.start_soon(node.start)
        for node in self.nodes:
            await ready(node)
        await trio.to_thread.run_sync(self._balance)

    async def stop(self) -> None:
        """End everything of this stack, as a crash would, and remove what it kept in the services."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                for node in self.nodes:
                    nursery.start_soon(node.kill)
            await trio.to_thread.run_sync(self.balancer.servers[0].kill)

    @property
    def administration(self) -> str:
        """How PostgreSQL itself is reached, for psycopg."""
        return self._users.set(drivername="postgresql").render_as_string(hide_password=False)

    def _prepare(self) -> None:
        with psycopg.connect(self.administration, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self.name}".encode())
        command = [CHAPPE, "migrate", "--config", str(self.nodes[0].config)]
        deadline = time.monotonic() + AGREED_S
        while True:
            migration = subprocess.run(command, check=False, capture_output=True, text=True)
            if "run this again" not in migration.stderr or time.monotonic() > deadline:
                break
        assert migration.returncode == 0, f"chappe migrate failed:\n{migration.stderr}"

    def _balance(self) -> None:
        self.balancer.check()
        self.balancer.launch()
        self.balancer.wait_ready()


async def ready(node: Node) -> None:
    """Return when a node says that it can do its work."""
    with trio.move_on_after(READY_S):
        while not await node.is_ready():
            await trio.sleep(0.05)
        return
    raise AssertionError(f"A node is not ready after {READY_S} s:\n{node.logged[-4000:]}")


@asynccontextmanager
async def running(folder: Path, fleet: Fleet, *, nodes: int = 2, workers: int = 2) -> AsyncIterator[Stack]:
    """Run a stack for a while."""
    stack = Stack(folder, fleet, Shape(nodes, workers))
    try:
        await stack.start()
        yield stack
    finally:
        await stack.stop()
