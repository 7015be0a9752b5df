"""What describes a bus: names, times in seconds, bounds, counters. The defaults suit a node in production."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NewType

GatewayId = NewType("GatewayId", bytes)
"""Names one bus object, random in each run of a process. No two runs share one, so a stream is never resumed."""

GATEWAY_BYTES: Final = 8
LIMITS_MOST_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. A claim outlives two refreshes that fail; a gateway is silent after several beats that are missing, and
    inboxes are read every `silent_s` until it beats again or is gone; a place is remembered from one life of a process
    to the next; a wake that has waited for `queue_s` is not sent any more, its device reads.
    """

    beat_s: float = 1.0
    silent_s: float = 5.0
    gone_s: float = 600.0
    refresh_s: float = 20.0
    claim_ttl_s: float = 60.0
    limits_ttl_s: float = 900.0
    place_ttl_s: float = 30 * 86_400.0
    command_s: float = 2.0
    goodbye_s: float = 1.0
    queue_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may wait. `wakes` counts messages and notes, `bytes` their bodies and wraps."""

    wakes: int = 8192
    bytes: int = 16 * 1024 * 1024
    missed: int = 100_000
    broadcasts: int = 4096
    releases: int = 100_000
    batch: int = 64
    frame_bytes: int = 256 * 1024
    in_flight: int = 64


def _counted(help_text: str) -> int:
    return field(default=0, metadata={"help": help_text})


@dataclass(slots=True)
class Counters:
    """What a bus has done since it was made. Only grows."""

    wakes_sent: int = _counted("Wakes handed to other gateways, one for each device.")
    frames_sent: int = _counted("Frames sent.")
    frames_received: int = _counted("Frames received, one's own beats included.")
    overflows: int = _counted(
        "Wakes and events that found no room in the queue, or waited there for too long."
    )
    holes: int = _counted("Times that something was found missing: inboxes or the directory were read again.")
    bad_frames: int = _counted("Frames that could not be read.")
    silences: int = _counted("Gateways that fell silent.")
    kicks: int = _counted("Connections closed because their device connected to another gateway.")
    connects: int = _counted("Connections made to the broker.")
