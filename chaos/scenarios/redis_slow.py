"""The bus is slow: 300 ms each way between nodes and Redis, then deaf."""

from __future__ import annotations

from dataclasses import replace

from ..faults.network import deaf, slow
from ..lab import Lab
from ..scenario import FULL, Pass, Scenario


async def fault(lab: Lab) -> None:
    async with slow(lab, "redis", latency_ms=300, jitter_ms=100):
        await lab.linger(5.0, 20)
    async with deaf(lab, "redis"):
        await lab.linger(6.0, 20)


SCENARIO = Scenario(
    hypothesis="No send waits for the bus; a bus that hangs is given up and inboxes are polled.",
    blast_radius="Messages between nodes arrive later.",
    fault=fault,
    stack=replace(FULL, proxied=("redis",)),
    passes=Pass(availability=0.8, recovery_s=20.0),
)
