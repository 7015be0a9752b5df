"""What the supervision tree does, as Prometheus metrics.

The node hands `observe` every event of its tree; `/metrics` prints what came of it. Times are in seconds of trio's
clock. A label is a child's place in the tree, in which a connection's number is a star: so there are as many as the
tree has kinds of children, however many clients there are. What is kept per child or supervisor is dropped at its
end. Log lines of the same events are in `logs.py`.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import trio
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from supervisors import (
    ChildIgnored,
    ChildStarted,
    ChildStartFailed,
    ChildStarting,
    ChildStopping,
    ChildStuck,
    ChildTerminated,
    Event,
    KeyGaveUp,
    Node,
    Path,
    RestartCounted,
    SupervisorGaveUp,
    SupervisorStarted,
    SupervisorTerminated,
)

# A second series for every counter, which no query here reads.
disable_created_metrics()  # type: ignore[no-untyped-call] # it has no annotations

SECONDS: Final = (0.001, 0.01, 0.1, 1.0, 5.0, 10.0, 60.0)

MOST_DOWN: Final = 1_000
"""Ends remembered until the child runs again. One that is stopped while it waits for its restart has no event, so
the oldest go.
"""


@dataclass(slots=True)
class _Kind:
    """Supervisors of one label and one intensity, of which `alive` run."""

    label: str
    intensity: int
    period_s: float
    alive: int = 0


class TreeMetrics:
    """Counts events into `registry`."""

    def __init__(self, registry: CollectorRegistry, now: Callable[[], float] = trio.current_time) -> None:
        def counter(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(name, help_text, labels, registry=registry)

        def histogram(name: str, help_text: str) -> Histogram:
            return Histogram(name, help_text, ["child"], buckets=SECONDS, registry=registry)

        self._now = now
        self.restarts = counter("chappe_child_restarts", "Starts of a child after its first.", "child")
        self.ends = counter("chappe_child_ends", "Runs that ended, by reason.", "child", "reason")
        self.start_seconds = histogram("chappe_child_start_seconds", "From launch to acknowledgement.")
        self.down_seconds = histogram("chappe_child_down_seconds", "From an end to running again.")
        self.stop_seconds = histogram("chappe_child_stop_seconds", "From being asked to stop to gone.")
        self.stuck = counter("chappe_children_stuck", "Children that outlived their stop.", "child")
        self.stuck_now = Gauge(
            "chappe_children_stuck_now",
            "Children that outlived their stop and still run.",
            ["child"],
            registry=registry,
        )
        self.gave_up = counter(
            "chappe_supervisors_gave_up", "Supervisors past their intensity.", "supervisor"
        )
        self.keys_gave_up = counter(
            "chappe_keys_gave_up", "Keys of a pool past their intensity.", "supervisor"
        )
        # To look labels up is what an event costs most, and every connection ends with five of these.
        self._end = cache(self.ends.labels)
        self._restart = cache(self.restarts.labels)
        self._stop_second = cache(self.stop_seconds.labels)
        self._tree: Callable[[], Node] | None = None
        self._kinds: dict[tuple[str, int, float], _Kind] = {}
        self._supervisors: dict[Path, _Kind] = {}
        self._counted: dict[Path, deque[float]] = {}
        self._starting: dict[Path, float] = {}
        self._stopping: dict[Path, float] = {}
        self._down: dict[Path, float] = {}
        self._stuck: set[Path] = set()
        self._on: dict[type, Callable[[Any], None]] = {
            ChildStarting: self._child_starting,
            ChildStarted: self._child_started,
            ChildStartFailed: self._child_start_failed,
            ChildIgnored: self._child_ignored,
            ChildStopping: self._child_stopping,
            ChildTerminated: self._child_terminated,
            ChildStuck: self._child_stuck,
            RestartCounted: self._restart_counted,
            KeyGaveUp: self._key_gave_up,
            SupervisorStarted: self._supervisor_started,
            SupervisorTerminated: self._supervisor_terminated,
            SupervisorGaveUp: self._supervisor_gave_up,
        }
        registry.register(self)

    def observe(self, event: Event) -> None:
        """Take one event; meant as a supervisor's observer."""
        react = self._on.get(type(event))
        if react is not None:
            react(event)

    def watch(self, tree: Callable[[], Node]) -> None:
        """Look at the mailboxes of this tree with every scrape; it need not show more than the first of a pool."""
        self._tree = tree

    def collect(self) -> Iterator[Metric]:
        """Yield what is looked at when it is scraped: head-room and mailboxes, as they are at this moment."""
        yield _family(
            "chappe_supervisor_headroom_restarts",
            "Restarts that are allowed now; the least of those supervisors.",
            "supervisor",
            self._headroom(),
        )
        yield _family(
            "chappe_supervisor_intensity_restarts",
            "Restarts that are allowed within the period; the least of those supervisors.",
            "supervisor",
            self._intensity(),
        )
        depths = defaultdict[str, list[int]](list)
        if self._tree is not None:
            root = self._tree()
            for path, depth in _mailboxes((root.name,), root):
                depths[label(path)].append(depth)
        yield _family(
            "chappe_mailbox_messages",
            "Messages that wait for servers.",
            "child",
            {name: sum(each) for name, each in depths.items()},
        )
        yield _family(
            "chappe_mailbox_max_messages",
            "Messages that wait for the one of those servers with the most.",
            "child",
            {name: max(each) for name, each in depths.items()},
        )

    def _intensity(self) -> dict[str, int]:
        """Return the least intensity of each label among the supervisors that run."""
        least: dict[str, int] = {}
        for kind in self._kinds.values():
            if kind.alive:
                least[kind.label] = min(kind.intensity, least.get(kind.label, kind.intensity))
        return least

    def _headroom(self) -> dict[str, int]:
        """Return the least head-room of each label among the supervisors that run."""
        least = self._intensity()
        for path, times in list(self._counted.items()):
            kind = self._supervisors[path]
            while times and self._now() - times[0] > kind.period_s:
                times.popleft()
            if times:
                least[kind.label] = min(least[kind.label], max(0, kind.intensity - len(times)))
            else:
                del self._counted[path]
        return least

    # Children

    def _child_starting(self, event: ChildStarting) -> None:
        self._starting[event.path] = self._now()

    def _child_started(self, event: ChildStarted) -> None:
        path = event.path
        if (began_s := self._starting.pop(path, None)) is not None:
            self.start_seconds.labels(label(path)).observe(self._now() - began_s)
        # There from the first start on: a series that begins at 1 has not increased, for Prometheus.
        self._restart(label(path)).inc(1 if event.restarts else 0)
        self._end(label(path), "crashed")
        if self._down and (ended_s := self._down.pop(path, None)) is not None:
            self.down_seconds.labels(label(path)).observe(self._now() - ended_s)

    def _child_start_failed(self, event: ChildStartFailed) -> None:
        self._ended(event.path, label(event.path), "start_failed")

    def _child_ignored(self, event: ChildIgnored) -> None:
        self._ended(event.path, label(event.path), "ignored")
        self._down.pop(event.path, None)

    def _child_stopping(self, event: ChildStopping) -> None:
        self._stopping[event.path] = self._now()

    def _child_terminated(self, event: ChildTerminated) -> None:
        path, name = event.path, label(event.path)
        self._ended(path, name, event.reason.value)
        if (asked_s := self._stopping.pop(path, None)) is not None:
            self._stop_second(name).observe(self._now() - asked_s)
        if event.will_restart:
            self._down[path] = self._now()
            if len(self._down) > MOST_DOWN:
                del self._down[next(iter(self._down))]

    def _child_stuck(self, event: ChildStuck) -> None:
        self._stuck.add(event.path)
        name = label(event.path)
        self.stuck.labels(name).inc()
        self.stuck_now.labels(name).inc()

    def _ended(self, path: Path, name: str, reason: str) -> None:
        self._end(name, reason).inc()
        self._starting.pop(path, None)
        if path in self._stuck:
            self._stuck.remove(path)
            self.stuck_now.labels(name).dec()

    # Supervisors

    def _supervisor_started(self, event: SupervisorStarted) -> None:
        key = (label(event.path), event.intensity, event.period_s)
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Kind(*key)
            self.gave_up.labels(kind.label)
        kind.alive += 1
        self._supervisors[event.path] = kind

    def _restart_counted(self, event: RestartCounted) -> None:
        kind = self._supervisors.get(event.path)
        if kind is not None:
            times = self._counted.setdefault(event.path, deque(maxlen=kind.intensity + 1))
            times.append(self._now())

    def _supervisor_terminated(self, event: SupervisorTerminated) -> None:
        kind = self._supervisors.pop(event.path, None)  # one that never got ready is not there
        if kind is not None:
            kind.alive -= 1
            self._counted.pop(event.path, None)

    def _supervisor_gave_up(self, event: SupervisorGaveUp) -> None:
        self.gave_up.labels(label(event.path)).inc()

    def _key_gave_up(self, event: KeyGaveUp) -> None:
        self.keys_gave_up.labels(label(event.path)).inc()


def label(path: Path) -> str:
    """Return a place in the tree, with a star for what is one of many."""
    return "/".join(["*" if part.lstrip("#").isdigit() else part for part in path])


def _mailboxes(path: Path, node: Node) -> Iterator[tuple[Path, int]]:
    if node.mailbox is not None:
        yield path, node.mailbox
    for child in node.children:
        yield from _mailboxes((*path, child.name), child)


def _family(name: str, help_text: str, key: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=[key])
    for value_of, value in values.items():
        family.add_metric([value_of], value)
    return family
