"""How old the events of one connection are when they are written to its socket, and when they are acknowledged.

`EventTimes` is a part of each connection and knows no clock; the one `Delays` of a node turns what it says into
metrics, for the pump, the writer and the dispatch. The age of an event counts from the position that its message got
when a gateway accepted it, whichever that was: so two clocks that differ by up to S are in it.

Only what was accepted while the device was here and able to take it is timed. What waited for a device to come back is
no delay, nor is what waited because the client did not acknowledge or did not read: that is its own slowness.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..ids import Cid, MessageId, millis
from ..metrics import Metrics

if TYPE_CHECKING:
    from .connection import Connection

NEVER: Final = 1 << 62
_UNTIMED: Final = -1

Accepted = tuple[int, Cid]
"""When a message was accepted, in milliseconds since 1970 (UTC), and its trace."""


class EventTimes:
    """When the events under way were accepted, in milliseconds since 1970 (UTC)."""

    __slots__ = ("_since_ms", "_unacknowledged", "_unwritten")

    def __init__(self) -> None:
        self._since_ms = NEVER
        self._unwritten: list[Accepted] = []
        self._unacknowledged: deque[int] = deque()

    def begin(self, now_ms: int) -> None:
        """Time what is accepted from now on: the device has come, or its client has caught up."""
        self._since_ms = now_ms

    def sent(self, pos: MessageId, cid: Cid) -> None:
        """Note an event that goes into the outbox."""
        accepted_ms = millis(pos)
        if accepted_ms < self._since_ms:
            accepted_ms = _UNTIMED
        else:
            self._unwritten.append((accepted_ms, cid))
        self._unacknowledged.append(accepted_ms)

    def take_unwritten(self) -> list[Accepted]:
        """Return when those events were accepted that were sent since the last call, and which they are."""
        taken, self._unwritten = self._unwritten, []
        return taken

    def acknowledged(self, count: int) -> list[int]:
        """Return when the next `count` events were accepted, but for those that are not timed."""
        pop = self._unacknowledged.popleft
        return [accepted_ms for _ in range(count) if (accepted_ms := pop()) != _UNTIMED]


@dataclass(frozen=True, slots=True)
class Delays:
    """Times events by the wall clock."""

    metrics: Metrics
    now_ms: Callable[[], int]

    def begin(self, connection: Connection) -> None:
        """Time what is accepted from now on: the device has come, or its client has acknowledged what held it up."""
        connection.times.begin(self.now_ms())

    def written(self, connection: Connection, events: Sequence[Accepted]) -> None:
        """Note that events are in the socket; not if it was full, which is the client's doing."""
        if connection.was_full:
            connection.was_full = False
            connection.times.take_unwritten()
            self.begin(connection)
        elif events:
            now_ms, metrics = self.now_ms(), self.metrics
            for accepted_ms, cid in events:
                age_s = max(0, now_ms - accepted_ms) / 1000
                metrics.delivery_seconds.observe(age_s)
                metrics.traces.delivered(cid, age_s)

    def acknowledged(self, accepted_ms: Sequence[int]) -> None:
        """Note that events were acknowledged."""
        if accepted_ms:
            now_ms, observe = self.now_ms(), self.metrics.end_to_end_seconds.observe
            for each_ms in accepted_ms:
                observe(max(0, now_ms - each_ms) / 1000)
