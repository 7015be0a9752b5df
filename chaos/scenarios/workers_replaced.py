"""An operator replaces every worker of both nodes, as for a new certificate or release."""

from __future__ import annotations

from ..faults.machine import replace_workers
from ..lab import Lab
from ..scenario import FULL, Pass, Scenario


async def fault(lab: Lab) -> None:
    for node in lab.nodes:
        await replace_workers(lab, node)
    await lab.chat(10)


SCENARIO = Scenario(
    hypothesis="A planned replacement costs nobody a message, and hardly anybody a second.",
    blast_radius="Each connection moves once, when its old worker has drained.",
    fault=fault,
    stack=FULL,
    passes=Pass(availability=0.8, recovery_s=15.0),
)
