"""The rules for Prometheus: objectives, how fast their error budgets burn, and alerts on causes.

`python -m deploy.alerts` writes config/prometheus/rules.yml, or the same rules with all their time cut to a fraction,
for tests and chaos scenarios that cannot wait for an hour. Only the standard library is needed.
"""

from __future__ import annotations

from .book import FILE, alerts, groups, rendered
from .objectives import OBJECTIVES, Objective
from .pace import Pace
from .rules import Alert, Links, Record

__all__ = [
    "FILE",
    "OBJECTIVES",
    "Alert",
    "Links",
    "Objective",
    "Pace",
    "Record",
    "alerts",
    "groups",
    "rendered",
]
