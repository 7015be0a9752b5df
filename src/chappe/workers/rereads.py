"""Has inboxes read again where a wake-up may be missing: a stream of the bus had a hole, or the bus is down.

The bus' sink says when, for everybody who is connected here; while the bus is down this task polls by itself. With
several gateways it also has everybody read every `REFRESH_S`, whatever the bus says: only reading moves a cursor on,
and the bus may not know of a gateway that it does not reach. A node with very many connections does not ask the store
for all of them at once: `AT_ONCE` every `PAUSE_S` seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from ..gateway.hub import Hub
from ..ports import Bus
from ..wakeup import Wakeup

AT_ONCE = 50
PAUSE_S = 0.1
POLL_S = 2.0
REFRESH_S = 120.0


class Rereads:
    """Who has to read again. It outlives its task. `doubt` is called before each poll: caches may be out of date."""

    def __init__(self, hub: Hub, bus: Bus, doubt: Callable[[], None], *, is_sole: bool) -> None:
        self._hub = hub
        self._bus = bus
        self._doubt = doubt
        self._refresh_s = math.inf if is_sole else REFRESH_S
        self._wakeup = Wakeup()

    def everybody(self) -> None:
        """Have every device here read its inbox again, from its safe cursor on."""
        self._wakeup.set()

    async def run(self) -> None:
        """Serve for ever."""
        read_s = trio.current_time()
        while True:
            with trio.move_on_after(POLL_S) as quiet:
                await self._wakeup.wait()
            if not self._bus.is_up:
                self._doubt()
            elif quiet.cancelled_caught and trio.current_time() - read_s < self._refresh_s:
                continue
            read_s = trio.current_time()
            for number, connection in enumerate(self._hub):
                if connection.device is not None and not connection.is_over:
                    connection.read_again(connection.safe)
                if number % AT_ONCE == AT_ONCE - 1:
                    await trio.sleep(PAUSE_S)
