"""The balancer dies, and all connections with it."""

from __future__ import annotations

from ..faults.processes import balancer_away
from ..lab import Lab
from ..scenario import FULL, Pass, Scenario


async def fault(lab: Lab) -> None:
    async with balancer_away(lab):
        await lab.linger(2.0)
    await lab.linger(4.0, 20)


SCENARIO = Scenario(
    hypothesis="Everybody comes back at random moments and resumes; nothing is lost between two connections.",
    blast_radius="Everybody, for some seconds.",
    fault=fault,
    stack=FULL,
    passes=Pass(availability=0.2, recovery_s=20.0),
)
