"""The disk of the only node has no space left, twice: a small one of its own, filled by somebody else's file."""

from __future__ import annotations

from ..faults.machine import filled_disk
from ..lab import Lab
from ..scenario import Pass, Scenario, Wanted


async def fault(lab: Lab) -> None:
    for _ in range(2):
        await lab.chat(10)
        async with filled_disk(lab, lab.nodes[0]):
            await lab.linger(6.0)


SCENARIO = Scenario(
    hypothesis="What finds no space is not acknowledged, and stored once there is room; the store stays whole.",
    blast_radius="Everybody's sends wait; what is already stored can be read.",
    fault=fault,
    stack=Wanted(disk_mb=48),
    alerts=("page DiskNearlyFull", "page SendsFail"),
    passes=Pass(availability=0.1, recovery_s=20.0),
)
