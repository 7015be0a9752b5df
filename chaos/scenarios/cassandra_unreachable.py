"""One of three Cassandras is cut off from everybody: it runs, and no packet reaches it or leaves it."""

from __future__ import annotations

from ..faults.hosts import cut_off
from ..lab import Lab
from ..scenario import HOSTS, Pass, Scenario


async def fault(lab: Lab) -> None:
    victim = lab.random.choice(lab.fleet.cassandra.servers)
    async with cut_off(lab, victim):
        await lab.linger(12.0, 30)


SCENARIO = Scenario(
    hypothesis="Two of three replicas are a quorum; connections that nobody closes are given up, and made again later.",
    blast_radius="Requests that were on their way to that host; their outcome is unknown, and they are sent again.",
    fault=fault,
    stack=HOSTS,
    passes=Pass(availability=0.5, recovery_s=40.0),
)
