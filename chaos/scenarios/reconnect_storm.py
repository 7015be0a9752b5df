"""Five thousand devices are thrown out at once, since their node dies, and all come back."""

from __future__ import annotations

import trio

from ..faults.processes import killed
from ..lab import Lab
from ..people.multitude import multitude
from ..scenario import Pass, Scenario, Wanted

DEVICES = 5_000
ENROLLED_S = 600.0
BACK_S = 300.0


async def fault(lab: Lab) -> None:
    node = lab.nodes[0]
    lab.say(f"{DEVICES} devices sign up and in")
    async with multitude(node.url, DEVICES, node.folder / "stdout", lab.people.folder) as many:
        await many.gather(ENROLLED_S)
        async with killed(lab, node):
            await trio.sleep(2.0)
        start_s = trio.current_time()
        await many.gather(BACK_S)
        lab.say(f"{DEVICES} devices are back after {trio.current_time() - start_s:.0f} s")


SCENARIO = Scenario(
    hypothesis="Accepts are rationed and all wait at random: everybody gets in, and who is in can send.",
    blast_radius="Everybody is disconnected, and waits in a queue of thousands.",
    fault=fault,
    stack=Wanted(settings={"limits": "preauth_per_address = 8192\nsignups_per_address_per_s = 1000"}),
    passes=Pass(availability=0.5, recovery_s=60.0),
    fault_s=ENROLLED_S + BACK_S,
)
