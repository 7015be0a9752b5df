"""Spans of messages for OpenTelemetry, an extra: `pip install 'chappe[otel]'`, and `tracing.exporter` in the settings.

`app.py` makes one of these and hands it to `traces.py`, whose calls it turns into spans: `send` is the root, `append`,
`publish` and `deliver` are its children, on whichever node they happen. They are made after the fact from what was
timed anyway, so nothing has to be carried along: the trace id is the message's cid, the id of `send` its second half
(docs/adr/0080-a-cid-is-a-trace.md). Which messages have spans depends on the cid too, so all nodes choose the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Final

import trio
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from .errors import SettingsError
from .ids import Cid

ROOT: Final = "send"
GROUP: Final = "opentelemetry_traces_exporter"  # where packages that bring an exporter say so
STOP_S: Final = 5.0
_ALL: Final = 1 << 64


class Spans:
    """Makes spans of one message in 1/`share`. `now_ns` is a wall clock, in nanoseconds since 1970 (UTC)."""

    def __init__(
        self,
        processor: SpanProcessor,
        share: float,
        node: str,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._ids = _Ids()
        self._below = round(share * _ALL)
        self._now_ns = now_ns
        resource = Resource({"service.name": "chappe", "service.instance.id": node})
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("chappe")

    def record(
        self, name: str, cid: Cid, seconds: float, *, batch: int = 1, error: str | None = None
    ) -> None:
        """Make a span that ends now, if this message is to have any."""
        trace, root = int.from_bytes(cid, "big"), int.from_bytes(cid[8:], "big")
        if root >= self._below or not root:  # 0 is no id
            return
        context = Context()
        if name == ROOT:
            self._ids.chosen = (trace, root)
        else:
            parent = SpanContext(trace, root, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
            context = set_span_in_context(NonRecordingSpan(parent), context)
        end_ns = self._now_ns()
        span = self._tracer.start_span(
            name, context, attributes={"chappe.batch": batch}, start_time=end_ns - round(seconds * 1e9)
        )
        if error is not None:
            span.set_status(StatusCode.ERROR, error)
        span.end(end_ns)

    async def aclose(self) -> None:
        """Send what waits to the exporter, for a few seconds at most."""
        with trio.move_on_after(STOP_S, shield=True):
            await trio.to_thread.run_sync(self._provider.shutdown, abandon_on_cancel=True)


class _Ids(IdGenerator):
    """Random ids, but for a root whose ids were chosen."""

    def __init__(self) -> None:
        self.chosen: tuple[int, int] | None = None
        self._random = RandomIdGenerator()

    def generate_trace_id(self) -> int:
        return self._random.generate_trace_id() if self.chosen is None else self.chosen[0]

    def generate_span_id(self) -> int:
        if self.chosen is None:
            return self._random.generate_span_id()
        _, root = self.chosen
        self.chosen = None
        return root

    def is_trace_id_random(self) -> bool:
        return True  # of clients that follow the protocol


def open_spans(exporter: str, share: float, node: str) -> Spans:
    """Return spans that go to an exporter in batches, from a thread of OpenTelemetry's.

    Raises: `SettingsError`, when no package has an exporter of that name.
    """
    found = {point.name: point for point in entry_points(group=GROUP)}
    if exporter not in found:
        raise SettingsError(
            f"tracing.exporter = {exporter!r} is not installed; there are {', '.join(sorted(found))}."
            " otlp_proto_http is in the package opentelemetry-exporter-otlp-proto-http."
        )
    make: Callable[[], SpanExporter] = found[exporter].load()
    return Spans(BatchSpanProcessor(make()), share, node)
