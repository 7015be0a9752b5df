"""What a chaos scenario does to people: its start and end as bands over the objectives and what explains them."""

from __future__ import annotations

from ..marks import RUNNING
from ..query import PROCESS, now, quantile, rate, series, split
from ..view import GREEN, RED, YELLOW, Board, Kind, Query, Row, Scale, View, falling, rising
from .objectives import bad_shares, budget_left, burn_rate
from .stores import FAILURES

RUNNING_NOW = View(
    3,
    "Scenarios",
    "1 while one runs. The bands on all panels are the same; what somebody marked in Grafana with the tag chaos has "
    "bands too.",
    Scale("none", most=1.1, decimals=0),
    (Query(RUNNING, "{{scenario}}"),),
    kind=Kind.STEPS,
)

PEOPLE = (
    View(
        21,
        "Sends answered",
        "failed is ours: the clients try again by themselves, so that ok follows.",
        Scale("reqps"),
        (Query(rate("chappe_sends_total", "outcome"), "{{outcome}}"),),
        width=12,
        colours={"ok": GREEN, "refused": YELLOW, "failed": RED},
    ),
    View(
        22,
        "To the recipient's socket, 99%",
        "From accepted to written; the objective is a second.",
        Scale("s", soft_most=1.2),
        (Query(quantile(0.99, "chappe_delivery_seconds", "node, worker"), PROCESS),),
        rising((1, RED)),
        width=12,
    ),
)

PARTS = (
    View(
        31,
        "Processes up",
        "Scraped by Prometheus, or not.",
        Scale("none", most=1.1, decimals=0),
        (Query(series("up", 'job="chappe"'), PROCESS),),
        falling((0.5, RED)),
        Kind.STEPS,
        width=6,
    ),
    View(
        32,
        "Open connections",
        "How clients leave what dies and come back.",
        Scale("none"),
        (Query(now("chappe_connections", "node, worker"), PROCESS),),
        kind=Kind.STACK,
        width=6,
    ),
    View(
        33,
        "Stores: failed operations",
        "By store.",
        Scale("ops"),
        (Query(FAILURES, "{{store}}"),),
        width=6,
    ),
    View(
        34,
        "What crashed",
        "Runs that ended by a crash, a second, by place in the tree.",
        Scale("cps"),
        split("chappe_child_ends_total", "child", 'reason="crashed"'),
        width=6,
    ),
)

BOARD = Board(
    "chappe-chaos",
    "Chappe: chaos",
    "What chaos scenarios do to people, beside what they do to the parts.",
    (
        Row("Objectives", (budget_left(1), burn_rate(2), RUNNING_NOW)),
        Row("What is bad, short windows", bad_shares(11, ("5m", "30m", "1h"))),
        Row("People", PEOPLE),
        Row("Parts", PARTS),
    ),
    is_marked=True,
)
