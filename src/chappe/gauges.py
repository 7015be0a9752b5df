"""The gauges of a node: what is not counted as it happens but looked at when somebody scrapes.

`node.py` hands in its parts. A gauge that fails would take the whole page of metrics along, so each is a plain read,
and what cannot be read is NaN.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from cryptography import x509
from prometheus_client import Info, ProcessCollector

from .gateway.census import Census
from .gateway.hub import Hub
from .gateway.tls import certificate_file
from .ids import HybridClock
from .metrics import Metrics
from .ports import Bus
from .settings import Settings
from .workers.clock import ClockCheck
from .workers.log_writer import LogWriters
from .workers.presence import PresenceServer


@dataclass(frozen=True, slots=True)
class Watched:
    """What the gauges look at."""

    settings: Settings
    hub: Hub
    writers: LogWriters
    presence: PresenceServer
    bus: Bus
    clock: HybridClock
    clock_check: ClockCheck


def add_gauges(metrics: Metrics, watched: Watched) -> None:
    """Register the gauges of a node."""
    settings, hub, writers, presence = watched.settings, watched.hub, watched.writers, watched.presence
    gauge = metrics.gauge
    metrics.registry.register(Census(hub))
    gauge(
        "chappe_connections_limit",
        "Connections that may be open at once.",
        lambda: settings.limits.connections,
    )
    gauge("chappe_devices_online", "Devices signed in.", lambda: hub.signed_in)
    gauge("chappe_accounts_online", "Accounts with a device signed in here.", lambda: len(hub.users()))
    gauge("chappe_presence_watches", "Accounts that connections here watch.", lambda: presence.watches)
    gauge("chappe_log_queue_messages", "Messages waiting for the log.", lambda: writers.waiting)
    gauge(
        "chappe_log_queue_bytes",
        "Bodies and wraps of the messages waiting for the log.",
        lambda: writers.waiting_bytes,
    )
    gauge(
        "chappe_log_queue_max_ratio", "How full the fullest log writer's queue is, 0 to 1.", writers.fullness
    )
    gauge(
        "chappe_clock_skew_seconds",
        "This node's clock ahead of the database's; NaN when that has none or nothing is known.",
        lambda: watched.clock_check.ahead_s,
    )
    gauge(
        "chappe_clock_ahead_seconds",
        "Message ids ahead of the wall clock.",
        lambda: watched.clock.ahead_ms() / 1000,
    )
    gauge(
        "chappe_bus_up",
        "Whether wakes of other gateways arrive (1) or inboxes are polled (0).",
        lambda: float(watched.bus.is_up),
    )
    _of_the_machine(metrics, settings)


def _of_the_machine(metrics: Metrics, settings: Settings) -> None:
    folder = settings.stores.data
    metrics.gauge("chappe_data_free_bytes", "Room for a node's data folder.", lambda: _room(folder)[0])
    metrics.gauge("chappe_data_size_bytes", "Size of the disk it is on.", lambda: _room(folder)[1])
    certificate = certificate_file(settings.gateway, folder)
    if certificate is not None:
        # Read once: the listener has read it at the start too, and holds on to what it read.
        expires_s = _expiry(certificate)
        metrics.gauge(
            "chappe_tls_certificate_expiry_timestamp_seconds",
            "When the listener's certificate ends.",
            lambda: expires_s,
        )
    Info("chappe_build", "Which Chappe this is.", registry=metrics.registry).info(
        {"version": version("chappe")}
    )
    ProcessCollector(registry=metrics.registry)


def _room(folder: Path) -> tuple[float, float]:
    """Return the bytes that are free and those that there are where a folder is."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return math.nan, math.nan
    return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize


def _expiry(certificate: Path) -> float:
    """Return when a certificate ends, in seconds since 1970 (UTC)."""
    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return math.nan
