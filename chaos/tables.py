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


COLUMNS = ("scenario", "seed", "promise", "sends", "answered in the fault", "recovery", "lost", "twice")


def row(one: Outcome) -> list[str]:
    """Return the cells of an outcome, as `COLUMNS` names them."""
    cells = [one.scenario, str(one.seed), one.word]
    if one.figures is None:
        return cells + [""] * (len(COLUMNS) - len(cells))
    during, recovery_s = one.figures.during, one.figures.recovery_s
    return [
        *cells,
        str(one.figures.sends),
        "" if during is None else f"{during:.1%}",
        "never" if recovery_s is None else f"{recovery_s:.1f} s",
        str(one.violations.get("lost", 0)),
        str(one.violations.get("twice", 0)),
    ]


def outcomes(every: Sequence[Outcome]) -> Table:
    """Return the table at the end of several runs."""
    table = Table(*COLUMNS, box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for one in every:
        table.add_row(*row(one), style="" if one.is_kept else _COLOURS[one.word])
    return table


def markdown(every: Sequence[Outcome]) -> str:
    """Return the same for a document, by name and seed; the first run of a scenario says what is broken."""
    lines: list[Sequence[str]] = [
        (COLUMNS[0], "what is broken", *COLUMNS[1:]),
        ["---"] * 2 + ["---:"] + ["---"] + ["---:"] * 5,
    ]
    before = ""
    for one in sorted(every, key=lambda one: (one.scenario, one.seed)):
        if not one.plant:
            name, *rest = row(one)
            lines.append((name, "" if name == before else one.title, *rest))
            before = name
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
