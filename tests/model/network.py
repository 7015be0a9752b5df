"""What connects devices to gateways and gateways to each other, under the adversary's control."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio
import trio_websocket

from chappe.bus.broker import Link
from chappe.bus.codec import decode_direct
from chappe.bus.memory import MemoryHub
from chappe.bus.numbering import EVERYBODY
from chappe.bus.values import GatewayId
from chappe.errors import BusUnavailable

from .rules import TIMING

# How long a gateway takes to see that a client has gone that said no goodbye.
UNNOTICED_S = 10.0
# A SEND that its client posted before its connection ended is taken in within this time, or never.
IN_FLIGHT_S = TIMING.skew_s / 2


class Gate:
    """Where a gateway's tasks wait while it is frozen."""

    def __init__(self) -> None:
        self._open = trio.Event()
        self._open.set()

    def shut(self) -> None:
        if self._open.is_set():
            self._open = trio.Event()

    def open(self) -> None:
        self._open.set()

    async def __call__(self) -> None:
        while not self._open.is_set():
            await self._open.wait()


class Wire:
    """A WebSocket between a device and a gateway. `get_message` and `send_message` are the gateway's side of it."""

    def __init__(self, gate: Gate, up_s: float, down_s: float) -> None:
        self.up_s, self.down_s = up_s, down_s
        self._gate = gate
        self._up, self._sent_up = trio.open_memory_channel[tuple[float, bytes]](math.inf)
        self._down, self._sent_down = trio.open_memory_channel[tuple[float, bytes]](math.inf)
        self._ended: tuple[float, bool] | None = None

    async def get_message(self) -> bytes:
        """Return what a device has posted. Raises: `ConnectionClosed`."""
        try:
            at, data = await self._sent_up.receive()
        except trio.EndOfChannel:
            assert self._ended is not None
            ended_s, is_clean = self._ended
            await trio.sleep_until(ended_s + (0 if is_clean else UNNOTICED_S))
            await self._gate()
            raise trio_websocket.ConnectionClosed(None) from None
        await trio.sleep_until(at)
        await self._gate()
        if self._ended is not None:
            ended_s, is_clean = self._ended
            if not is_clean or trio.current_time() > ended_s + IN_FLIGHT_S:
                return await self.get_message()
        return data

    async def send_message(self, data: bytes) -> None:
        """Bring something to the device. A write to one that is gone goes nowhere, and does not tell."""
        await self._gate()
        if self._ended is None:
            self._down.send_nowait((trio.current_time() + self.down_s, data))

    def hang_up(self) -> None:
        """The gateway's end: the device gets what is on its way."""
        self._down.close()

    def post(self, data: bytes) -> None:
        """The device's way up; what it says between leaving and noticing goes nowhere."""
        if self._ended is None:
            self._up.send_nowait((trio.current_time() + self.up_s, data))

    async def receive(self) -> bytes:
        """The device's way down. Raises: `EndOfChannel` when the gateway has hung up."""
        at, data = await self._sent_down.receive()
        await trio.sleep_until(at)
        return data

    def leave(self, *, is_clean: bool) -> None:
        """The device's end."""
        if self._ended is None:
            self._ended = (trio.current_time(), is_clean)
            self._up.close()


class Middle:
    """One gateway's access to the bus' broker: fulfils `Broker` over the `MemoryHub` that all share."""

    def __init__(self, hub: MemoryHub, gate: Gate) -> None:
        self.losses = 0
        self.slow: tuple[float, float] = (0.0, 0.0)
        self._cut_until = 0.0
        self._link: Link | None = None
        self._hub = hub
        self._gate = gate

    @property
    def is_alone(self) -> bool:
        return False

    @asynccontextmanager
    async def open(self, gateway: GatewayId) -> AsyncIterator[Link]:
        await self._gate()
        if trio.current_time() < self._cut_until:
            raise BusUnavailable("The adversary has cut it.")
        async with self._hub.open(gateway) as self._link:
            yield _Link(self._link, self)

    def cut(self, for_s: float) -> None:
        """Be without the middle for a while."""
        self._cut_until = trio.current_time() + for_s
        if self._link is not None:
            self._link.end()

    async def _pass(self) -> None:
        until_s, command_s = self.slow
        if trio.current_time() < until_s:
            await trio.sleep(command_s)
        await self._gate()


class _Link:
    """A link whose commands take time, and whose frames may be lost."""

    def __init__(self, link: Link, middle: Middle) -> None:
        self._link = link
        self._middle = middle

    async def publish(self, frames: Sequence[tuple[GatewayId, bytes]]) -> None:
        await self._middle._pass()
        await self._link.publish([frame for frame in frames if not self._is_lost(*frame)])

    def _is_lost(self, to: GatewayId, frame: bytes) -> bool:
        is_lost = self._middle.losses > 0 and to != EVERYBODY and not decode_direct(frame).is_beat
        self._middle.losses -= is_lost
        return is_lost

    async def receive(self) -> tuple[bool, bytes]:
        frame = await self._link.receive()
        await self._middle._gate()
        return frame

    def __getattr__(self, name: str):
        command = getattr(self._link, name)

        async def passed(*args: object, **kwargs: object) -> object:
            await self._middle._pass()
            return await command(*args, **kwargs)

        return passed
