"""Panels about the objectives, which two dashboards have."""

from __future__ import annotations

from deploy.alerts import OBJECTIVES, Objective
from deploy.alerts.objectives import BURN_RATES, budget

from ..view import GREEN, ORANGE, RED, YELLOW, Kind, Query, Scale, View, falling, rising

EVERYWHERE = "Recorded over all nodes: the choice of nodes on top does not count here."
NAMES = {"send": "Sends", "delivery": "Deliveries", "history": "History"}
SLOWEST, SLOW, FAST, FASTEST = sorted(rate for _, pairs in BURN_RATES for *_, rate in pairs)


def budget_left(number: int, width: int = 8) -> View:
    """Return what is left of the error budgets."""
    return View(
        number,
        "Error budget left, of 30 days",
        f"1 is all of it, 0 none; below that the objective of the last 30 days is missed. {EVERYWHERE}",
        Scale("percentunit", least=None, most=1, decimals=1),
        (Query("slo:error_budget_left:ratio", "{{slo}}"),),
        falling((0, RED), (0.25, YELLOW)),
        Kind.NUMBERS,
        width=width,
    )


def burn_rate(number: int, width: int = 8) -> View:
    """Return how fast they burn."""
    return View(
        number,
        "Burn rate over an hour",
        f"How many times too fast the budget is used up: at 1 it lasts for exactly 30 days, at {FASTEST} for two. "
        f"{EVERYWHERE}",
        Scale("suffix: times", soft_most=FASTEST + 2),
        (Query("slo:burn_rate:ratio_rate1h", "{{slo}}"),),
        rising((SLOWEST, YELLOW), (FAST, ORANGE), (FASTEST, RED)),
        width=width,
    )


def bad_share(number: int, one: Objective, windows: tuple[str, ...], width: int = 8) -> View:
    """Return the share of bad events of an objective over some windows."""
    allowed = budget(one)
    return View(
        number,
        f"{NAMES[one.slo]}: bad share, {allowed:.2%} allowed",
        f"The share {one.what}, over several windows. A page comes when 5 min and 1 h are both above "
        f"{FASTEST * allowed:.2%}, or 30 min and 6 h above {FAST * allowed:.2%}; a ticket when 2 h and 1 d are above "
        f"{SLOW * allowed:.2%}, or 6 h and 3 d above {allowed:.2%}. {EVERYWHERE}",
        Scale("percentunit", soft_most=FASTEST * allowed * 1.2),
        tuple(Query(f'slo:errors:ratio_rate{window}{{slo="{one.slo}"}}', window) for window in windows),
        rising((allowed, YELLOW), (FAST * allowed, ORANGE), (FASTEST * allowed, RED)),
        width=width,
        colours=dict(zip(windows, ("light-blue", "blue", "purple", GREEN), strict=False)),
    )


def bad_shares(first_id: int, windows: tuple[str, ...]) -> tuple[View, ...]:
    """Return one of these for each objective."""
    return tuple(bad_share(number, one, windows) for number, one in enumerate(OBJECTIVES, first_id))
