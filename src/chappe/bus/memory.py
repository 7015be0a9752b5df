"""The middle inside one process: for a gateway that is alone, and for tests that run several in one process.

It keeps what Redis would and sends the same bytes. Losing it can be played: `stop` ends all links and forgets
everything, as a Redis that restarts does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import trio

from ..errors import BusUnavailable
from ..ids import DeviceId, UserId
from .broker import Claim, Holder, Link, Outcome
from .numbering import EVERYBODY
from .values import GatewayId, Timing

# Frames that may wait for a gateway; what comes then is lost, and noticed.
FRAMES = 1024
MOST_LIMITS = 100_000


@dataclass(frozen=True, slots=True)
class _Held:
    stamp: int
    holder: Holder
    user: UserId
    until_s: float


class MemoryHub:
    """Fulfils `Broker`. All buses of one process that are to hear of each other share one."""

    def __init__(self, timing: Timing | None = None) -> None:
        self.timing = timing or Timing()
        self.is_stopped = False
        self.links: dict[GatewayId, _MemoryLink] = {}
        self.held: dict[DeviceId, _Held] = {}
        self.of_user: dict[UserId, set[DeviceId]] = {}
        self.places: dict[bytes, GatewayId] = {}
        self.limits: OrderedDict[DeviceId, tuple[bytes, float]] = OrderedDict()

    @property
    def is_alone(self) -> bool:
        """Whether no second bus is connected. One that comes later begins with its inboxes, so it misses nothing."""
        return len(self.links) < 2 and not self.is_stopped

    @asynccontextmanager
    async def open(self, gateway: GatewayId) -> AsyncIterator[Link]:
        """Connect a bus. Raises: `BusUnavailable` while stopped."""
        if self.is_stopped:
            raise BusUnavailable("This process's bus is stopped.")
        link = self.links[gateway] = _MemoryLink(self, gateway)
        try:
            yield link
        finally:
            link.end()
            self.links.pop(gateway, None)

    def stop(self) -> None:
        """End all links and forget everything, until `start`."""
        self.is_stopped = True
        for link in self.links.values():
            link.end()
        self.held.clear()
        self.of_user.clear()
        self.places.clear()
        self.limits.clear()

    def start(self) -> None:
        """Let buses connect again."""
        self.is_stopped = False

    def forget(self, device: DeviceId) -> None:
        """Take a claim out."""
        held = self.held.pop(device)
        devices = self.of_user[held.user]
        devices.discard(device)
        if not devices:
            del self.of_user[held.user]


class _MemoryLink:
    """Fulfils `Link`. Every command takes effect at once and then lets others run."""

    def __init__(self, hub: MemoryHub, gateway: GatewayId) -> None:
        self._hub = hub
        self._gateway = gateway
        self._send, self._receive = trio.open_memory_channel[tuple[bool, bytes]](FRAMES)
        self._is_over = False

    def end(self) -> None:
        self._is_over = True
        self._send.close()

    async def register(self, claims: Sequence[Claim], *, is_new: bool) -> list[Outcome]:
        self._check()
        outcomes = [self._register(claim, is_new=is_new) for claim in claims]
        await trio.lowlevel.checkpoint()
        return outcomes

    def _register(self, claim: Claim, *, is_new: bool) -> Outcome:
        hub, now = self._hub, trio.current_time()
        mine = Holder(self._gateway, claim.session)
        held = self._current(claim.device)
        other = None
        if held is not None and held.holder == mine:
            stamp = held.stamp
        else:
            least = held.stamp + 1 if held is not None else 1
            stamp = max(int(now * 1e6), least) if is_new else claim.stamp or max(1, int(claim.at_s * 1e6))
            if held is not None:
                other = held.holder
                if stamp < least:
                    return Outcome(0, other)
        if claim.device in hub.held:
            hub.forget(claim.device)
        hub.held[claim.device] = _Held(stamp, mine, claim.user, now + hub.timing.claim_ttl_s)
        hub.of_user.setdefault(claim.user, set()).add(claim.device)
        return Outcome(stamp, other)

    def _current(self, device: DeviceId) -> _Held | None:
        held = self._hub.held.get(device)
        return held if held is not None and held.until_s > trio.current_time() else None

    async def release(self, claims: Sequence[Claim]) -> None:
        self._check()
        for claim in claims:
            held = self._hub.held.get(claim.device)
            if held is not None and held.holder == (self._gateway, claim.session):
                self._hub.forget(claim.device)
        await trio.lowlevel.checkpoint()

    async def lookup(self, devices: Sequence[DeviceId]) -> dict[DeviceId, GatewayId]:
        self._check()
        found = {device: held.holder.gateway for device in devices if (held := self._current(device))}
        await trio.lowlevel.checkpoint()
        return found

    async def succeed(self, place: bytes) -> GatewayId | None:
        self._check()
        before = self._hub.places.get(place)
        self._hub.places[place] = self._gateway
        await trio.lowlevel.checkpoint()
        return before

    async def publish(self, frames: Sequence[tuple[GatewayId, bytes]]) -> None:
        self._check()
        for to, frame in frames:
            for gateway, link in self._hub.links.items():
                if to in (EVERYBODY, gateway):
                    link.put(is_broadcast=to == EVERYBODY, frame=frame)
        await trio.lowlevel.checkpoint()

    def put(self, *, is_broadcast: bool, frame: bytes) -> None:
        with suppress(trio.WouldBlock, trio.ClosedResourceError):  # the stream's next number tells of it
            self._send.send_nowait((is_broadcast, frame))

    async def receive(self) -> tuple[bool, bytes]:
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            raise BusUnavailable("This process's bus has stopped.") from None

    async def online(self, users: Collection[UserId]) -> set[UserId]:
        self._check()
        found = {
            user for user in users if any(self._current(device) for device in self._hub.of_user.get(user, ()))
        }
        await trio.lowlevel.checkpoint()
        return found

    async def load_limits(self, device: DeviceId) -> bytes | None:
        self._check()
        limits, until_s = self._hub.limits.get(device, (None, 0.0))
        await trio.lowlevel.checkpoint()
        return limits if until_s > trio.current_time() else None

    async def save_limits(self, device: DeviceId, limits: bytes) -> None:
        self._check()
        saved = self._hub.limits
        saved[device] = (limits, trio.current_time() + self._hub.timing.limits_ttl_s)
        saved.move_to_end(device)
        if len(saved) > MOST_LIMITS:
            saved.popitem(last=False)
        await trio.lowlevel.checkpoint()

    def _check(self) -> None:
        if self._is_over:
            raise BusUnavailable("This process's bus has stopped.")
