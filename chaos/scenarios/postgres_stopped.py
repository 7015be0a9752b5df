"""PostgreSQL is away for some seconds: accounts, device lists and keys."""

from __future__ import annotations

from ..faults.processes import server_away
from ..lab import Lab
from ..scenario import FULL, Pass, Scenario


async def fault(lab: Lab) -> None:
    async with server_away(lab, lab.fleet.postgres.servers[0], "stop"):
        await lab.linger(8.0, 20)


SCENARIO = Scenario(
    hypothesis="Whoever is connected goes on chatting in conversations that its worker remembers; the rest waits.",
    blast_radius="Sign-ins, sessions with new devices, and conversations that are new to a worker wait.",
    fault=fault,
    stack=FULL,
    alerts=("ticket StoreErrors",),
    passes=Pass(availability=0.15, recovery_s=20.0),
)
