"""PostgreSQL answers nobody, and closes nothing."""

from __future__ import annotations

from dataclasses import replace

from ..faults.network import deaf
from ..lab import Lab
from ..scenario import FULL, Pass, Scenario


async def fault(lab: Lab) -> None:
    async with deaf(lab, "postgres"):
        await lab.linger(8.0, 10)


SCENARIO = Scenario(
    hypothesis="Calls to a store that hangs end by their deadline, and no thread pool that chat needs is used up.",
    blast_radius="Sign-ins, sessions with new devices, and conversations that are new to a worker wait.",
    fault=fault,
    stack=replace(FULL, proxied=("postgres",)),
    passes=Pass(availability=0.15, recovery_s=30.0),
)
