"""Redis is away for some seconds: no node hears from another."""

from __future__ import annotations

from ..faults.processes import server_away
from ..lab import Lab
from ..scenario import BUS_UP, FULL, STEADY, Pass, Scenario


async def fault(lab: Lab) -> None:
    async with server_away(lab, lab.fleet.redis.servers[0], "stop"):
        await lab.linger(8.0, 30)


SCENARIO = Scenario(
    hypothesis="The bus only wakes: without it messages are stored and acknowledged as before, and inboxes are polled.",
    blast_radius="Messages between nodes arrive with the poll's delay; presence and typing stand still.",
    fault=fault,
    stack=FULL,
    steady=(*STEADY, BUS_UP),
    alerts=("ticket BusDown",),
    passes=Pass(availability=0.8, recovery_s=15.0),
)
