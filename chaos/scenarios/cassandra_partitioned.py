"""One of three Cassandras is cut off from its peers, but not from the nodes: it takes what it cannot fulfil."""

from __future__ import annotations

from ..faults.hosts import cut_from_peers
from ..lab import Lab
from ..scenario import HOSTS, Pass, Scenario


async def fault(lab: Lab) -> None:
    victim = lab.random.choice(lab.fleet.cassandra.servers)
    async with cut_from_peers(lab, victim):
        await lab.linger(12.0, 30)


SCENARIO = Scenario(
    hypothesis="What the cut-off one coordinates fails and is tried again; the others are a quorum; none is lost.",
    blast_radius="A third of the requests wait, until drivers and the cut-off one itself know of the split.",
    fault=fault,
    stack=HOSTS,
    passes=Pass(availability=0.5, recovery_s=40.0),
)
