"""Somebody who is signed in sends everybody messages that nobody can read."""

from __future__ import annotations

from ..faults.guests import mallory
from ..faults.poison import UNREADABLE, poison
from ..lab import Lab
from ..people.person import CANNOT_READ
from ..scenario import Pass, Scenario
from ..stack.node import until


async def fault(lab: Lab) -> None:
    async with mallory(lab) as client:
        await poison(lab, client)
        told = UNREADABLE * len(lab.people.histories)
        await until(lambda: lab.people.said(CANNOT_READ) >= told, f"all devices have told of {told} messages")
    await lab.linger(2.0, 20)


SCENARIO = Scenario(
    hypothesis="A message that cannot be read is told of and passed over; what comes after it is not held up.",
    blast_radius="Nobody; everybody has a conversation more, in which there is nothing to read.",
    fault=fault,
    passes=Pass(availability=0.95, recovery_s=5.0),
    is_quick=True,
)
