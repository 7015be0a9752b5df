"""Redis is away, and one Cassandra hangs: writes are slow and nobody is woken."""

from __future__ import annotations

from ..faults.processes import server_away
from ..lab import Lab
from ..scenario import FULL, Pass, People, Scenario


async def fault(lab: Lab) -> None:
    victim = lab.random.choice(lab.fleet.cassandra.servers)
    async with server_away(lab, lab.fleet.redis.servers[0], "kill"):
        await lab.linger(4.0, 20)
        async with server_away(lab, victim, "freeze"):
            await lab.linger(8.0, 30)


SCENARIO = Scenario(
    hypothesis="Inboxes are polled while writes with smaller ids are still on their way; no cursor goes past those.",
    blast_radius="Messages between nodes arrive with the poll's delay, some sends only at the second attempt.",
    fault=fault,
    stack=FULL,
    people=People(people=12, with_two=4, per_s=1.5),
    passes=Pass(availability=0.1, recovery_s=30.0),
)
