"""What waits to go over the bus, bounded; and whom a loss concerns.

Callers put things in without waiting; the bus's publisher takes batches out. What finds no room, or has waited for too
long, leaves only the names of its devices behind: those are looked up like others and their streams skip a number. When
even names are too many, everybody is told that something is missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import trio

from ..domain.messages import StoredMessage
from ..ids import DeviceId
from ..wakeup import Wakeup
from .broker import Claim
from .codec import Changed, Kick, Note, Seen
from .values import Bounds, Counters, GatewayId

# More than this many names of missed devices are looked up in several batches.
MISSED_AT_ONCE = 1000
RELEASES_FOR_EACH = 16

_T = TypeVar("_T")


@dataclass(slots=True)
class Batch:
    """What goes out together. `is_lossy`: broadcasts were dropped; `is_alarm`: nobody knows whom the losses concern."""

    wakes: list[tuple[StoredMessage, Collection[DeviceId]]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    kicks: list[tuple[GatewayId, Kick]] = field(default_factory=list)
    releases: list[Claim] = field(default_factory=list)
    changes: list[Changed] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    missed: set[DeviceId] = field(default_factory=set)
    is_lossy: bool = False
    is_alarm: bool = False

    def devices(self) -> set[DeviceId]:
        """Return all devices that have to be looked up."""
        found = set(self.missed)
        for _, devices in self.wakes:
            found.update(devices)
        for note in self.notes:
            found.update(note.devices)
        return found

    def must_hear(self) -> set[DeviceId]:
        """Return the devices that miss something if this batch does not go out. A lost note is nobody's loss."""
        return self.missed.union(*(devices for _, devices in self.wakes))


class Outbound:
    """The queue before the publisher."""

    def __init__(self, bounds: Bounds, queue_s: float, counters: Counters) -> None:
        self.wakeup = Wakeup()
        self._bounds = bounds
        self._queue_s = queue_s
        self._counters = counters
        self._wakes: deque[tuple[StoredMessage, Collection[DeviceId], float]] = deque()
        self._notes: deque[Note] = deque()
        self._bytes = 0
        self._kicks: deque[tuple[GatewayId, Kick]] = deque()
        self._releases: deque[Claim] = deque()
        self._changes: deque[Changed] = deque()
        self._seen: deque[Seen] = deque()
        self._missed: set[DeviceId] = set()
        self._is_lossy = False
        self._is_alarm = False

    def __bool__(self) -> bool:
        return bool(
            self._wakes or self._notes or self._kicks or self._releases or self._changes or self._seen
            or self._missed or self._is_lossy or self._is_alarm
        )  # fmt: skip

    @property
    def waiting(self) -> tuple[int, int]:
        """How many messages and notes wait, and the bytes of the messages."""
        return len(self._wakes) + len(self._notes), self._bytes

    def wake(self, message: StoredMessage, devices: Collection[DeviceId]) -> None:
        """Take in a message for devices elsewhere."""
        size = _size(message)
        if len(self._wakes) >= self._bounds.wakes or self._bytes + size > self._bounds.bytes:
            self._counters.overflows += 1
            self.miss(devices)
        else:
            self._wakes.append((message, devices, trio.current_time()))
            self._bytes += size
            self.wakeup.set()

    def miss(self, devices: Iterable[DeviceId]) -> None:
        """Note that devices may miss something."""
        self._missed.update(devices)
        if len(self._missed) > self._bounds.missed:
            self._missed.clear()
            self._is_alarm = True
        self.wakeup.set()

    def note(self, note: Note) -> None:
        """Take in a note; the oldest makes room for it."""
        if len(self._notes) >= self._bounds.wakes:
            self._counters.overflows += 1
            self._notes.popleft()
        self._notes.append(note)
        self.wakeup.set()

    def kick(self, gateway: GatewayId, kick: Kick) -> None:
        """Take in a kick; one that is dropped is made up for at that gateway's next refresh."""
        if len(self._kicks) < self._bounds.releases:
            self._kicks.append((gateway, kick))
        self.wakeup.set()

    def release(self, claim: Claim) -> None:
        """Take in a release; one that is dropped expires."""
        if len(self._releases) < self._bounds.releases:
            self._releases.append(claim)
        self.wakeup.set()

    def broadcast(self, event: Changed | Seen) -> None:
        """Take in something for everybody."""
        if len(self._changes) + len(self._seen) >= self._bounds.broadcasts:
            self._counters.overflows += 1
            self._is_lossy = True
        elif isinstance(event, Changed):
            self._changes.append(event)
        else:
            self._seen.append(event)
        self.wakeup.set()

    def undone(self, batch: Batch) -> None:
        """Take back a batch that may not have gone out: only who may have missed something is kept.

        Its broadcasts had their number already, so that hole tells of them.
        """
        self._is_alarm |= batch.is_alarm
        self.miss(batch.must_hear())
        self._releases.extendleft(reversed(batch.releases))

    def batch(self) -> Batch:
        """Take out what goes next, up to the bounds of a batch."""
        most = self._bounds.batch
        batch = Batch(is_lossy=self._is_lossy, is_alarm=self._is_alarm)
        self._is_lossy = self._is_alarm = False
        oldest_s = trio.current_time() - self._queue_s
        while self._wakes and self._wakes[0][2] < oldest_s:
            message, devices, _ = self._wakes.popleft()
            self._bytes -= _size(message)
            self._counters.overflows += 1
            self.miss(devices)
        size = 0
        while self._wakes and len(batch.wakes) < most and size < self._bounds.frame_bytes:
            message, devices, _ = self._wakes.popleft()
            size += _size(message)
            batch.wakes.append((message, devices))
        self._bytes -= size
        while self._notes and len(batch.notes) < most and size < self._bounds.frame_bytes:
            note = self._notes.popleft()
            size += len(note.note)
            batch.notes.append(note)
        batch.kicks = _some(self._kicks, most)
        # An account's departure must not overtake the release of its devices: who hears of it asks who is left.
        batch.releases = _some(self._releases, most * RELEASES_FOR_EACH)
        batch.changes = _some(self._changes, most)
        batch.seen = _some(self._seen, most)
        while self._missed and len(batch.missed) < MISSED_AT_ONCE:
            batch.missed.add(self._missed.pop())
        return batch


def _some(queue: deque[_T], most: int) -> list[_T]:
    return [queue.popleft() for _ in range(min(most, len(queue)))]


def _size(message: StoredMessage) -> int:
    return len(message.body) + sum(map(len, message.wraps.values())) + 200
