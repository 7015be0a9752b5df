"""A worker hangs: its connections stay open and nobody answers, until its parent kills it."""

from __future__ import annotations

from dataclasses import replace

from ..faults.processes import frozen
from ..lab import Lab
from ..scenario import FULL, Pass, Scenario


async def fault(lab: Lab) -> None:
    name, pid = lab.random.choice(sorted(lab.nodes[0].workers().items()))
    async with frozen(lab, pid, name):
        await lab.linger(18.0, 20)


# A busy machine may keep a healthy worker silent for some seconds, too.
SILENT_S = 10


SCENARIO = Scenario(
    hypothesis="A worker that falls silent is killed by its parent, and its people go on elsewhere.",
    blast_radius="A quarter of the people, for as long as a worker may be silent.",
    fault=fault,
    stack=replace(FULL, settings={"timing": f"worker_silent_s = {SILENT_S}"}),
    passes=Pass(availability=0.5, recovery_s=20.0),
)
