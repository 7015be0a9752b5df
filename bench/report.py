"""Turns a run into the Markdown that is printed and kept in docs/performance.md, and into JSON for programs.

`__main__` calls it. Goals are stated here once, and every report says whether they were met.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from . import pages
from .idle import Idle
from .traffic import Phase

GOAL_IN_FLIGHT: Final = 8
GOAL_SERVER_US: Final = 90.0
GOAL_IDLE_KIB: Final = 40.0
GOAL_IDLE_CONNECTIONS: Final = 1000
"""With few connections, free memory that the process already had hides their cost."""
PROFILE_LINES: Final = 15

BEGIN: Final = "<!-- results: written by `python -m bench --write-docs`, do not edit -->"
END: Final = "<!-- results end -->"

_HEAD = (
    "in flight",
    "delivered/s",
    "p50 ms",
    "p99 ms",
    "SENT p50 ms",
    "server us/message",
    "event loop us",
    "other threads us",
    "server cores",
    "generator cores",
    "acknowledged",
    "lost",
    "twice",
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run: where, how, and what came out.

    `echo_us` is the yardstick of `echo`; `profile` is what `sampler` wrote, taken in `profiled`.
    """

    machine: str
    filesystem: str
    revision: str
    command: str
    pairs: int
    phases: Sequence[Phase]
    echo_us: float
    idle: Idle | None = None
    profile: dict[str, Any] | None = None
    profiled: Phase | None = None

    @property
    def lost_or_twice(self) -> int:
        """How many messages were not delivered exactly once."""
        measured = [*self.phases, *([self.profiled] if self.profiled else [])]
        return sum(phase.lost + phase.twice for phase in measured)


def markdown(run: Run) -> str:
    """Return the whole report."""
    parts = [
        f"Machine: {run.machine}; data on {run.filesystem}.",
        f"Revision {run.revision}, `{run.command}`.",
        f"{run.pairs} pairs:\n\n{_table(run.phases)}" if run.phases else "",
        _yardstick(run) if run.phases else "",
        _idle(run.idle) if run.idle else "",
        "\n".join(f"- {line}" for line in goals(run)),
        _profile(run.profile, run.profiled) if run.profile and run.profiled else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _yardstick(run: Run) -> str:
    ratios = ", ".join(f"{phase.server_us / run.echo_us:.2f} at {phase.in_flight}" for phase in run.phases)
    return (
        f"Yardstick: in the same run a bare trio-websocket server spent {run.echo_us:.0f} us of CPU on receiving a "
        f"message and sending it back. A message of Chappe's, in such echoes, by how many are in flight: {ratios}."
    )


def goals(run: Run) -> list[str]:
    """Return one sentence per goal that the run has figures for."""
    said = []
    for phase in run.phases:
        if phase.in_flight == GOAL_IN_FLIGHT:
            met = "met" if phase.server_us <= GOAL_SERVER_US else "missed"
            said.append(
                f"Goal {met}: {phase.server_us:.0f} us of server CPU per delivered message at "
                f"{GOAL_IN_FLIGHT} in flight (goal: at most {GOAL_SERVER_US:.0f})."
            )
    if run.idle and run.idle.connections >= GOAL_IDLE_CONNECTIONS:
        met = "met" if run.idle.rss_kib <= GOAL_IDLE_KIB else "missed"
        said.append(
            f"Goal {met}: {run.idle.rss_kib:.1f} KiB of memory per idle connection "
            f"(goal: at most {GOAL_IDLE_KIB:.0f})."
        )
    said.append(
        "Nothing lost, nothing twice."
        if not run.lost_or_twice
        else f"FAILED: {run.lost_or_twice} messages were not delivered exactly once."
    )
    return said


def as_json(run: Run) -> str:
    """Return the figures of a run, with what the table derives from them."""
    values = asdict(run)
    for made, phase in zip(values["phases"], run.phases, strict=True):
        made |= {"per_s": phase.per_s, "server_us": phase.server_us, "loop_us": phase.loop_us}
    if run.idle:
        values["idle"] |= {"rss_kib": run.idle.rss_kib, "pss_kib": run.idle.pss_kib}
    return json.dumps(values, indent=2)


def write_docs(page: Path, run: Run) -> None:
    """Replace what is between the markers of a page."""
    pages.put(page, BEGIN, END, markdown(run))


def _table(phases: Sequence[Phase]) -> str:
    rows = [
        (
            str(phase.in_flight),
            f"{phase.per_s:,.0f}",
            f"{phase.delivered_p50_ms:.1f}",
            f"{phase.delivered_p99_ms:.1f}",
            f"{phase.sent_p50_ms:.1f}",
            f"{phase.server_us:.0f}",
            f"{phase.loop_us:.0f}",
            f"{phase.server_us - phase.loop_us:.0f}",
            f"{phase.server.whole_s / phase.window_s:.2f}",
            f"{phase.generator_s / phase.window_s:.2f}",
            f"{phase.acknowledged:,}",
            str(phase.lost),
            str(phase.twice),
        )
        for phase in phases
    ]
    return aligned(_HEAD, rows, right=range(len(_HEAD)))


def _idle(idle: Idle) -> str:
    return (
        f"{idle.connections:,} signed-in idle connections: {idle.rss_kib:.1f} KiB each (RSS), "
        f"{idle.pss_kib:.1f} KiB (PSS); the server went from "
        f"{idle.before.rss / 2**20:.1f} to {idle.after.rss / 2**20:.1f} MiB."
    )


def _profile(profile: dict[str, Any], phase: Phase) -> str:
    dearest: dict[tuple[str, str], int] = {}
    for name, path, line, _seconds in profile["lines"]:  # dearest first
        dearest.setdefault((name, path), line)

    def row(name: str, path: str, seconds: float) -> tuple[str, ...]:
        where = f"`{_short(path)}:{dearest[name, path]}`" if (name, path) in dearest else ""
        per_message = seconds / phase.delivered * 1e6
        return f"{seconds / profile['total_s']:.1%}", f"{per_message:.1f}", f"`{name}`", where

    def table(times: list[tuple[str, str, float]]) -> str:
        head = ("share", "us/message", "function", "dearest line")
        return aligned(head, [row(*entry) for entry in times[:PROFILE_LINES]], right=(0, 1))

    ours = [
        entry for entry in profile["below"] if "/src/chappe/gateway/" in entry[1] or "/workers/" in entry[1]
    ]
    return (
        f"The CPU time of the event loop's thread at {phase.in_flight} in flight, {phase.loop_us:.0f} us per message "
        f"while sampled. By function, without what it calls:\n\n{table(profile['own'])}\n\n"
        f"The server's own functions, with what they call:\n\n{table(ours)}"
    )


def _short(path: str) -> str:
    for root in ("site-packages/", "/src/", "/python3."):
        _, found, rest = path.rpartition(root)
        if found:
            return rest.partition("/")[2] if root == "/python3." else rest
    return "/".join(path.split("/")[-2:])


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> str:
    """Return a Markdown table whose columns line up; those of `right` are set to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = (
        f"{'-' * (width - 1)}:" if column in right else "-" * width for column, width in enumerate(widths)
    )
    return "\n".join([line(head), f"| {' | '.join(rule)} |", *map(line, rows)])
