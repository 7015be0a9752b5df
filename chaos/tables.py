"""Outcomes as people read them: in the terminal, and as the table of docs/chaos.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from .analysis.figures import Quantiles
from .outcome import Firing, Outcome
from .scenario import Scenario

_COLOURS = {"kept": "green", "BROKEN": "bold red", "skipped": "yellow"}


def plain(scenario: Scenario) -> dict[str, object]:
    """Return a scenario for programs."""
    return {
        "name": scenario.name,
        "title": scenario.title,
        "hypothesis": scenario.hypothesis,
        "blast_radius": scenario.blast_radius,
        "stack": "full" if scenario.stack.is_full else "small",
        "quick": scenario.is_quick,
        "needs": list(scenario.needs),
        "availability": scenario.passes.availability,
        "recovery_s": scenario.passes.recovery_s,
        "steady": [
            {"title": probe.title, "promql": probe.promql, "low": probe.low, "high": probe.high}
            for probe in scenario.steady
        ],
        "alerts": list(scenario.alerts),
        "once": scenario.is_once,
    }


def scenarios(every: Iterable[Scenario]) -> Table:
    """Return the table of `chappe-chaos list`."""
    table = Table("scenario", "stack", "what is broken, and what should hold", box=None, pad_edge=False)
    for scenario in every:
        stack = ", ".join(
            [
                "full" if scenario.stack.is_full else "small",
                *scenario.needs,
                *(["quick"] if scenario.is_quick else []),
            ]
        )
        table.add_row(Text(scenario.name, style="bold"), stack, f"{scenario.title}. {scenario.hypothesis}\n")
    return table


def outcome(one: Outcome) -> Group:
    """Return what is printed after a run."""
    took_s = (one.ended_ms - one.began_ms) / 1000
    head = Text.assemble(
        (one.word, _COLOURS[one.word]), f"  {one.scenario}, seed {one.seed}, {took_s:.0f} s: {one.title}"
    )
    lines = [head]
    if one.skipped:
        lines.append(Text(f"    {one.skipped}"))
    if one.problem:
        lines.append(Text(f"    {one.problem}", style="red"))
    for check in one.checks:
        style = "" if check.is_kept else "red"
        lines.append(Text(f"    {'✓' if check.is_kept else '✗'} {check.title}: {check.found}", style=style))
    if one.figures:
        times = f"sent {_times(one.figures.to_sent)}; shown {_times(one.figures.to_shown)}"
        lines.append(Text(f"      {times}", style="dim"))
    if one.alerts:
        lines.append(Text(f"      alerts: {', '.join(map(_fired, one.alerts))}", style="dim"))
    if one.violations:
        lines += [Text(f"    {line}", style="red") for line in one.verdict.splitlines()[1:]]
    return Group(*lines)


def _times(quantiles: Quantiles | None) -> str:
    if quantiles is None:
        return "nothing"
    return f"p50 {quantiles.p50_ms:.0f} ms, p99 {quantiles.p99_ms:.0f} ms, most {quantiles.max_ms:.0f} ms"


def _fired(one: Firing) -> str:
    return one.alert + (" still" if one.to_ms is None else f" {(one.to_ms - one.from_ms) / 1000:.0f} s")


def row(one: Outcome) -> list[str]:
    """Return the cells of an outcome, as `COLUMNS` names them."""
    figures = one.figures
    during = "" if figures is None or figures.during is None else f"{figures.during:.1%}"
    recovery = (
        "" if figures is None else "never" if figures.recovery_s is None else f"{figures.recovery_s:.1f} s"
    )
    return [
        one.scenario,
        one.title,
        str(one.seed),
        one.word,
        str(figures.sends) if figures else "",
        during,
        recovery,
        str(one.violations.get("lost", 0)) if figures else "",
        str(one.violations.get("twice", 0)) if figures else "",
    ]


COLUMNS = (
    "scenario",
    "what is broken",
    "seed",
    "promise",
    "sends",
    "answered in the fault",
    "recovery",
    "lost",
    "twice",
)


def outcomes(every: Sequence[Outcome]) -> Table:
    """Return the table at the end of several runs."""
    table = Table(*COLUMNS, box=None, pad_edge=False)
    for one in every:
        table.add_row(*row(one), style="" if one.is_kept else _COLOURS[one.word])
    return table


def markdown(every: Sequence[Outcome]) -> str:
    """Return the same for a document, by name and seed."""
    cells = [row(one) for one in sorted(every, key=lambda one: (one.scenario, one.seed)) if not one.plant]
    lines = [COLUMNS, ["---"] * 2 + ["---:"] + ["---"] + ["---:"] * 5, *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
