"""Strangers send random bytes."""

from __future__ import annotations

import trio

from ..faults.guests import send_garbage
from ..lab import Lab
from ..scenario import Pass, Scenario

MESSAGES = 60


async def fault(lab: Lab) -> None:
    lab.say(f"{MESSAGES} connections send garbage")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lab.chat, 30)
        refused = await send_garbage(lab, MESSAGES)
    assert refused == MESSAGES, f"Only {refused} of {MESSAGES} were turned away."


SCENARIO = Scenario(
    hypothesis="Garbage closes the connection that it came on, and no other.",
    blast_radius="Nobody.",
    fault=fault,
    passes=Pass(availability=0.95, recovery_s=5.0),
    is_quick=True,
)
