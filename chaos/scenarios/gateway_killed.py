"""One of two nodes dies, with both its workers."""

from __future__ import annotations

from ..faults.processes import killed
from ..lab import Lab
from ..scenario import FULL, Pass, Scenario


async def fault(lab: Lab) -> None:
    async with killed(lab, lab.random.choice(lab.nodes)):
        await lab.linger(6.0, 30)


SCENARIO = Scenario(
    hypothesis="The people of the dead node are served by the other one within seconds, and miss nothing.",
    blast_radius="About half of the people are disconnected once.",
    fault=fault,
    stack=FULL,
    alerts=("page NodeDown",),
    passes=Pass(availability=0.5, recovery_s=20.0),
)
