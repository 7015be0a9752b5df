"""What a scenario needs of the machine, and whether it is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from deploy.services import WATCHERS, Fleet, Unavailable

from .scenario import Need, Scenario
from .stack import disk, hosts, toxiproxy
from .stack.balancer import Balancer

CHECKS: Final[Mapping[Need, Callable[[], object]]] = {
    "toxiproxy": cache(toxiproxy.build),
    "namespaces": cache(hosts.check),
    "mounts": cache(disk.check),
}


def lacking(scenario: Scenario) -> str | None:
    """Return why a scenario cannot run on this machine, None when it can. The first time it may build Toxiproxy."""
    try:
        for name in WATCHERS:  # without them nobody could say whether there is a steady state
            Fleet(Path())[name].check()
        for need in scenario.needs:
            CHECKS[need]()
        if scenario.stack.is_full:
            Balancer(Path(), []).check()
    except Unavailable as error:
        return str(error)
    return None
