"""Is all well? What is promised, how much there is to do, and whether every process does its part."""

from __future__ import annotations

from ..query import PROCESS, now, quantile, rate, series
from ..view import GREEN, RED, YELLOW, Board, Kind, Query, Row, Scale, View, falling, rising
from .objectives import bad_shares, budget_left, burn_rate

BY_OUTCOME = {"ok": GREEN, "refused": YELLOW, "failed": RED}

ALERTS = View(
    3,
    "Alerts that fire",
    "Pages are for what people notice now or will within the hour; tickets wait for the working day.",
    Scale("none"),
    tuple(
        Query(f'count(ALERTS{{alertstate="firing",severity="{severity}"}}) or vector(0)', f"{severity}s")
        for severity in ("page", "ticket")
    ),
    rising((1, RED)),
    Kind.NUMBERS,
)

TRAFFIC = (
    View(
        21,
        "Sends answered",
        "By whose fault it was: refused is the client's (rate limits, frames too big), failed is ours.",
        Scale("reqps"),
        (Query(rate("chappe_sends_total", "outcome"), "{{outcome}}"),),
        colours=BY_OUTCOME,
    ),
    View(
        22,
        "From accepted to the recipient's socket, 99%",
        "Of messages to devices that are there, by process; the objective is a second.",
        Scale("s", soft_most=1.2),
        (Query(quantile(0.99, "chappe_delivery_seconds", "node, worker"), PROCESS),),
        rising((1, RED)),
    ),
    View(
        23,
        "Open connections",
        "By process, on top of each other.",
        Scale("none"),
        (Query(series("chappe_connections"), PROCESS),),
        kind=Kind.STACK,
    ),
)

PROCESSES = (
    View(
        31,
        "Up",
        "1 if Prometheus could scrape the process, 0 if not. Of several workers on a machine the parent is one more.",
        Scale("none", most=1.1, decimals=0),
        (Query(series("up", 'job="chappe"'), PROCESS),),
        falling((0.5, RED)),
        Kind.STEPS,
    ),
    View(
        32,
        "The event loop's lag, 90%",
        "How late a timer runs, once a second. Much of it: more work than one core does, or something blocks.",
        Scale("s", soft_most=0.3),
        (Query(quantile(0.9, "chappe_event_loop_lag_seconds", "node, worker"), PROCESS),),
        rising((0.25, RED)),
    ),
    View(
        33,
        "Clocks",
        "How far this machine's clock is from the database's, and message ids from the clock. Past 0.5 s a node is not "
        "ready. On SQLite there is no other clock to compare with.",
        Scale("s", least=None, soft_most=0.3),
        (
            Query(f"abs({series('chappe_clock_skew_seconds')})", f"{PROCESS} skew"),
            Query(series("chappe_clock_ahead_seconds"), f"{PROCESS} ids ahead"),
        ),
        rising((0.25, YELLOW), (0.5, RED)),
    ),
    View(
        34,
        "Processor",
        "Cores in use; a process can use one.",
        Scale("percentunit", soft_most=1),
        (Query(rate("process_cpu_seconds_total", "node, worker"), PROCESS),),
        width=12,
    ),
    View(
        35,
        "Memory",
        "Resident.",
        Scale("bytes"),
        (Query(now("process_resident_memory_bytes", "node, worker"), PROCESS),),
        width=12,
    ),
)

BOARD = Board(
    "chappe-overview",
    "Chappe: overview",
    "Whether the objectives are met, and by which processes.",
    (
        Row("Objectives", (budget_left(1), burn_rate(2), ALERTS)),
        Row("What is bad", bad_shares(11, ("5m", "1h", "6h", "3d"))),
        Row("Traffic", TRAFFIC),
        Row("Processes", PROCESSES),
    ),
    is_marked=True,
)
