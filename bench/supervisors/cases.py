"""What is measured: one line per way to have a child. `__main__` runs them, `report` shows them in this order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Case:
    """One way to have a child. Labels are unique, `key` is what a worker is told.

    `most` is the largest number of children that is sensible; `report` is what every report of a crash has in the log,
    once; `has_gc` is for Python's collector.
    """

    key: str
    label: str
    is_erl: bool = False
    has_gc: bool = True
    most: int | None = None
    report: str | None = None


TASK: Final = "bare task"
SCOPE: Final = "task with a cancel scope"
POOL: Final = "pool child"
FRESH: Final = "pool child, spec made for it"
OBSERVED: Final = "pool child, observed"
TASK_STARTED: Final = "task, `nursery.start`"
POOL_STARTED: Final = "pool child, acknowledged"
ORDERED: Final = "ordered child, observed"
TASK_NO_GC: Final = "bare task, no GC"
POOL_NO_GC: Final = "pool child, no GC"
ERL_SPAWN: Final = "erl: process"
ERL_POOL: Final = "erl: pool child, process"
ERL_POOL_SERVER: Final = "erl: pool child, gen_server"
ERL_ORDERED_SERVER: Final = "erl: ordered child, gen_server"

PYTHON_REPORT: Final = " ERROR Child "
ERL_REPORT: Final = "=SUPERVISOR REPORT="

CASES: Final = (
    Case("task", TASK),
    Case("scope", SCOPE),
    Case("pool", POOL),
    Case("pool_fresh", FRESH),
    Case("pool_observed", OBSERVED, report=PYTHON_REPORT),
    Case("task_started", TASK_STARTED),
    Case("pool_started", POOL_STARTED),
    Case("ordered", ORDERED, report=PYTHON_REPORT, most=10_000),
    Case("task", TASK_NO_GC, has_gc=False),
    Case("pool", POOL_NO_GC, has_gc=False),
    Case("erl_spawn", ERL_SPAWN, is_erl=True),
    Case("erl_pool", ERL_POOL, is_erl=True, report=ERL_REPORT),
    Case("erl_pool_server", ERL_POOL_SERVER, is_erl=True, report=ERL_REPORT),
    Case("erl_ordered_server", ERL_ORDERED_SERVER, is_erl=True, report=ERL_REPORT, most=10_000),
)
