"""What a scenario is: a specification of one experiment, one file each in `scenarios/`.

The words are the Chaos Toolkit's: a steady-state hypothesis, a method (here `fault`), rollbacks. The promise that every
scenario judges is the history check (`chappe.history`); `Pass` and the alerts say what must hold beside it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from . import scenarios

if TYPE_CHECKING:
    from .lab import Lab

Need = Literal["toxiproxy", "namespaces", "mounts"]
Part = Literal["people", "redis", "postgres", "cassandra"]


@dataclass(frozen=True)
class Wanted:
    """The stack that a scenario wants. Without `is_full` it is one node on SQLite; with it nodes of `workers` processes
    behind HAProxy on three Cassandras, PostgreSQL and Redis. `proxied` parts are reached through Toxiproxy: `people` to
    the balancer, nodes to the others. `settings` are further lines of the nodes' configuration, by section; with
    `is_tls` a small stack has a certificate of `Site.certificates`. With `has_hosts` each Cassandra of a full stack has
    a host, see `stack.hosts`; with `disk_mb` the node of a small one has a disk of that size, see `stack.disk`.
    """

    is_full: bool = False
    nodes: int = 1
    workers: int = 1
    proxied: tuple[Part, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    is_tls: bool = False
    has_hosts: bool = False
    disk_mb: int | None = None


SMALL = Wanted()
FULL = Wanted(is_full=True, nodes=2, workers=2)
HOSTS = replace(FULL, has_hosts=True)


@dataclass(frozen=True)
class People:
    """The crowd: so many people, of whom the first `with_two` have two devices; each device sends `per_s` messages a
    second to the peers that it talks to, `in_process` devices of one process.
    """

    people: int = 12
    with_two: int = 4
    per_s: float = 0.5
    in_process: int = 4
    is_hot: bool = False  # everybody talks to the first person only


@dataclass(frozen=True)
class Probe:
    """A steady-state measure, `title`, that the run's Prometheus is asked for by `promql`: from `low` to `high`."""

    title: str
    promql: str
    low: float = 0.0
    high: float = float("inf")


STEADY = (
    # The first, so that the others are of the present: a Prometheus that was away would answer from memory.
    Probe("seconds since the last scrape", 'time() - min(timestamp(up{job="chappe"}))', high=3),
    Probe("processes answer (1) or not", 'min(up{job="chappe"})', low=1),
    Probe("workers missing", "sum(chappe_workers_wanted - chappe_workers) or vector(0)", high=0),
    Probe("children stuck", "sum(chappe_children_stuck_now) or vector(0)", high=0),
    Probe("share of sends that fail", 'slo:errors:ratio_rate5m{slo="send"}', high=0.01),
)
"""What is so in every healthy site. Windows are those of the rules, cut by the scenario's pace: 5m are five seconds."""

BUS_UP = Probe("bus up (1) or not", "min(chappe_bus_up)", low=1)
"""Holds beside `STEADY` where a site has a bus."""


@dataclass(frozen=True)
class Pass:
    """What must hold beside a history check that is kept.

    `availability`: the share of sends begun during the fault that were answered within `answer_s`. `recovery_s`:
    seconds from the end of the fault until every send is answered in time again. Generous: the machine may be slow.
    """

    availability: float = 0.0
    recovery_s: float = 60.0
    answer_s: float = 5.0


@dataclass(frozen=True)
class Scenario:
    """One experiment.

    `alerts` have to fire in the fault and be resolved after it, each with its severity: "page SendsFail". The rules are
    `pace` times faster than real. `is_once`: it takes so long that one run has to do, however many are asked for.
    """

    hypothesis: str
    blast_radius: str
    fault: Callable[[Lab], Awaitable[None]]
    stack: Wanted = SMALL
    people: People = field(default_factory=People)
    steady: tuple[Probe, ...] = STEADY
    alerts: tuple[str, ...] = ()
    pace: float = 60.0
    passes: Pass = field(default_factory=Pass)
    fault_s: float = 120.0
    is_quick: bool = False
    is_once: bool = False
    name: str = ""
    title: str = ""

    @property
    def needs(self) -> tuple[Need, ...]:
        """What the machine must have for its stack."""
        wanted: dict[Need, object] = {
            "toxiproxy": self.stack.proxied,
            "namespaces": self.stack.has_hosts,
            "mounts": self.stack.disk_mb,
        }
        return tuple(need for need, is_wanted in wanted.items() if is_wanted)


def load_all() -> dict[str, Scenario]:
    """Return all scenarios by name, in the order of their names."""
    found = {}
    for module in sorted(pkgutil.iter_modules(scenarios.__path__), key=lambda module: module.name):
        loaded = importlib.import_module(f"{scenarios.__name__}.{module.name}")
        scenario: Scenario = loaded.SCENARIO
        name = module.name.replace("_", "-")
        title = (loaded.__doc__ or "").strip().splitlines()[0].rstrip(".")
        found[name] = replace(scenario, name=name, title=title)
    return found
