"""What comes over the bus, handed to the sink; and what did not come, noticed.

The bus's task calls it with every frame. It decides by the frames' numbers alone what is new and what is missing.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
import trio

from ..ids import DeviceId
from ..ports import BusSink
from .broker import Link
from .codec import Broadcast, Direct, Kick, decode_broadcast, decode_direct
from .errors import BadFrame
from .numbering import Incoming, Number
from .values import Counters, GatewayId

log = structlog.get_logger("bus")


class Receiver:
    """The receiving half of a gateway's bus. `on_kick` hears of sessions that a newer one elsewhere replaced."""

    def __init__(
        self, gateway: GatewayId, counters: Counters, on_kick: Callable[[DeviceId, int], None]
    ) -> None:
        self.echo_s = 0.0
        self._gateway = gateway
        self._counters = counters
        self._on_kick = on_kick
        self._incoming = Incoming()
        self._sink: BusSink | None = None

    @property
    def sink(self) -> BusSink:
        """Who hears of everything."""
        assert self._sink is not None
        return self._sink

    @sink.setter
    def sink(self, sink: BusSink) -> None:
        self._sink = sink

    def connected(self) -> None:
        """Begin on a new link: whatever went over it before is missing."""
        self.echo_s = trio.current_time()
        self._incoming.hear_all(self.echo_s)
        self.sink.stale()
        self.sink.forget()

    def missed(self) -> None:
        """Note that wakes for devices here may be lost."""
        self._counters.holes += 1
        self.sink.stale()

    async def run(self, link: Link) -> None:
        """Take frames for ever. Raises: `BusUnavailable`."""
        while True:
            is_broadcast, data = await link.receive()
            self._counters.frames_received += 1
            try:
                if is_broadcast:
                    self._take_broadcast(decode_broadcast(data))
                else:
                    self._take_direct(decode_direct(data))
            except BadFrame as error:
                self._counters.bad_frames += 1
                log.warning("bus_bad_frame", error=str(error), bytes=len(data))
                self._lost(is_broadcast=is_broadcast)

    def look_for_silence(self, after_s: float, gone_s: float) -> None:
        """Look which gateways have stopped beating, again and again until they are gone: they have something for us."""
        silent = self._incoming.silent(trio.current_time(), after_s, gone_s)
        if new := [gateway.hex() for gateway, is_first in silent if is_first]:
            log.warning("gateways_silent", gateways=new)
            self._counters.silences += len(new)
        if silent:
            self._lost(is_broadcast=False)
            self._lost(is_broadcast=True)

    def _count(self, frame: Direct | Broadcast, *, is_broadcast: bool) -> tuple[bool, bool]:
        return self._incoming.take(
            frame.sender,
            Number(frame.epoch, frame.n),
            trio.current_time(),
            is_broadcast=is_broadcast,
            is_beat=frame.is_beat,
        )

    def _take_direct(self, frame: Direct) -> None:
        sink = self.sink
        is_new, is_hole = self._count(frame, is_broadcast=False)
        if is_new:
            for wake in frame.wakes:
                for device in wake.wraps:
                    sink.wake(device, wake.row(device))
            for note in frame.notes:
                for device in note.devices:
                    sink.note(device, note.note)
            for kick in frame.kicks:
                self._kick(kick)
        if is_hole:
            self._lost(is_broadcast=False)

    def _take_broadcast(self, frame: Broadcast) -> None:
        sink = self.sink
        if frame.sender == self._gateway:
            self.echo_s = trio.current_time()
            for seen in frame.seen:
                if not seen.is_online:  # only now has the broker let go of its devices
                    sink.presence(seen.user, seen.is_online, seen.at_ms)
            return
        is_new, is_hole = self._count(frame, is_broadcast=True)
        if is_new:
            for change in frame.changes:
                sink.changed(change.user, change.revoked)
            for seen in frame.seen:
                sink.presence(seen.user, seen.is_online, seen.at_ms)
            if frame.is_alarm:
                self.missed()
            if frame.is_goodbye:
                self._incoming.left(frame.sender)
            self._bury(frame.gone)
        if is_hole:
            self._lost(is_broadcast=True)

    def _bury(self, dead: list[GatewayId]) -> None:
        """Read once what they may have left unsaid, instead of again and again while they are silent."""
        if gone := [gateway.hex() for gateway in dead if self._incoming.left(gateway)]:
            log.info("gateways_gone", gateways=gone)
            self._lost(is_broadcast=False)
            self._lost(is_broadcast=True)

    def _kick(self, kick: Kick) -> None:
        self._on_kick(kick.device, kick.session)

    def _lost(self, *, is_broadcast: bool) -> None:
        if is_broadcast:
            # No alarm was in it: one that did not go out is raised again by its sender.
            self._counters.holes += 1
            self.sink.forget()
        else:
            self.missed()
