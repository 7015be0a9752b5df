"""Rate limits that hold across gateways: how full a device's buckets are goes with it when it connects elsewhere.

Sign-in asks for what another gateway has saved, and whoever leaves is saved; with the bus down each gateway counts for
itself. A device that hops can use each gateway's burst once: what it spent is known one connection later. Rejected: one
counter in Redis that every message has to ask.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
import trio

from ..errors import BusUnavailable
from ..gateway.connection import Buckets
from ..ids import DeviceId
from ..ports import Bus
from ..protocol.buckets import LeakyBucket
from ..settings import LimitSettings
from ..wakeup import Wakeup

MOST_WAITING = 10_000
WORTH_SAVING = 0.1  # of a burst; less has leaked by the time it is looked for

_Levels = tuple[int, list[tuple[str, float, float, float]]]
_decode: Final = msgspec.msgpack.Decoder(_Levels).decode
"""Milliseconds since 1970 (UTC); then name, burst, rate and level of each bucket."""


class SharedLimits:
    """What is on its way to the bus. It outlives its task. `settings` are the limits themselves."""

    def __init__(self, bus: Bus, settings: LimitSettings, now_ms: Callable[[], int]) -> None:
        self.settings = settings
        self._bus = bus
        self._now_ms = now_ms
        self._waiting: OrderedDict[DeviceId, bytes] = OrderedDict()
        self._wakeup = Wakeup()

    async def load(self, name: DeviceId, buckets: Buckets) -> None:
        """Fill somebody's buckets up to where they were at another gateway."""
        if self._bus.is_alone:
            return
        try:
            saved = await self._bus.load_limits(name)
        except BusUnavailable:
            return
        if saved is None:
            return
        at_ms, levels = _decode(saved)
        age_s = max(0, self._now_ms() - at_ms) / 1000
        for what, burst, per_s, level in levels:
            bucket = buckets.setdefault(what, LeakyBucket(burst, per_s))
            bucket.fill(trio.current_time(), level - age_s * per_s)

    def save_nowait(self, name: DeviceId, buckets: Buckets) -> None:
        """Let other gateways know how full somebody's buckets are; what finds no room is not told."""
        if self._bus.is_alone:
            return
        now = trio.current_time()
        levels = [
            (what, bucket.burst, bucket.per_s, level)
            for what, bucket in buckets.items()
            if (level := bucket.level(now)) > WORTH_SAVING * bucket.burst
        ]
        if levels:
            self._waiting[name] = msgspec.msgpack.encode((self._now_ms(), levels))
            if len(self._waiting) > MOST_WAITING:
                self._waiting.popitem(last=False)
            self._wakeup.set()

    async def run(self) -> None:
        """Save for ever."""
        while True:
            await self._wakeup.wait()
            while self._waiting:
                with suppress(BusUnavailable):
                    await self._bus.save_limits(*self._waiting.popitem(last=False))
