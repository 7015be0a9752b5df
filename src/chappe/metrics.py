"""What a node counts, in Prometheus' terms: one registry per node, so that several can live in one process.

Everything that counts is handed this object and touches the members it names; `/metrics` prints the registry, and
docs/metrics.md lists all of it. Labels come from closed lists only (codes, kinds, operations), never from what a client
sent. `traces` says in the log what single messages and calls went through. What is only looked at when somebody scrapes
is in `gauges.py`; `tree` counts what the supervision tree does, see `supervision.py`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import fields
from enum import StrEnum
from functools import cache
from itertools import accumulate
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from .protocol.codes import CloseCode, ErrorCode
from .supervision import TreeMetrics
from .traces import Traces

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
FEW_SECONDS: Final = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0)
BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_CLOSE_CODES: Final = frozenset(CloseCode)

log = structlog.get_logger("node")


class Outcome(StrEnum):
    """What became of a send or a call. Objectives count FAILED against us; what is REFUSED was the client's fault."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"


_OURS: Final = frozenset(
    {ErrorCode.STORE_UNAVAILABLE, ErrorCode.WRITE_LATE, ErrorCode.OVERLOADED, ErrorCode.INTERNAL}
)


def outcome_of(code: ErrorCode) -> Outcome:
    """Return whose fault an error is."""
    return Outcome.FAILED if code in _OURS else Outcome.REFUSED


