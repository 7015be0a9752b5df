"""One of three Cassandras hangs."""

from __future__ import annotations

from ..faults.processes import server_away
from ..lab import Lab
from ..scenario import FULL, Pass, Scenario


async def fault(lab: Lab) -> None:
    victim = lab.random.choice(lab.fleet.cassandra.servers)
    async with server_away(lab, victim, "freeze"):
        await lab.linger(8.0, 30)


SCENARIO = Scenario(
    hypothesis="Two of three replicas are a quorum, and who is slow is not waited for; the third catches up later.",
    blast_radius="Requests that were on their way to that node; their outcome is unknown, and they are sent again.",
    fault=fault,
    stack=FULL,
    passes=Pass(availability=0.8, recovery_s=30.0),
)
