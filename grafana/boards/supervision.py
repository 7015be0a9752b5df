"""The supervision trees: what crashes and where, how much head-room is left, what is slow to come or go, or stuck."""

from __future__ import annotations

from ..query import PROCESS, grown, now, rate, series
from ..view import ORANGE, RED, YELLOW, Board, Kind, Query, Row, Scale, View, falling, rising

# As in the alerts: what happens to one client's tasks is that client's.
OF_NODES = 'child!~".*/connections/.*"'
CRASHED = 'reason=~"crashed|killed|start_failed"'
JOB = 'job="chappe"'
ALLOWED = series("chappe_supervisor_intensity_restarts")

RESTARTS = (
    View(
        11,
        "Heat: what crashed, by place in the tree",
        "Runs that ended by a crash, a kill or a failed start within the time shown. A star stands for a number.",
        Scale("none", decimals=0),
        (
            Query(
                f"topk(10, {grown('chappe_child_ends_total', 'child', CRASHED, '$__range')} > 0)",
                "{{child}}",
                at_end=True,
            ),
        ),
        kind=Kind.BARS,
        width=8,
        height=10,
        empty="nothing crashed",
    ),
    View(
        12,
        "Restarts in 15 minutes",
        "Of parts of a node, not of single connections. Three of one child are a ticket.",
        Scale("none", soft_most=4, decimals=0),
        (
            Query(grown("chappe_child_restarts_total", where=OF_NODES, over="15m"), "all"),
            Query(
                f"topk(8, {grown('chappe_child_restarts_total', 'node, worker, child', OF_NODES, '15m')} > 0)",
                f"{PROCESS} {{{{child}}}}",
            ),
        ),
        rising((3, ORANGE)),
        width=10,
        height=10,
    ),
    View(
        23,
        "Runs that ended, by reason",
        "normal and shutdown are as they should be; killed had to be cancelled; escalated took its supervisor along.",
        Scale("cps"),
        (Query(rate("chappe_child_ends_total", "reason"), "{{reason}}"),),
        width=6,
        height=10,
        colours={"crashed": "red", "killed": "orange", "normal": "green", "shutdown": "blue"},
    ),
)

HEADROOM = (
    View(
        21,
        "Head-room, the ten supervisors with the least",
        "Restarts that are still allowed, of those within the period. At 0 the next crash makes a supervisor give up.",
        Scale("percentunit", most=1),
        (
            Query(
                f"bottomk(10, min by (supervisor)"
                f" ({series('chappe_supervisor_headroom_restarts')} / ({ALLOWED} > 0)))",
                "{{supervisor}}",
            ),
        ),
        falling((0.3, RED)),
        width=12,
        height=9,
    ),
    View(
        22,
        "Gave up, in 15 minutes",
        "Supervisors past their intensity, and keys of pools past theirs: such as a pump with which one client's "
        "connection ends. Each has its line from its first time on.",
        Scale("none", soft_most=2, decimals=0),
        (
            Query(f"{grown('chappe_supervisors_gave_up_total', over='15m')} or vector(0)", "all"),
            Query(
                f"{grown('chappe_supervisors_gave_up_total', 'supervisor', over='15m')} > 0", "{{supervisor}}"
            ),
            Query(
                f"{grown('chappe_keys_gave_up_total', 'supervisor', over='15m')} > 0",
                "a key of {{supervisor}}",
            ),
        ),
        rising((1, RED)),
        width=6,
        height=9,
    ),
    View(
        31,
        "Stuck now",
        "Children that were cancelled, have outlived their time to stop and still run. The log names the frame.",
        Scale("none", soft_most=2, decimals=0),
        (Query(f"{now('chappe_children_stuck_now')} or vector(0)", "stuck"),),
        rising((1, RED)),
        Kind.STEPS,
        width=6,
        height=9,
    ),
)


def mean(number: int, title: str, about: str, histogram: str, empty: str) -> View:
    """Return the averages of the places in the tree that have the largest, over all there was: it is rare."""
    taken, times = (now(f"{histogram}_{part}", "child") for part in ("sum", "count"))
    return View(
        number,
        title,
        f"{about} The six places in the tree that take longest, over the life of these processes.",
        Scale("s"),
        (Query(f"topk(6, {taken} / {times})", "{{child}}", at_end=True),),
        kind=Kind.BARS,
        empty=empty,
    )


SLOW = (
    mean(
        32,
        "Down, on average",
        "From an end to running again, failed tries and backoff included.",
        "chappe_child_down_seconds",
        "nothing was down",
    ),
    mean(
        33,
        "To start, on average",
        "From launch to acknowledgement.",
        "chappe_child_start_seconds",
        "nothing acknowledges its start",
    ),
    mean(
        34,
        "To stop, on average",
        "From being asked to gone.",
        "chappe_child_stop_seconds",
        "nothing was stopped",
    ),
)

PROCESSES = (
    View(
        41,
        "Workers that are missing",
        "Of each machine with several: the parent starts them again by itself, with backoff.",
        Scale("none", soft_most=2, decimals=0),
        (Query(f"{series('chappe_workers_wanted')} - {series('chappe_workers')}", "{{node}}"),),
        rising((1, YELLOW)),
        Kind.STEPS,
        width=12,
    ),
    View(
        42,
        "Age of each process",
        "Since its start: what falls to nothing was started again.",
        Scale("s"),
        (Query(f"time() - {series('process_start_time_seconds', JOB)}", PROCESS),),
        width=12,
    ),
)

BOARD = Board(
    "chappe-supervision",
    "Chappe: supervision tree",
    "What crashes and where, how much head-room is left, and what is slow to come or go, or stuck.",
    (
        Row("Restarts", RESTARTS),
        Row("Head-room, and who does not go", HEADROOM),
        Row("Slow to come and go", SLOW),
        Row("Processes", PROCESSES),
    ),
    is_marked=True,
)
