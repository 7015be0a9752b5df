"""The network of all Cassandras loses packets; then one of them has a thin line too."""

from __future__ import annotations

from contextlib import AsyncExitStack

from ..faults.hosts import lossy, thin
from ..lab import Lab
from ..scenario import HOSTS, Pass, Scenario


async def fault(lab: Lab) -> None:
    servers = lab.fleet.cassandra.servers
    async with AsyncExitStack() as stack:
        for server in servers:
            await stack.enter_async_context(lossy(lab, server, 5))
        await lab.linger(8.0, 20)
        async with thin(lab, lab.random.choice(servers), 256):
            await lab.linger(8.0, 20)


SCENARIO = Scenario(
    hypothesis="TCP sends again what is lost: requests take longer, and a quorum is found without the slowest replica.",
    blast_radius="Everybody waits longer now and then.",
    fault=fault,
    stack=HOSTS,
    passes=Pass(availability=0.7, recovery_s=30.0),
)
