"""The sending half of a gateway's bus: batches from the queue to the gateways they concern, and beats.

For all devices of a batch there is one look-up, and one frame for each gateway that has any. Whatever cannot be sent
uses up a number of its streams, so that the receivers see a hole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import trio

from ..domain.messages import StoredMessage
from ..ids import DeviceId
from .broker import Link
from .codec import VERSION, Broadcast, Direct, Kick, Note, Wake, direct_beat, encode, wake_of
from .numbering import EVERYBODY, Outgoing
from .outbound import Batch, Outbound
from .values import Counters, GatewayId

Frames = list[tuple[GatewayId, bytes]]
Places = dict[DeviceId, GatewayId]
Published = Callable[[Sequence[StoredMessage], float], None]
"""Told of messages that went out, and how many seconds that took."""


@dataclass(slots=True)
class _Parts:
    """What one gateway gets of a batch."""

    wakes: list[Wake] = field(default_factory=list)
    kicks: list[Kick] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


class Publisher:
    """Sends what waits in `outbound`. One task at a time runs it; its numbers outlive the task."""

    def __init__(self, gateway: GatewayId, outbound: Outbound, counters: Counters) -> None:
        self._gateway = gateway
        self._outbound = outbound
        self._counters = counters
        self.on_published: Published = lambda _messages, _seconds: None
        self._outgoing = Outgoing()

    async def run(self, link: Link, stop: trio.Event) -> None:
        """Send until asked to stop and nothing waits. While a batch is on its way the next one fills.

        Raises: `BusUnavailable`; who may miss something by that is looked up again later.
        """
        while True:
            while self._outbound:
                await self._send(link, self._outbound.batch())
            if stop.is_set():
                return
            await self._outbound.wakeup.wait()

    async def beat(self, link: Link) -> None:
        """Tell the last numbers of the streams. Raises: `BusUnavailable`."""
        due = list(self._outgoing.beats())
        await link.publish([(to, direct_beat(self._gateway, number)) for to, number in due])
        for to, number in due:
            self._outgoing.told(to, number)

    async def say_goodbye(self, link: Link) -> None:
        """Tell everybody that nothing more will come. Raises: `BusUnavailable`."""
        goodbye = Broadcast(VERSION, self._gateway, *self._outgoing.next(EVERYBODY), is_goodbye=True)
        await link.publish([(EVERYBODY, encode(goodbye))])

    async def tell_gone(self, link: Link, dead: GatewayId) -> None:
        """Say it for one that cannot any more. Raises: `BusUnavailable`."""
        frame = Broadcast(VERSION, self._gateway, *self._outgoing.next(EVERYBODY), gone=[dead])
        await link.publish([(EVERYBODY, encode(frame))])

    async def _send(self, link: Link, batch: Batch) -> None:
        is_done = False
        began = trio.current_time()
        try:
            # First of all, because a number has to be used up for them however this ends.
            frames = self._broadcasts(batch)
            if batch.releases:
                await link.release(batch.releases)
            devices = batch.devices()
            places = await link.lookup(list(devices)) if devices else {}
            frames += self._directs(batch, places)
            if frames:
                await link.publish(frames)
                self._counters.frames_sent += len(frames)
                self.on_published([message for message, _ in batch.wakes], trio.current_time() - began)
            for gateway in {places[device] for device in batch.missed if device in places}:
                self._outgoing.next(gateway)
            is_done = True
        finally:
            if not is_done:
                self._outbound.undone(batch)

    def _broadcasts(self, batch: Batch) -> Frames:
        if batch.is_lossy:
            self._outgoing.next(EVERYBODY)
        if not (batch.changes or batch.seen or batch.is_alarm):
            return []
        number = self._outgoing.next(EVERYBODY)
        frame = Broadcast(VERSION, self._gateway, *number, batch.changes, batch.seen, batch.is_alarm)
        return [(EVERYBODY, encode(frame))]

    def _directs(self, batch: Batch, places: Places) -> Frames:
        """Sort a batch by gateway. Whoever is nowhere, or here again by now, finds it in the inbox."""
        parts: dict[GatewayId, _Parts] = {}
        for message, devices in batch.wakes:
            for gateway, some in self._by_place(devices, places):
                parts.setdefault(gateway, _Parts()).wakes.append(wake_of(message, some))
                self._counters.wakes_sent += len(some)
        for note in batch.notes:
            for gateway, some in self._by_place(note.devices, places):
                parts.setdefault(gateway, _Parts()).notes.append(Note(some, note.note))
        for gateway, kick in batch.kicks:
            parts.setdefault(gateway, _Parts()).kicks.append(kick)
        return [
            (
                gateway,
                encode(
                    Direct(
                        VERSION,
                        self._gateway,
                        *self._outgoing.next(gateway),
                        some.wakes,
                        some.kicks,
                        some.notes,
                    )
                ),
            )
            for gateway, some in parts.items()
        ]

    def _by_place(
        self, devices: Collection[DeviceId], places: Places
    ) -> Iterator[tuple[GatewayId, list[DeviceId]]]:
        found: dict[GatewayId, list[DeviceId]] = {}
        for device in devices:
            gateway = places.get(device)
            if gateway is not None and gateway != self._gateway:
                found.setdefault(gateway, []).append(device)
        return iter(found.items())