class Timed:
    """A histogram of seconds without labels, for what happens with every message.

    The library's own takes three locks an observation, 0.8 us; this one is counted on trio's thread only and takes 0.2.
    """

    def __init__(self, name: str, help_text: str) -> None:
        self._name, self._help = name, help_text
        self._counts = [0] * (len(SECONDS) + 1)
        self._sum_s = 0.0

    def observe(self, seconds: float, count: int = 1) -> None:
        """Count something that took so long, `count` times."""
        self._counts[bisect_left(SECONDS, seconds)] += count
        self._sum_s += seconds * count

    def collect(self) -> Iterator[Metric]:
        """Yield the histogram as it is now."""
        bounds = [*map(floatToGoString, SECONDS), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        yield HistogramMetricFamily(self._name, self._help, buckets, self._sum_s)


class _BusCollector:
    """Shows a bus' counters as they are when scraped."""

    def __init__(self, counters: Any) -> None:
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        for field in fields(self._counters):
            name = f"chappe_bus_{field.name}"
            yield CounterMetricFamily(name, field.metadata["help"], value=getattr(self._counters, field.name))


class Metrics:
    """A node's metrics. Times in seconds, sizes in bytes."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # Looking a label up costs ten times as much as counting, so whoever counts often gets its child here.
        sends = self._counter(
            "chappe_sends",
            "SENDs answered: ok (SENT), refused (the client's fault, such as rate limits), failed (ours).",
            "outcome",
        )
        self.sends_ok, self._sends_refused, self.sends_failed = map(sends.labels, Outcome)
        self._send_error = cache(
            self._counter("chappe_send_errors", "SENDs answered with an error, by its code.", "code").labels
        )
        self._error = cache(self._counter("chappe_errors", "Frames refused, by error code.", "code").labels)
        self.messages = self._counter("chappe_messages_stored", "Messages accepted and durable.")
        self.duplicates = self._counter("chappe_messages_duplicate", "Sends answered from an earlier try.")
        self.deliveries = self._counter("chappe_events_sent", "Durable events put on the way to a device.")
        self.acknowledged = self._counter("chappe_events_acknowledged", "Events that clients acknowledged.")
        self.receipts = self._counter("chappe_receipts_received", "Receipts taken from clients.")
        self.accepted = self._counter("chappe_connections_accepted", "Connections accepted.")
        self.rejected = self._counter("chappe_connections_rejected", "Connections closed unheard.", "reason")
        self._closes = self._counter("chappe_connections_closed", "Connections ended, by close code.", "code")
        for code in (
            *_CLOSE_CODES,
            "other",
        ):  # there from the start: a series that begins at 3 has not increased
            self._closes.labels(code)
        self.resumes = self._counter("chappe_sessions_resumed", "Sign-ins with a cursor.")
        self.notes_dropped = self._counter(
            "chappe_notes_dropped", "Typing and presence dropped for want of room."
        )
        self.rereads = self._counter(
            "chappe_inbox_rereads",
            "Inboxes read again: a live queue overflowed, a wake may be lost, or the bus is down.",
        )
        self.watermarks_dropped = self._counter(
            "chappe_watermarks_dropped", "Receipts dropped for want of room."
        )
        self.store_failures = self._counter(
            "chappe_store_failures", "Times that a store was away, by what for.", "operation"
        )
        self.late_writes = self._counter("chappe_writes_late", "Groups stored after the write deadline.")
        self.append_batch = self._histogram(
            "chappe_append_batch_messages", "Messages in one append.", BATCHES
        )
        self.send_seconds = self._timed("chappe_send_seconds", "From SEND to durable.")
        self.delivery_seconds = self._timed(
            "chappe_delivery_seconds",
            "From accepted, by whichever node, to written to the socket of a device that was there to take it.",
        )
        self.end_to_end_seconds = self._timed(
            "chappe_end_to_end_seconds", "From accepted to the ACK of a device that was there."
        )
        self._calls = cache(
            self._counter(
                "chappe_calls",
                "Calls and sign-ups answered: ok, refused (the client's fault), failed (ours).",
                "call",
                "outcome",
            ).labels
        )
        self._call_seconds = cache(
            self._histogram(
                "chappe_call_seconds", "From a call or sign-up to its answer.", FEW_SECONDS, "call"
            ).labels
        )
        # There from the first scrape on: an objective is looked at before the first reader comes.
        for outcome in Outcome:
            self._calls("history.get", outcome)
        self._store_operation = cache(
            self._histogram(
                "chappe_store_operation_seconds",
                "Operations of the stores (messages, users, keys) as callers felt them; see docs/metrics.md.",
                FEW_SECONDS,
                "store",
                "operation",
                "outcome",
            ).labels
        )
        self._store_request = cache(
            self._histogram(
                "chappe_store_request_seconds",
                "Requests to Cassandra, by what for and how they ended (ok, timeout, unavailable, invalid, error).",
                SECONDS,
                "operation",
                "outcome",
            ).labels
        )
        self._store_warnings = self._counter(
            "chappe_store_warnings",
            "What Cassandra warned of, or was noticed: tombstones, large_read, batch, partition, other.",
            "kind",
        )
        self.loop_lag = self._histogram(
            "chappe_event_loop_lag_seconds", "How late the event loop runs a timer, once a second.", SECONDS
        )
        self.tree = TreeMetrics(self.registry)
        self.traces = Traces()

    def refused(self, code: ErrorCode) -> None:
        """Count a frame that is answered with an error."""
        self._error(code).inc()

    def send_refused(self, code: ErrorCode) -> None:
        """Count a SEND that is answered with an error."""
        self.refused(code)
        self._send_error(code).inc()
        (self.sends_failed if code in _OURS else self._sends_refused).inc()

    def call_ended(self, call: str, outcome: Outcome, seconds: float | None = None) -> None:
        """Count a call or sign-up; one that was not begun took no time."""
        self._calls(call, outcome).inc()
        if seconds is not None:
            self._call_seconds(call).observe(seconds)

    def store_operation(self, store: str, operation: str, outcome: str, seconds: float) -> None:
        """Count an operation of a store."""
        self._store_operation(store, operation, outcome).observe(seconds)

    def store_request(self, operation: str, outcome: str, seconds: float) -> None:
        """Count a request to the message store."""
        self._store_request(operation, outcome).observe(seconds)

    def store_warning(self, kind: str, text: str) -> None:
        """Count what an operator should look at, and log it."""
        self._store_warnings.labels(kind).inc()
        log.warning("store", kind=kind, text=text)

    def watch_replicas(self, count: Callable[[], tuple[int, int]]) -> None:
        """Show how many nodes of the message store are up, and how many there are."""
        self.gauge("chappe_store_nodes_up", "Nodes of Cassandra that the driver reaches.", lambda: count()[0])
        self.gauge("chappe_store_nodes", "Nodes of Cassandra that are known.", lambda: count()[1])

    def watch_bus(self, counters: Any, waiting: Callable[[], tuple[int, int]]) -> None:
        """Show what a bus counts, a dataclass of numbers that only grow, and how many messages and bytes wait in it."""
        self.registry.register(_BusCollector(counters))
        self.gauge(
            "chappe_bus_queue_messages", "Messages and notes that wait for the bus.", lambda: waiting()[0]
        )
        self.gauge(
            "chappe_bus_queue_bytes",
            "Bodies and wraps of messages that wait for the bus.",
            lambda: waiting()[1],
        )

    def gauge(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        """Add a gauge that is read when it is scraped."""
        Gauge(name, help_text, registry=self.registry).set_function(value)

    def closed(self, code: int) -> None:
        """Count a closed connection. A client may close with any number, so the strange ones share a label."""
        self._closes.labels(code if code in _CLOSE_CODES else "other").inc()

    def _timed(self, name: str, help_text: str) -> Timed:
        timed = Timed(name, help_text)
        self.registry.register(timed)
        return timed

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(name, help_text, labels, registry=self.registry)

    def _histogram(self, name: str, help_text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, help_text, labels, buckets=buckets, registry=self.registry)
