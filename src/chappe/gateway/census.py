"""What waits in a node's connections, counted when somebody asks: one pass for all of these gauges.

`node.py` registers it with the metrics. Twenty thousand connections take about ten milliseconds; sums only, since a
series for each connection would be as many series as clients.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from .hub import Hub

GAUGES: Final = (
    ("chappe_connections", "Open connections."),
    (
        "chappe_connections_idle",
        "Connections that are signed in and have nothing under way in either direction.",
    ),
    ("chappe_live_queue_events", "Events that wait for a pump, of all connected devices."),
    ("chappe_live_queue_bytes", "Bodies and wraps of events that wait for a pump."),
    ("chappe_live_queue_max_events", "Events that wait for the pump with the most."),
    ("chappe_outbox_frames", "Frames that wait for a socket, of all connections."),
    ("chappe_outbox_bytes", "Bytes that wait for a socket, of all connections."),
    ("chappe_outbox_max_bytes", "Bytes that wait for the socket with the most."),
    ("chappe_window_events", "Events that were sent and not yet acknowledged, of all connections."),
    ("chappe_window_bytes", "Bytes of events that were sent and not yet acknowledged."),
    ("chappe_sends_in_flight", "Messages of all connections that are not yet durable."),
)


class Census:
    """Counts the connections of a hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges, as they are at this moment."""
        for (name, help_text), value in zip(GAUGES, self._count(), strict=True):
            yield GaugeMetricFamily(name, help_text, value=value)

    def _count(self) -> tuple[int, ...]:
        idle = events = event_bytes = most_events = 0
        frames = frame_bytes = most_bytes = unacknowledged = window_bytes = in_flight = 0
        for connection in self._hub:
            waiting, outbox, window = len(connection.live), connection.outbox, connection.window
            events += waiting
            event_bytes += connection.live_bytes
            most_events = max(most_events, waiting)
            frames += outbox.frames
            frame_bytes += outbox.size_bytes
            most_bytes = max(most_bytes, outbox.size_bytes)
            unacknowledged += window.events
            window_bytes += window.size_bytes
            in_flight += connection.in_flight
            idle += connection.is_idle and not (
                waiting or outbox.size_bytes or window.events or connection.in_flight
            )
        return (
            len(self._hub), idle, events, event_bytes, most_events, frames, frame_bytes, most_bytes,
            unacknowledged, window_bytes, in_flight,
        )  # fmt: skip
