"""The network of everybody is slow: 200 ms each way, with jitter."""

from __future__ import annotations

from ..faults.network import slow
from ..lab import Lab
from ..scenario import Pass, Scenario, Wanted


async def fault(lab: Lab) -> None:
    async with slow(lab, "people", latency_ms=200, jitter_ms=150):
        await lab.linger(10.0, 30)


SCENARIO = Scenario(
    hypothesis="Slow lines cost time and nothing else: no connection is given up.",
    blast_radius="Everybody waits half a second longer.",
    fault=fault,
    stack=Wanted(proxied=("people",)),
    passes=Pass(availability=0.95, recovery_s=10.0),
)
