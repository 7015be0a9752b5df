"""Children of the supervision tree crash, one after the other: writers, pumps, presence, the bus."""

from __future__ import annotations

from ..faults.tree import BREAKABLE, crash, paths
from ..lab import Lab
from ..scenario import Pass, Scenario, Wanted

# Fewer than the root may restart in a minute: more is a node that ends itself, which is another scenario.
ONCE = ("bus", "log-writers/0", "expiry", "presence", "rereads", "shared-limits", "sweeper", "log-writers/0")
CONNECTIONS = 12


async def fault(lab: Lab) -> None:
    node = lab.nodes[0]
    for path in ONCE:
        assert await crash(lab, node, path), f"{path} does not run."
        await lab.chat(4)
    inner = [path for path in await paths(node) if path.startswith("connections/") and path.count("/") >= 2]
    assert inner, "There is nobody to crash."
    for path in lab.random.sample(inner, min(CONNECTIONS, len(inner))):
        await crash(lab, node, path)
        await lab.chat(2)


SCENARIO = Scenario(
    hypothesis="A crash is its supervisor's business: the child starts again, and nobody else notices.",
    blast_radius="The child; of a connection, its own device.",
    fault=fault,
    stack=Wanted(settings=BREAKABLE),
    passes=Pass(availability=0.9, recovery_s=15.0),
    is_quick=True,
)
