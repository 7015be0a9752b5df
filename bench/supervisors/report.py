"""Turns a run into the Markdown that is printed and kept in docs/supervisors/cost.md, and into JSON for programs.

`__main__` calls it. The goals are stated here once, and every report says whether they were met.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from bench import pages

from . import cases
from .figures import BYTES, Run
from .runs import ERL_FLAGS

GOAL_BYTES: Final = 2.0
GOAL_START: Final = 2.5
GOAL_CRASH: Final = 1.0
GOAL_STOP_S: Final = 5.0
GOAL_COUNT: Final = 100_000
"""The goals are for so many children; of a shorter run the most it had are judged, and the report says so."""

BEGIN: Final = "<!-- results: written by `python -m bench.supervisors --write`, do not edit -->"
END: Final = "<!-- results end -->"

RATIOS: Final = (
    ("pool child / bare task", cases.POOL, cases.TASK, (BYTES, "start", "stop")),
    ("the same without GC", cases.POOL_NO_GC, cases.TASK_NO_GC, (BYTES, "start", "stop")),
    ("pool child, spec made for it / bare task", cases.FRESH, cases.TASK, (BYTES, "start", "stop")),
    ("task with a cancel scope / bare task", cases.SCOPE, cases.TASK, (BYTES, "start", "stop")),
    (
        "pool child, acknowledged / task, `nursery.start`",
        cases.POOL_STARTED,
        cases.TASK_STARTED,
        (BYTES, "start", "stop"),
    ),
    (
        "pool child, observed / erl gen_server",
        cases.OBSERVED,
        cases.ERL_POOL_SERVER,
        (BYTES, "start", "stop", "crash"),
    ),
    ("pool child, observed / erl process", cases.OBSERVED, cases.ERL_POOL, (BYTES, "start", "stop", "crash")),
    (
        "ordered child / erl gen_server",
        cases.ORDERED,
        cases.ERL_ORDERED_SERVER,
        (BYTES, "start", "stop", "crash"),
    ),
    ("erl pool child, process / erl process", cases.ERL_POOL, cases.ERL_SPAWN, (BYTES, "start", "stop")),
)
QUERIES: Final = ("snapshot", "which_children", "count_children")
METRICS: Final = (BYTES, "start", "stop", "start_one", "terminate", "crash", "storm", *QUERIES)


def markdown(run: Run) -> str:
    """Return the whole report."""
    parts = [
        f"Machine: {run.machine}; {run.erl or 'no Erlang'}{f', `{_flags()}`' if run.erl else ''}.",
        f"Revision {run.revision}, `{run.command}`; medians over rounds: {len(run.rounds)}.",
        "\n".join(f"- {line}" for line in goals(run)),
        "### Ratios\n\nEach is the median of the ratios of the rounds.\n\n" + _ratios(run),
        *(_children(run, count) for count in reversed(run.counts)),
        "### The whole picture\n\nCPU microseconds per child that is there, for one call.\n\n"
        + _queries(run),
    ]
    if len(run.counts) > 1:
        parts.append(
            f"### Growth\n\nHow many times dearer one child is among {run.counts[-1]:,} than among {run.counts[0]:,} "
            f"(ordered ones: among the most measured): linear work shows 1.\n\n" + _growth(run)
        )
    return "\n\n".join(parts)


def goals(run: Run) -> list[str]:
    """Return one sentence per goal that the run has figures for."""
    count = max((count for count in run.counts if count <= GOAL_COUNT), default=run.counts[-1])
    said = list(_goals(run, count))
    if count != GOAL_COUNT:
        said.append(f"The goals are for {GOAL_COUNT:,} children; this run had {count:,}.")
    return said


def _goals(run: Run, count: int) -> Iterator[str]:
    for what, figure, goal in (
        (
            "times the memory of a bare task for a pool child",
            run.ratio(cases.POOL, cases.TASK, count, BYTES),
            GOAL_BYTES,
        ),
        (
            "times the start of a bare task for a pool child",
            run.ratio(cases.POOL, cases.TASK, count, "start"),
            GOAL_START,
        ),
        (
            "times erl's gen_server from crash to running again, reported by both",
            run.ratio(cases.OBSERVED, cases.ERL_POOL_SERVER, count, "crash"),
            GOAL_CRASH,
        ),
        ("s of CPU to stop all of a pool", _stop_s(run, count), GOAL_STOP_S),
    ):
        if figure is not None:
            met = "met" if figure <= goal else "missed"
            yield f"Goal {met}: {figure:.2f} {what}, {count:,} of them (goal: at most {goal:g})."


def _stop_s(run: Run, count: int) -> float | None:
    each_us = run.figure(cases.POOL, count, "stop")
    return None if each_us is None else each_us * count / 1e6


def as_json(run: Run) -> str:
    """Return every phase of every process, and the medians by label, number of children and metric."""
    medians = {
        case.label: {
            count: {
                metric: figure
                for metric in METRICS
                if (figure := run.figure(case.label, count, metric)) is not None
            }
            for count in run.counts
        }
        for case in cases.CASES
    }
    return json.dumps({**asdict(run), "medians": medians, "goals": goals(run)}, indent=2)


def write(page: Path, run: Run) -> None:
    """Replace what is between the markers of a page."""
    pages.put(page, BEGIN, END, markdown(run))


def _ratios(run: Run) -> str:
    names = {BYTES: "memory", "crash": "crash to running"}
    rows = [
        (
            what,
            names.get(metric, metric),
            *(_shown(run.ratio(one, other, count, metric), 2) for count in run.counts),
        )
        for what, one, other, metrics in RATIOS
        for metric in metrics
    ]
    return _table(("ratio", "of", *(f"{count:,}" for count in run.counts)), rows, left=2)


def _children(run: Run, count: int) -> str:
    def row(label: str) -> tuple[str, ...]:
        stop_us, resident = run.figure(label, count, "stop"), run.figure(label, count, BYTES)
        return (
            label,
            _shown(resident, 0),
            _shown(None if resident is None else run.allocated(label), 0),
            *(
                _shown(run.figure(label, count, metric), 1)
                for metric in ("start", "crash", "storm", "terminate", "stop")
            ),
            _shown(None if stop_us is None else stop_us * count / 1e6, 2),
        )

    head = (
        "each",
        "bytes, RSS",
        "bytes, own count",
        "start us",
        "crash us",
        "storm us",
        "terminate us",
        "stop us",
        "stop all s",
    )
    return f"### {count:,} children\n\n{_table(head, [row(case.label) for case in cases.CASES], left=1)}"


def _queries(run: Run) -> str:
    rows = [
        (case.label, query, *(_shown(run.figure(case.label, count, query), 2) for count in run.counts))
        for case in cases.CASES
        if case.label in (cases.POOL, cases.ORDERED, cases.ERL_POOL_SERVER, cases.ERL_ORDERED_SERVER)
        for query in QUERIES
    ]
    return _table(("of", "call", *(f"{count:,}" for count in run.counts)), rows, left=2)


def _growth(run: Run) -> str:
    metrics = [metric for metric in METRICS if metric != BYTES]
    rows = [
        (case.label, *(_shown(run.growth(case.label, metric), 2) for metric in metrics))
        for case in cases.CASES
    ]
    return _table(("of", *(metric.replace("_", " ") for metric in metrics)), rows, left=1)


def _shown(figure: float | None, digits: int) -> str:
    return "" if figure is None else f"{figure:,.{digits}f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> str:
    """Return a table without the rows that have no figure; the first `left` columns are text."""
    full = [row for row in rows if any(row[left:])]
    widths = [max(len(row[column]) for row in (head, *full)) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if column < left else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([line(head), f"| {' | '.join(rule)} |", *map(line, full)])


def _flags() -> str:
    return " ".join(("erl", *ERL_FLAGS))
