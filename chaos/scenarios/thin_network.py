"""The line of everybody carries 8 KB a second, and is slow to close."""

from __future__ import annotations

from ..faults.network import toxic
from ..lab import Lab
from ..scenario import Pass, Scenario, Wanted


async def fault(lab: Lab) -> None:
    async with toxic(lab, "people", "bandwidth", rate=8), toxic(lab, "people", "slow_close", delay=1000):
        await lab.linger(12.0, 20)


SCENARIO = Scenario(
    hypothesis="Thin lines fill queues, which are bounded; nobody is dropped who still reads.",
    blast_radius="Messages take longer.",
    fault=fault,
    stack=Wanted(proxied=("people",)),
    passes=Pass(availability=0.7, recovery_s=20.0),
)
