"""A quarter of the devices freeze, and stop reading without closing anything."""

from __future__ import annotations

from contextlib import AsyncExitStack

from ..faults.processes import frozen
from ..lab import Lab
from ..scenario import Pass, Scenario, Wanted


async def fault(lab: Lab) -> None:
    async with AsyncExitStack() as stack:
        groups = lab.people.groups
        for group in lab.random.sample(groups, max(1, len(groups) // 4)):
            assert group.process is not None
            await stack.enter_async_context(frozen(lab, group.process.pid, f"the devices of {group.name}"))
        await lab.linger(10.0, 40)


SCENARIO = Scenario(
    hypothesis="A reader that stops costs its own connection only; back again it gets all that it missed.",
    blast_radius="The frozen devices. Nobody else waits for them.",
    fault=fault,
    stack=Wanted(settings={"timing": "heartbeat_s = 2\nanswer_s = 2\nstall_s = 3"}),
    passes=Pass(availability=0.8, recovery_s=20.0),
    is_quick=True,
)
