"""Two thousand strangers knock, again and again, while everybody is thrown out and comes back."""

from __future__ import annotations

from ..faults.guests import crowding
from ..faults.network import cut
from ..lab import Lab
from ..scenario import Pass, Scenario, Wanted


async def fault(lab: Lab) -> None:
    async with crowding(lab, 2000):
        for _ in range(2):
            async with cut(lab, "people"):
                await lab.linger(1.0)
            await lab.linger(4.0, 20)


SCENARIO = Scenario(
    hypothesis="Accepts are rationed and strangers do not stay: those who sign in get through.",
    blast_radius="Everybody is disconnected twice, and waits in a long queue.",
    fault=fault,
    stack=Wanted(
        proxied=("people",), settings={"timing": "hello_s = 2", "limits": "preauth_per_address = 4096"}
    ),
    passes=Pass(recovery_s=30.0),
)
