"""Children of the supervision tree hang for some seconds, picked at random, the log writer among them."""

from __future__ import annotations

import trio

from ..faults.tree import BREAKABLE, hang, paths
from ..lab import Lab
from ..scenario import Pass, Scenario, Wanted

ROUNDS = 4
AT_ONCE = 5
LEAST_S, MOST_S = 1.0, 3.0
EVERYBODYS = "log-writers/0"


async def fault(lab: Lab) -> None:
    node = lab.nodes[0]
    for _ in range(ROUNDS):
        everybody = await paths(node)
        picked = {*lab.random.sample(everybody, min(AT_ONCE, len(everybody))), EVERYBODYS}
        async with trio.open_nursery() as nursery:
            for path in sorted(picked):
                nursery.start_soon(hang, lab, node, path, lab.random.uniform(LEAST_S, MOST_S))
        await lab.chat(4)


SCENARIO = Scenario(
    hypothesis="Who hangs is waited for: what came meanwhile is dealt with late, in order, and not lost.",
    blast_radius="While the log writer hangs, everybody; else whoever the child works for.",
    fault=fault,
    stack=Wanted(settings=BREAKABLE),
    passes=Pass(availability=0.9, recovery_s=15.0),
    is_quick=True,
)
