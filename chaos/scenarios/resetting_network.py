"""Every connection is reset after a while, again and again."""

from __future__ import annotations

from ..faults.network import cut, toxic
from ..lab import Lab
from ..scenario import Pass, Scenario, Wanted


async def fault(lab: Lab) -> None:
    for _ in range(4):
        async with toxic(lab, "people", "reset_peer", timeout=lab.random.randrange(500, 2000)):
            await lab.linger(3.0)
        async with cut(lab, "people"):
            await lab.linger(0.5)
        await lab.chat(10)


SCENARIO = Scenario(
    hypothesis="Whatever was on its way when a connection died is sent again, from either side, and shown once.",
    blast_radius="Everybody is disconnected several times.",
    fault=fault,
    stack=Wanted(proxied=("people",)),
    passes=Pass(recovery_s=20.0),
)
