"""The node's certificate has expired when everybody has to connect anew; then there is a new one."""

from __future__ import annotations

from datetime import timedelta

from ..faults.processes import killed
from ..lab import Lab
from ..scenario import Pass, Scenario, Wanted
from ..stack.certificates import VALID


async def fault(lab: Lab) -> None:
    node, certificates = lab.nodes[0], lab.site.certificates
    assert certificates is not None
    certificates.issue(timedelta(seconds=-1))
    async with killed(lab, node):
        pass
    lab.say("the node is back, with a certificate that has expired")
    before = lab.people.acknowledged()
    await lab.linger(6.0)
    assert lab.people.acknowledged() == before, "Somebody took an expired certificate for a good one."
    certificates.issue(VALID)
    lab.say("a new certificate")
    async with killed(lab, node):
        pass


SCENARIO = Scenario(
    hypothesis="Nobody talks to a server whose certificate has expired; with a new one all that was queued is sent.",
    blast_radius="Everybody who has to connect.",
    fault=fault,
    stack=Wanted(is_tls=True),
    alerts=("page CertificateEnds",),
    passes=Pass(recovery_s=20.0),
)
