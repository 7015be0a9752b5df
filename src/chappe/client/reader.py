"""The connection's reader and its heartbeat: hands every frame to whoever it is for.

What must be stored goes to the receiver, one batch per WebSocket message; answers go to the calls that wait; notes
become events at once. The reader itself never waits for anything but the socket, or a call made while storing a
batch could never get its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import trio

from ..ids import UserId
from ..protocol.frames import (
    Drained,
    Error,
    Event,
    Frame,
    GoAway,
    Ping,
    Pong,
    Presence,
    Receipt,
    Result,
    Sent,
    Typing,
)
from ..protocol.heartbeat import Heartbeat
from .errors import NoConnection, Unreachable
from .events import EventHub, PresenceChanged, TypingChanged
from .link import Link
from .values import PresenceInfo

ANSWER_S: Final = 10.0
FASTEST_S: Final = 1.0
"""No server may make a client ping more often than this."""

MAX_BATCHES: Final = 4096
"""WebSocket messages that may wait to be stored. The window of 256 events keeps an honest server far below."""


class Reader:
    """Reads one connection. `presence` is filled with what is heard."""

    def __init__(
        self, link: Link, hub: EventHub, presence: dict[UserId, PresenceInfo], now_ms: Callable[[], int]
    ) -> None:
        self._link = link
        self._hub = hub
        self._presence = presence
        self._now_ms = now_ms
        every_s = max(FASTEST_S, link.welcome.heartbeat_s)
        self._heartbeat = Heartbeat(every_s, min(ANSWER_S, every_s), trio.current_time())

    async def run(self, rest: Sequence[Frame], batches: trio.MemorySendChannel[list[Frame]]) -> None:
        """Read until the connection is over. `rest`: frames that came together with the welcome."""
        link = self._link
        try:
            frames = rest
            while True:
                batch = [frame for frame in frames if not self._handle(frame)]
                if batch:
                    batches.send_nowait(batch)
                frames = await link.wire.receive()
                self._heartbeat.heard(trio.current_time())
        except NoConnection as error:
            link.end(error)
        except trio.WouldBlock:
            link.end(Unreachable("The server sent more than it may before it was acknowledged."))

    async def beat(self) -> None:
        """Ping after a silence, and end the connection when nothing comes back."""
        link, heartbeat = self._link, self._heartbeat
        while not heartbeat.is_dead(trio.current_time()):
            if (number := heartbeat.due(trio.current_time())) is not None:
                link.post(Ping(number, self._now_ms()))
            await trio.sleep_until(heartbeat.next_at())
        link.end(Unreachable("The server did not answer for too long."))

    def _handle(self, frame: Frame) -> bool:
        """Deal with a frame; return False when it has to be stored."""
        match frame:
            case Result() | Error(cid=None):
                self._link.answered(frame)
            case Typing(user=user) if user is not None:
                self._hub.publish([TypingChanged(frame.conv, user, frame.active)])
            case Presence():
                self._presence[frame.user] = PresenceInfo(frame.user, frame.online, frame.last_seen)
                self._hub.publish([PresenceChanged(frame.user, frame.online, frame.last_seen)])
            case Ping():
                self._link.post(Pong(frame.n, self._now_ms()))
            case GoAway():
                self._link.wait_s = (frame.wait_min_ms / 1000, frame.wait_max_ms / 1000)
                self._link.finish()
            case Event() | Sent() | Error() | Receipt() | Drained() | Pong():
                return False
            case _:
                pass
        return True
