"""Everybody writes to one person, whose devices freeze for a while."""

from __future__ import annotations

from contextlib import AsyncExitStack

from ..faults.processes import frozen
from ..lab import Lab
from ..scenario import Pass, People, Scenario, Wanted

# More than a device may leave unacknowledged, and more than its live queue takes after that.
ENOUGH = 320

HOT = "person0"


async def fault(lab: Lab) -> None:
    groups = [
        group for group in lab.people.groups if any(plan.name.startswith(f"{HOT}-") for plan in group.plans)
    ]
    async with AsyncExitStack() as stack:
        for group in groups:
            assert group.process is not None
            pid = group.process.pid
            await stack.enter_async_context(frozen(lab, pid, "devices that everybody writes to"))
        await lab.linger(4.0, ENOUGH)


SCENARIO = Scenario(
    hypothesis="What a slow device cannot take overflows its queue and is read from its inbox later, all of it.",
    blast_radius="The one person's devices.",
    fault=fault,
    stack=Wanted(settings={"limits": "live_events = 8"}),
    people=People(people=12, with_two=1, per_s=3.0, in_process=2, is_hot=True),
    passes=Pass(availability=0.6, recovery_s=20.0),
    is_quick=True,
)
