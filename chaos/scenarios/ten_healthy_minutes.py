"""Nothing is broken: ten minutes with the rules of production, in which no alert may fire."""

from __future__ import annotations

from ..lab import Lab
from ..scenario import Pass, People, Scenario

MINUTES = 10


async def fault(lab: Lab) -> None:
    lab.say(f"{MINUTES} minutes as usual")
    await lab.linger(MINUTES * 60)
    fired = ", ".join(one.alert for one in lab.watch.firings)
    assert not fired, f"Nothing was broken, and yet there was an alert: {fired}."


SCENARIO = Scenario(
    hypothesis="Whoever is on call sleeps: healthy load sets off no alert.",
    blast_radius="Nobody.",
    fault=fault,
    people=People(people=4, with_two=2, per_s=0.3),
    passes=Pass(availability=0.99, recovery_s=5.0),
    pace=1.0,
    fault_s=MINUTES * 60 + 60,
    is_once=True,
)
