"""What happens, as typed events, and the hub that hands each event to every subscriber.

A subscriber that does not keep up loses its oldest events and finds one `EventsLost` with their number in their
place: nothing of the client ever waits for an application, and the store still has every message. Rejected: blocking
the connection (one stuck window would stop receipts), and an unbounded queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import trio

from ..ids import Cid, ConversationId, DeviceId, MessageId, UserId
from .values import ConnectionState, Message

QUEUE_EVENTS: Final = 1024


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message is stored: somebody's, or one sent from another own device. An answer is told after its question,
    unless that does not come within seconds.
    """

    message: Message


@dataclass(frozen=True, slots=True)
class MessageChanged:
    """An own message moved on: sent, delivered, read, failed."""

    message: Message


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """Somebody watched went online or offline. None: hidden. `last_seen` in UTC milliseconds."""

    user: UserId
    online: bool | None
    last_seen: int | None


@dataclass(frozen=True, slots=True)
class TypingChanged:
    """Somebody started or stopped typing."""

    conv: ConversationId
    user: UserId
    active: bool


@dataclass(frozen=True, slots=True)
class ConnectionChanged:
    """The connection's state; `reason` is a sentence, empty when there is nothing to say."""

    state: ConnectionState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class IdentityChanged:
    """Somebody's account key is a new one: a new registration, or a server in the middle.

    Messages to it wait for `trust`.
    """

    user: UserId


@dataclass(frozen=True, slots=True)
class Undecryptable:
    """A message that could not be opened is stored as such; its sender was asked to send it again."""

    conv: ConversationId
    sender: UserId
    device: DeviceId
    cid: Cid
    id: MessageId
    reason: str


@dataclass(frozen=True, slots=True)
class ServerSuspected:
    """The server showed what an honest one hardly ever does: a forged or older device list, a hole in a chat."""

    what: str


@dataclass(frozen=True, slots=True)
class EventsLost:
    """This subscriber was too slow: `count` events before the next one are gone. Read the store again."""

    count: int


Event = (
    MessageReceived
    | MessageChanged
    | PresenceChanged
    | TypingChanged
    | ConnectionChanged
    | IdentityChanged
    | Undecryptable
    | ServerSuspected
    | EventsLost
)


class EventStream:
    """One subscriber's queue; iterate over it. Cancelling a wait loses nothing."""

    __slots__ = ("_arrived", "_limit", "_lost", "_queue")

    def __init__(self, limit: int) -> None:
        self._queue: deque[Event] = deque()
        self._limit = limit
        self._lost = 0
        self._arrived = trio.Event()

    def put(self, event: Event) -> None:
        """Add an event, dropping the oldest when full."""
        if len(self._queue) >= self._limit:
            self._queue.popleft()
            self._lost += 1
        self._queue.append(event)
        self._arrived.set()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        await trio.lowlevel.checkpoint()
        while not self._queue:
            self._arrived = trio.Event()
            await self._arrived.wait()
        if self._lost:
            lost, self._lost = self._lost, 0
            return EventsLost(lost)
        return self._queue.popleft()


class EventHub:
    """Hands events to all subscribers."""

    __slots__ = ("_streams",)

    def __init__(self) -> None:
        self._streams: list[EventStream] = []

    @contextmanager
    def subscribe(self, limit: int = QUEUE_EVENTS) -> Iterator[EventStream]:
        """Hear every event from here on."""
        stream = EventStream(limit)
        self._streams.append(stream)
        try:
            yield stream
        finally:
            self._streams.remove(stream)

    def publish(self, events: Iterable[Event]) -> None:
        """Hand events to every subscriber, in order."""
        for event in events:
            for stream in self._streams:
                stream.put(event)
