"""The disk of the only node is full, three times."""

from __future__ import annotations

import trio

from ..faults.machine import full_disk
from ..lab import Lab
from ..scenario import Pass, Scenario


async def fault(lab: Lab) -> None:
    for _ in range(3):
        await lab.chat(10)
        async with full_disk(lab, lab.nodes[0]):
            await trio.sleep(3.0)


SCENARIO = Scenario(
    hypothesis="While nothing can be written nothing is acknowledged; once there is room everything queued is stored.",
    blast_radius="Everybody's sends wait; what is already stored can be read.",
    fault=fault,
    alerts=("page SendsFail",),
    passes=Pass(availability=0.1, recovery_s=15.0),
    is_quick=True,
)
