"""A stranger takes everybody's one-time keys; then people meet who never wrote to each other."""

from __future__ import annotations

from ..faults.guests import drain_prekeys, mallory
from ..lab import Lab
from ..scenario import Pass, Scenario


async def fault(lab: Lab) -> None:
    async with mallory(lab) as client:
        await drain_prekeys(lab, client, 110)
    await lab.people.introduce()
    await lab.linger(4.0, 30)


SCENARIO = Scenario(
    hypothesis="Without one-time keys sessions begin with the signed one, and devices refill what was taken.",
    blast_radius="New sessions have a weaker start for a while.",
    fault=fault,
    passes=Pass(availability=0.9, recovery_s=10.0),
)
