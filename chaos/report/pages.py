"""Writes the pages: one a run beside its outcome, and an index over all runs of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Final

from chappe.history import load

from ..analysis.sends import sends
from ..outcome import Outcome
from ..tables import COLUMNS, row
from .plots import Frame, lanes, latencies, stacked

STYLE: Final = (Path(__file__).with_name("style.css")).read_text(encoding="utf-8")
PAGE: Final = "report.html"


def write(folder: Path, found: Sequence[tuple[Path, Outcome]]) -> Path:
    """Write all pages, and return the index."""
    for place, outcome in found:
        points = [
            (send.invoked_ms, float(send.sent_ms - send.invoked_ms))
            for send in sends([load(path) for path in sorted((place / "histories").glob("*.jsonl"))])
            if send.sent_ms is not None
        ]
        (place / PAGE).write_text(run_page(outcome, points), encoding="utf-8")
    index = folder / "index.html"
    links = [(str((place / PAGE).relative_to(folder)), outcome) for place, outcome in found]
    index.write_text(index_page(links), encoding="utf-8")
    return index


def index_page(runs: Sequence[tuple[str, Outcome]]) -> str:
    """Return the index of runs, each with the address of its page."""
    kept = sum(outcome.is_kept for _, outcome in runs)
    head = "".join(f"<th>{escape(column)}</th>" for column in COLUMNS)
    rows = []
    for address, outcome in sorted(runs, key=lambda run: (run[1].scenario, run[1].seed)):
        name, *cells = map(escape, row(outcome))
        link = f'<td><a href="{escape(address, quote=True)}">{name}</a></td>'
        cells = [f"<td>{cell}</td>" for cell in cells]
        rows.append(f'<tr class="{_colour(outcome)}">{link}{"".join(cells)}</tr>')
    body = (
        f"<h1>Chappe, broken on purpose</h1><p>{kept} of {len(runs)} runs kept every promise.</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )
    return _page("Chaos runs", body)


def run_page(outcome: Outcome, points: Sequence[tuple[int, float]]) -> str:
    """Return a run's page. `points`: when each answered message was begun, and after how many milliseconds it was."""
    began = datetime.fromtimestamp(outcome.began_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    planted = f", with the bug <b>{escape(outcome.plant)}</b> planted" if outcome.plant else ""
    parts = [
        f'<h1>{escape(outcome.scenario)} <span class="{_colour(outcome)}">{escape(outcome.word)}</span></h1>',
        f"<p>{escape(outcome.title)}. Seed {outcome.seed}, {outcome.devices} devices, begun {began}{planted}.</p>",
        f"<dl><dt>Hypothesis</dt><dd>{escape(outcome.hypothesis)}</dd>"
        f"<dt>Blast radius</dt><dd>{escape(outcome.blast_radius)}</dd></dl>",
    ]
    if outcome.problem:
        parts.append(f'<p class="BROKEN">{escape(outcome.problem)}</p>')
    parts.append("<h2>What had to hold</h2><ul class='checks'>")
    parts += [
        f'<li class="{"kept" if check.is_kept else "BROKEN"}">{escape(check.title)}: {escape(check.found)}</li>'
        for check in outcome.checks
    ]
    parts.append("</ul>")
    parts += _plots(outcome, points)
    if outcome.verdict:
        parts.append(f"<h2>Verdict</h2><pre>{escape(outcome.verdict)}</pre>")
    return _page(f"{outcome.scenario}, seed {outcome.seed}", "\n".join(parts))


def _plots(outcome: Outcome, points: Sequence[tuple[int, float]]) -> list[str]:
    figures, fault_ms = outcome.figures, outcome.fault_ms
    if figures is None or fault_ms is None or not figures.seconds:
        return []
    start, stop = figures.seconds[0].at_ms, figures.seconds[-1].at_ms + 1000
    frame = Frame(start, max(stop, fault_ms[1]), fault_ms)
    key = '<p class="key"><i class="good"></i> answered in time <i class="bad"></i> late or not at all</p>'
    steps = "".join(
        f"<li><b>{(at_ms - start) / 1000:+.1f} s</b> {escape(text)}</li>" for at_ms, text in outcome.steps
    )
    fired = f"<h2>Alerts that fired</h2>{lanes(frame, outcome.alerts)}" if outcome.alerts else ""
    return [
        f"<h2>Sends begun in each second</h2>{key}{stacked(frame, figures.seconds)}",
        f"<h2>From send to answer</h2>{latencies(frame, points)}",
        fired,
        f"<h2>What was done</h2><ol class='steps'>{steps}</ol>",
    ]


def _colour(outcome: Outcome) -> str:
    return outcome.word


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )
