"""What a node counts, in Prometheus' terms: one registry per node, so that several can live in one process.

Everything that counts is handed this object and touches the members it names; `/metrics` prints the registry. Labels
come from closed lists only (codes, kinds, child ids), never from what a client sent.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from supervisors import ChildStarted, ChildStuck, ChildTerminated, Reason, SupervisorGaveUp
from supervisors import Event as SupervisorEvent

from .protocol.codes import CloseCode

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_CLOSE_CODES = frozenset(CloseCode)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

# A second series for every counter, which no query here reads.
disable_created_metrics()  # type: ignore[no-untyped-call] # it has no annotations


class Metrics:
    """A node's metrics. Times in seconds, sizes in bytes."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.messages = self._counter("chappe_messages_stored", "Messages accepted and durable.")
        self.duplicates = self._counter("chappe_messages_duplicate", "Sends answered from an earlier try.")
        self.deliveries = self._counter("chappe_events_sent", "Durable events put on the way to a device.")
        self.receipts = self._counter("chappe_receipts_received", "Receipts taken from clients.")
        self.errors = self._counter("chappe_errors", "Frames refused, by error code.", "code")
        self.accepted = self._counter("chappe_connections_accepted", "Connections accepted.")
        self.rejected = self._counter("chappe_connections_rejected", "Connections closed unheard.", "reason")
        self.closes = self._counter("chappe_connections_closed", "Connections ended, by close code.", "code")
        self.resumes = self._counter("chappe_sessions_resumed", "Sign-ins with a cursor.")
        self.notes_dropped = self._counter(
            "chappe_notes_dropped", "Typing and presence dropped for want of room."
        )
        self.overflows = self._counter(
            "chappe_live_overflows", "Inboxes read again: a live queue overflowed, or a write was in doubt."
        )
        self.watermarks_dropped = self._counter(
            "chappe_watermarks_dropped", "Receipts dropped for want of room."
        )
        self.store_failures = self._counter(
            "chappe_store_failures", "Store operations that failed.", "operation"
        )
        self.late_writes = self._counter("chappe_writes_late", "Groups stored after the write deadline.")
        self.append_batch = self._histogram(
            "chappe_append_batch_messages", "Messages in one append.", BATCHES
        )
        self.send_seconds = self._histogram("chappe_send_seconds", "From SEND to durable.", SECONDS)
        self.restarts = self._counter("chappe_child_restarts", "Restarts by child.", "child")
        self.crashes = self._counter("chappe_child_crashes", "Crashes by child.", "child")
        self.gave_up = self._counter(
            "chappe_supervisors_gave_up", "Supervisors past their intensity.", "supervisor"
        )
        self.stuck = self._counter("chappe_children_stuck", "Children that outlived their stop.", "child")

    def gauge(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        """Add a gauge that is read when it is scraped."""
        Gauge(name, help_text, registry=self.registry).set_function(value)

    def closed(self, code: int) -> None:
        """Count a closed connection. A client may close with any number, so the strange ones share a label."""
        self.closes.labels(code if code in _CLOSE_CODES else "other").inc()

    def on_supervisor_event(self, event: SupervisorEvent) -> None:
        """Count what the supervision tree reports; meant as a supervisor's observer."""
        match event:
            case ChildStarted(restarts=restarts) if restarts:
                self.restarts.labels(_label(event.path)).inc()
            case ChildTerminated(reason=Reason.CRASHED):
                self.crashes.labels(_label(event.path)).inc()
            case SupervisorGaveUp():
                self.gave_up.labels(_label(event.path)).inc()
            case ChildStuck():
                self.stuck.labels(_label(event.path)).inc()
            case _:
                pass

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(name, help_text, labels, registry=self.registry)

    def _histogram(self, name: str, help_text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, help_text, buckets=buckets, registry=self.registry)


def _label(path: tuple[str, ...]) -> str:
    # A connection's own name would make a label per connection: its place in the tree says enough.
    return "/".join("*" if part.lstrip("#").isdigit() else part for part in path)
