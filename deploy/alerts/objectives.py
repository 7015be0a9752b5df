"""What is promised, in numbers: three objectives over 30 days, and alerts on how fast their error budgets burn.

Method: https://sre.google/workbook/alerting-on-slos/ (multi-window, multi-burn-rate). A burn rate of 1 uses the budget
up in exactly 30 days. The long window says that it matters, the short one that it still goes on, so that an alert ends
soon after its cause. What is good and what counts is in docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from .pace import Pace
from .rules import Alert, Record


@dataclass(frozen=True, slots=True)
class Objective:
    """A share of events that shall be good. `good` and `all` are counters, with their selectors."""

    slo: str
    alert: str
    share: float
    good: str
    all: str
    what: str


OBJECTIVES: Final = (
    Objective(
        "send",
        "SendsFail",
        0.9995,
        'chappe_sends_total{outcome="ok"}',
        'chappe_sends_total{outcome=~"ok|failed"}',
        "of the messages that people send are answered with an error of ours",
    ),
    Objective(
        "delivery",
        "DeliveriesAreLate",
        0.999,
        'chappe_delivery_seconds_bucket{le="1.0"}',
        "chappe_delivery_seconds_count",
        "of the messages to devices that are online take more than a second",
    ),
    Objective(
        "history",
        "HistoryFails",
        0.999,
        'chappe_calls_total{call="history.get",outcome="ok"}',
        'chappe_calls_total{call="history.get",outcome=~"ok|failed"}',
        "of the looks into a conversation's history fail for a reason of ours",
    ),
)

WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")

# Severity, and the pairs of windows (long, short) with the burn rate that both have to exceed.
BURN_RATES: Final = (
    ("page", (("1h", "5m", 14.4), ("6h", "30m", 6.0))),
    ("ticket", (("1d", "2h", 3.0), ("3d", "6h", 1.0))),
)


def records(pace: Pace) -> Iterator[Record]:
    """Yield the recording rules: error ratios for each window, the objective, and what is left of the budget."""
    for one in OBJECTIVES:
        labels = {"slo": one.slo}
        for window in WINDOWS:
            good, everything = (
                f"sum by (job) (rate({counter}[{pace(window)}]))" for counter in (one.good, one.all)
            )
            yield Record(f"slo:errors:ratio_rate{window}", f"1 - {good} / {everything}", labels)
        yield Record("slo:objective:ratio", f"vector({one.share})", labels)
        yield Record(
            "slo:error_budget_left:ratio",
            f'1 - slo:errors:ratio_rate30d{{slo="{one.slo}"}} / {budget(one)}',
            labels,
        )
        yield Record(
            "slo:burn_rate:ratio_rate1h",
            f'slo:errors:ratio_rate1h{{slo="{one.slo}"}} / {budget(one)}',
            labels,
        )


def burn_alerts() -> Iterator[Alert]:
    """Yield two alerts for each objective: a page when the budget is gone in days, a ticket when in weeks."""
    for one in OBJECTIVES:
        for severity, pairs in BURN_RATES:
            yield Alert(
                one.alert,
                "\nor\n".join(_burns(one, *pair) for pair in pairs),
                severity,
                f"{{{{ $value | humanizePercentage }}}} {one.what}; the objective allows {budget(one):.2%}.",
                "The error budget of 30 days burns at "
                + " or ".join(
                    f"{rate:g} times its rate over {long} and {short}" for long, short, rate in pairs
                )
                + ".",
                labels={"slo": one.slo},
            )


def budget(one: Objective) -> float:
    """Return the share of events that may be bad."""
    return round(1 - one.share, 6)


def _burns(one: Objective, long: str, short: str, rate: float) -> str:
    most = round(rate * budget(one), 6)
    return " and ".join(
        f'slo:errors:ratio_rate{window}{{slo="{one.slo}"}} > {most}' for window in (short, long)
    ).join("()")
