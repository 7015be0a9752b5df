"""For eight seconds nothing gets through between people and server, and nothing is closed."""

from __future__ import annotations

from ..faults.network import deaf
from ..lab import Lab
from ..scenario import Pass, Scenario, Wanted


async def fault(lab: Lab) -> None:
    async with deaf(lab, "people"):
        await lab.linger(8.0)


SCENARIO = Scenario(
    hypothesis="Half-open connections are noticed by heartbeats on both sides; a resend is stored once.",
    blast_radius="Everybody, while it lasts.",
    fault=fault,
    stack=Wanted(proxied=("people",), settings={"timing": "heartbeat_s = 2\nanswer_s = 2\nstall_s = 3"}),
    passes=Pass(recovery_s=30.0),
)
