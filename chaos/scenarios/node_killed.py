"""The only node dies three times in the middle of traffic."""

from __future__ import annotations

from ..faults.processes import killed
from ..lab import Lab
from ..scenario import Pass, Scenario


async def fault(lab: Lab) -> None:
    for _ in range(3):
        await lab.chat(10)
        async with killed(lab, lab.nodes[0]):
            await lab.linger(lab.random.uniform(0.0, 1.0))


SCENARIO = Scenario(
    hypothesis="Whatever was acknowledged before a kill -9 of the node is on its disk, and whatever was not is sent "
    "again and stored once.",
    blast_radius="Everybody: there is one node. Nobody can send for the seconds that it takes to start.",
    fault=fault,
    passes=Pass(availability=0.3, recovery_s=15.0),
    is_quick=True,
)
