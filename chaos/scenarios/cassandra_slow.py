"""The way to the Cassandras is slow, then that to one of them loses everything, then all connections are cut."""

from __future__ import annotations

from dataclasses import replace

from ..faults.network import cut, deaf, slow
from ..lab import Lab
from ..scenario import FULL, Pass, Scenario


async def fault(lab: Lab) -> None:
    async with slow(lab, "cassandra", 80, 40):
        await lab.linger(8.0, 10)
    async with deaf(lab, "cassandra-2"):
        await lab.linger(8.0, 10)
    async with cut(lab, "cassandra"):
        await lab.linger(2.0)


SCENARIO = Scenario(
    hypothesis="Slow is only slow; two replicas are enough; without any, sends wait and none is lost.",
    blast_radius="Everybody waits longer; for two seconds nobody can send.",
    fault=fault,
    stack=replace(FULL, proxied=("cassandra",)),
    passes=Pass(availability=0.4, recovery_s=30.0),
)
