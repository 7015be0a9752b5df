"""What a scenario needs of the machine, and whether it is there."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from deploy.services import WATCHERS, Fleet, Unavailable

from .scenario import Scenario
from .stack import toxiproxy
from .stack.balancer import Balancer


def lacking(scenario: Scenario) -> str | None:
    """Return why a scenario cannot run on this machine, None when it can. The first time it may build Toxiproxy."""
    if "root" in scenario.needs and os.geteuid() != 0:
        return "It needs root."
    try:
        for name in WATCHERS:  # without them nobody could say whether there is a steady state
            Fleet(Path())[name].check()
        if "toxiproxy" in scenario.needs:
            _build()
        if scenario.stack.is_full:
            Balancer(Path(), []).check()
    except Unavailable as error:
        return str(error)
    return None


@cache
def _build() -> Path:
    return toxiproxy.build()
