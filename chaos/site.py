"""Builds what a scenario wants, in an order in which everything can be undone, and takes it down again.

The journal hears of everything before it is there. Processes carry the run's mark in their environment; servers keep
their pid in a file; what is made in PostgreSQL and Cassandra has a name of its own.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from deploy.services import Fleet, Service

from .journal import Journal
from .lab import Site
from .scenario import Wanted
from .stack import disk
from .stack.certificates import Certificates
from .stack.node import CONFIG, Node, with_settings
from .stack.stack import Shape, Stack, ready
from .stack.toxiproxy import Proxy, Toxiproxy
from .undo import DropDatabase, DropKeyspace, EndProcesses, EndServer, Unmount


@dataclass(frozen=True)
class Ground:
    """Where a site is built: a folder, the services, the journal; `program` runs a node, `mark` is on every process."""

    folder: Path
    fleet: Fleet | None
    journal: Journal
    program: Sequence[str]
    mark: str


@asynccontextmanager
async def built(wanted: Wanted, ground: Ground) -> AsyncIterator[Site]:
    """Build a site and lend it; nodes are gone at the end. The rest, and what a crash leaves, is the journal's."""
    async with _built(wanted, ground) as site:
        try:
            yield site
        finally:
            for node in site.nodes:
                await node.kill()


@asynccontextmanager
async def _built(wanted: Wanted, ground: Ground) -> AsyncIterator[Site]:
    folder, fleet, journal, program = ground.folder, ground.fleet, ground.journal, ground.program
    end = EndProcesses(ground.mark)
    proxies: dict[str, Proxy] = {}
    toxiproxy = Toxiproxy(folder)
    if wanted.proxied:
        await _launch(toxiproxy, journal)
    if not wanted.is_full:
        data = folder / "node1" / "data"
        if wanted.disk_mb:
            journal.intend(Unmount(str(data)))
            await trio.to_thread.run_sync(disk.mount, data, wanted.disk_mb)
        journal.intend(end)  # undone first: nobody is to work on a disk that goes
        certificates = Certificates(folder) if wanted.is_tls else None
        config = with_settings(CONFIG, wanted.settings)
        if certificates:
            config = with_settings(config, certificates.settings)
            os.environ.update(certificates.environment)
        node = Node(folder / "node1", config=config, data=data, program=program)
        await node.start()
        await ready(node)
        if "people" in wanted.proxied:
            proxies["people"] = await trio.to_thread.run_sync(toxiproxy.proxy, "people", node.port)
        url = _url(proxies, node.url)
        if certificates:
            url = url.replace("ws:", "wss:")
        yield Site(url, [node], proxies=proxies, certificates=certificates)
        return
    assert fleet is not None
    ports = {"redis": fleet.redis.settings["port"], "postgres": fleet.postgres.settings["port"]}
    for part in (part for part in wanted.proxied if part in ports):
        proxies[part] = await trio.to_thread.run_sync(toxiproxy.proxy, part, ports[part])
    via = {part: proxy.port for part, proxy in proxies.items()}
    ring = fleet.cassandra.address
    twins = {host: _twin(host) for host in ring["contact_points"] if "cassandra" in wanted.proxied}
    for number, (host, twin) in enumerate(twins.items(), 1):
        before = partial(toxiproxy.proxy, host=host, at=twin)
        proxies[f"cassandra-{number}"] = await trio.to_thread.run_sync(
            before, f"cassandra-{number}", ring["port"]
        )
    shape = Shape(wanted.nodes, wanted.workers, via, twins, wanted.settings, program)
    stack = Stack(folder, fleet, shape)
    journal.intend(DropKeyspace(tuple(ring["contact_points"]), ring["port"], stack.name))
    journal.intend(DropDatabase(stack.administration, stack.name))
    journal.intend(EndServer(str(stack.balancer.folder / "process.json")))
    journal.intend(end)  # undone first: nobody is to miss a database
    # After a run that split the ring its nodes take a while to find each other, and tables are made by all of them.
    await trio.to_thread.run_sync(fleet.cassandra.wait_ready)
    await stack.start()
    if "people" in wanted.proxied:
        port = stack.balancer.settings["port"]
        proxies["people"] = await trio.to_thread.run_sync(toxiproxy.proxy, "people", port)
    yield Site(_url(proxies, stack.url), stack.nodes, fleet, stack.balancer, proxies)


def _twin(host: str) -> str:
    """Return where a Cassandra of loopback is reached by a proxy: the driver knows one port for all of them."""
    return f"127.0.200.{host.rpartition('.')[2]}"


def _url(proxies: dict[str, Proxy], direct: str) -> str:
    return f"ws://127.0.0.1:{proxies['people'].port}" if "people" in proxies else direct


async def _launch(service: Service, journal: Journal) -> None:
    journal.intend(EndServer(str(service.folder / "process.json")))

    def launch() -> None:
        service.check()
        service.launch()
        service.wait_ready()

    await trio.to_thread.run_sync(launch)
