"""Prometheus dies while an alert fires, and comes back."""

from __future__ import annotations

from ..faults.processes import server_away
from ..lab import Lab
from ..scenario import BUS_UP, FULL, STEADY, Pass, Scenario
from ..stack.node import until

ALERT = "ticket BusDown"
# By its own new account: samples from before its death would answer for five minutes.
FIRES = 'time() - timestamp(ALERTS{alertname="BusDown", alertstate="firing"}) < 3'


async def fault(lab: Lab) -> None:
    # Redis gives it something to say that people do not notice.
    async with server_away(lab, lab.fleet.redis.servers[0], "stop"):
        await until(lambda: ALERT in lab.watch.firing, "the alert fires")
        async with server_away(lab, lab.watch.fleet.prometheus.servers[0], "kill"):
            await lab.linger(8.0, 30)
            assert ALERT in lab.watch.firing, "Alertmanager forgot an alert that nobody said is over."
        await until(lambda: lab.watch.query(FIRES), "Prometheus has the alert anew")
        lab.say("Prometheus has found out anew that the bus is down")


SCENARIO = Scenario(
    hypothesis="Chappe does not need whoever watches it; Prometheus goes on where it was, and tells when it is over.",
    blast_radius="Whoever looks at dashboards, for as long as it is away.",
    fault=fault,
    stack=FULL,
    steady=(*STEADY, BUS_UP),
    alerts=(ALERT,),
    passes=Pass(availability=0.8, recovery_s=15.0),
)
