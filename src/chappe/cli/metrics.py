"""The tables in docs/metrics.md, generated from the metrics themselves.

`python -m chappe.cli.metrics docs/metrics.md` rewrites what is between the markers; a test fails when the page has
drifted, and others ask `catalogue` whether a metric that a rule or a page names is there. The prose is written by hand.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import trio
from prometheus_client import CollectorRegistry

from ..app import open_node
from ..bus.values import Counters
from ..fleet.parent import Fleet
from ..fleet.worker import Job
from ..metrics import Metrics
from ..settings import Gateway, Http, Settings, Stores
from .pages import rewrite_files, rewritten

MODULE: Final = "chappe.cli.metrics"
EVERY_NODE: Final = "Every node and worker"
PARENT: Final = "The parent of workers"


@dataclass(frozen=True, slots=True)
class Family:
    """A metric. `names` are those that a query may use: a histogram has three."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str
    group: str

    @property
    def names(self) -> tuple[str, ...]:
        """What may stand in a query."""
        if self.type == "histogram":
            return tuple(f"{self.name}{ending}" for ending in ("_bucket", "_sum", "_count"))
        return (self.name,)


@cache
def catalogue() -> tuple[Family, ...]:
    """Return all metrics there are, from a node that is opened for that, in a folder of its own, and never runs."""
    return tuple(trio.run(_collect))


async def _collect() -> list[Family]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            gateway=Gateway(port=0, self_signed=True), http=Http(port=0), stores=Stores(data=Path(folder))
        )
        async with open_node(settings) as node:
            found = {family.name: family for family in _families(node.metrics.registry, EVERY_NODE)}
    for group, watch in (("With a bus", _watch_bus), ("With Cassandra", _watch_cassandra)):
        metrics = Metrics()
        known = {family.name for family in _families(metrics.registry, "")}
        watch(metrics)
        found |= {
            family.name: family for family in _families(metrics.registry, group) if family.name not in known
        }
    fleet = Fleet(1, Job((), {}, b"", 1.0), 1.0)
    for family in _families(fleet.registry, PARENT):
        found.setdefault(family.name, family)
    return list(found.values())


def _watch_bus(metrics: Metrics) -> None:
    metrics.watch_bus(Counters(), lambda: (0, 0))


def _watch_cassandra(metrics: Metrics) -> None:
    metrics.watch_replicas(lambda: (0, 0))


def _families(registry: CollectorRegistry, group: str) -> Iterator[Family]:
    # The registry has no public way to its collectors, and a metric that nobody has counted yet has no samples that
    # would tell its labels.
    collectors: Iterable[Any] = registry._collector_to_names
    for collector in collectors:
        own_labels = getattr(collector, "_labelnames", None)
        for metric in collector.collect():
            labels = metric._labelnames if own_labels is None else own_labels
            ending = {"counter": "_total", "info": "_info"}.get(metric.type, "")
            yield Family(metric.name + ending, metric.type, tuple(labels), metric.documentation, group)


def tables() -> str:
    """Return the generated part, in Markdown."""
    lines: list[str] = []
    families = catalogue()
    for group in dict.fromkeys(family.group for family in families):
        lines += [f"### {group}", "", "| metric | type | labels | what it says |", "|---|---|---|---|"]
        lines += [
            f"| `{one.name}` | {one.type} | {', '.join(f'`{label}`' for label in one.labels)} | {one.help} |"
            for one in sorted(families, key=lambda one: one.name)
            if one.group == group
        ]
        lines.append("")
    return "\n".join(lines).rstrip()


def page_with_tables(page: str) -> str:
    """Return the page with its tables up to date. Raises: `ValueError`."""
    return rewritten(page, MODULE, tables())


if __name__ == "__main__":
    rewrite_files(page_with_tables)
