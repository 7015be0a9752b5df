"""The clock of the only node is set back by five minutes, and forward again."""

from __future__ import annotations

from ..faults.machine import restart_with_clock
from ..lab import Lab
from ..scenario import Pass, Scenario


async def fault(lab: Lab) -> None:
    for clock_s in (-300.0, 0.0):
        await restart_with_clock(lab, lab.nodes[0], clock_s)
        await lab.linger(3.0, 20)


SCENARIO = Scenario(
    hypothesis="Ids never run behind those given out before, so order and cursors survive a clock that was set back.",
    blast_radius="The node says that it is not ready, and is disconnected twice by its restarts.",
    fault=fault,
    passes=Pass(availability=0.3, recovery_s=15.0),
)
