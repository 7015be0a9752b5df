"""Workers die, one after the other, under their parent."""

from __future__ import annotations

from ..faults.processes import kill_pid
from ..lab import Lab
from ..scenario import FULL, Pass, Scenario


async def fault(lab: Lab) -> None:
    for node in lab.nodes:
        name, pid = lab.random.choice(sorted(node.workers().items()))
        kill_pid(lab, pid, f"{name} of {node.folder.name}")
        await lab.linger(4.0, 20)


SCENARIO = Scenario(
    hypothesis="The parent starts a new worker; its people are with another one within seconds.",
    blast_radius="A quarter of the people at a time.",
    fault=fault,
    stack=FULL,
    passes=Pass(availability=0.6, recovery_s=20.0),
)
