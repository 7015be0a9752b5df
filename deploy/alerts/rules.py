"""What a rule is, and how rules become a file that Prometheus reads.

`objectives.py` and `causes.py` say which rules there are. Annotations lead to a section of docs/runbook.md that has the
alert's name, and to the panel that `panels.py` names, with the process chosen if the alert is of one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from .panels import PANELS

RUNBOOK: Final = "docs/runbook.md"
GRAFANA: Final = "http://127.0.0.1:3000"


@dataclass(frozen=True, slots=True)
class Record:
    """A recording rule."""

    name: str
    expr: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule. `hold` is how long the expression has to be true."""

    name: str
    expr: str
    severity: str
    summary: str
    description: str
    hold: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Links:
    """Where annotations lead."""

    runbook: str = RUNBOOK
    grafana: str = GRAFANA


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated together, in this order."""

    name: str
    rules: tuple[Record | Alert, ...]


def to_yaml(everything: Iterable[Group], links: Links) -> str:
    """Return a file of rules. Scalars are in JSON's form, which is YAML's too."""
    lines = ["groups:"]
    for group in everything:
        lines += [f"  - name: {group.name}", "    rules:"]
        for rule in group.rules:
            lines += _record(rule) if isinstance(rule, Record) else _alert(rule, links)
    return "\n".join(lines) + "\n"


def _record(rule: Record) -> Iterator[str]:
    yield f"      - record: {rule.name}"
    yield from _expr(rule.expr)
    yield from _map("labels", rule.labels)


def _alert(rule: Alert, links: Links) -> Iterator[str]:
    yield f"      - alert: {rule.name}"
    yield from _expr(rule.expr)
    if rule.hold is not None:
        yield f"        for: {rule.hold}"
    yield from _map("labels", {"severity": rule.severity, **rule.labels})
    yield from _map(
        "annotations",
        {
            "summary": rule.summary,
            "description": rule.description,
            "runbook_url": f"{links.runbook}#{rule.name.lower()}",
            "dashboard_url": f"{links.grafana}/{PANELS[rule.name].path}{_chosen(rule)}",
        },
    )


def _chosen(rule: Alert) -> str:
    """Return the dashboard's variables for the process that the alert is of, which then stands in its summary."""
    names = [name for name in ("node", "worker") if f"$labels.{name} " in rule.summary]
    return "".join(f"&var-{name}={{{{ $labels.{name} }}}}" for name in names)


def _expr(expr: str) -> Iterator[str]:
    yield "        expr: |"
    yield from (f"          {line}" for line in expr.splitlines())


def _map(name: str, values: Mapping[str, str]) -> Iterator[str]:
    yield f"        {name}:"
    yield from (f"          {key}: {json.dumps(value)}" for key, value in values.items())
