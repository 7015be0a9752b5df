"""The bus of one gateway: who is connected where, waking devices elsewhere, telling every gateway of changes.

`app.py` makes one and supervises `run`; the gateway's parts call the rest through the `Bus` port and hear through its
`BusSink`. `broker.py` says what the middle has to do, `claims.py`, `publisher.py` and `receiver.py` are the three
things done with it. State outlives the task: `run` may crash and be restarted.

Every wake is of something that is stored, so a loss costs a read: a hole in a stream, a new connection to the broker,
or a sender that fell silent is told to the sink as `stale`, and it reads the inboxes again. A claim is in the broker
before the device reads its inbox, and claims are re-entered before `stale`: whoever looks a device up too early to
find it has stored what that read will find. One connection carries commands and frames, and every beat comes back to
its sender too: a link that is half dead does not stay unnoticed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Collection
from contextlib import suppress

import structlog
import trio

from supervisors import Backoff, trap_stop

from ..domain.messages import StoredMessage
from ..errors import BusUnavailable
from ..ids import DeviceId, UserId
from ..ports import BusSink
from .broker import Broker, Holder, Link
from .claims import Claims
from .codec import Changed, Kick, Note, Seen
from .outbound import Outbound
from .publisher import Published, Publisher
from .receiver import Receiver
from .values import GATEWAY_BYTES, LIMITS_MOST_BYTES, Bounds, Counters, GatewayId, Timing

RECONNECT = Backoff(first_s=0.1, most_s=5.0)

log = structlog.get_logger("bus")


class GatewayBus:
    """Fulfils `ports.Bus` over a broker. `gateway` names it, differently in each run of a process. `place` names the
    place of that process, which it has alone: whoever had it before is dead, and nobody has to wait for its silence.
    """

    def __init__(
        self,
        broker: Broker,
        timing: Timing | None = None,
        bounds: Bounds | None = None,
        place: str | None = None,
    ) -> None:
        bounds = bounds or Bounds()
        self._place = place
        self.gateway = GatewayId(os.urandom(GATEWAY_BYTES))
        self.counters = Counters()
        self._broker = broker
        self._timing = timing or Timing()
        self._outbound = Outbound(bounds, self._timing.queue_s, self.counters)
        self._claims = Claims(self.gateway, self._lost_claim)
        self._publisher = Publisher(self.gateway, self._outbound, self.counters)
        self._receiver = Receiver(self.gateway, self.counters, self._kicked)
        self._places = trio.CapacityLimiter(bounds.in_flight)
        self._link: Link | None = None
        self._is_up = False
        self._flip = trio.Event()

    @property
    def is_alone(self) -> bool:
        """Whether there is no other gateway, as far as the broker can know."""
        return self._broker.is_alone

    @property
    def is_up(self) -> bool:
        """Whether wakes of other gateways arrive; while not, inboxes have to be polled."""
        return self._is_up

    def tell_published(self, hear: Published) -> None:
        """Have somebody hear of messages that went out to other gateways."""
        self._publisher.on_published = hear

    def waiting(self) -> tuple[int, int]:
        """Return how many messages and notes wait to go out, and the bytes of the messages."""
        return self._outbound.waiting

    async def until_up(self) -> None:
        """Return once it is up."""
        while not self._is_up:
            await self._flip.wait()

    async def until_down(self) -> None:
        """Return once it is down."""
        while self._is_up:
            await self._flip.wait()

    async def claim(self, device: DeviceId, user: UserId, session: int) -> None:
        """Say that this device is connected here now; see `ports.Bus`."""
        claim = self._claims.add(device, user, session)
        async with self._places:
            # It may have been released or replaced while this waited.
            if self._link is not None and self._claims.is_current(claim):
                with suppress(BusUnavailable):  # the link has ended with it, and the next one enters it
                    await self._claims.enter(self._link, claim)

    def release_nowait(self, device: DeviceId, session: int) -> None:
        """Say that this session of a device has ended; a newer one's claim stays."""
        claim = self._claims.drop(device, session)
        if claim is not None:
            self._outbound.release(claim)

    def wake_nowait(self, message: StoredMessage, devices: Collection[DeviceId]) -> None:
        """Hand a stored message to those of its devices that are connected elsewhere."""
        if devices and not self._broker.is_alone:
            self._outbound.wake(message, devices)

    def note_nowait(self, devices: Collection[DeviceId], note: bytes) -> None:
        """Hand an encoded frame, which may be lost, to devices that are connected elsewhere."""
        if devices and not self._broker.is_alone:
            self._outbound.note(Note(list(devices), note))

    def changed_nowait(self, user: UserId, revoked: Collection[DeviceId]) -> None:
        """Tell the other gateways that an account's device list changed."""
        if not self._broker.is_alone:
            self._outbound.broadcast(Changed(user, list(revoked)))

    def presence_nowait(self, user: UserId, *, is_online: bool, at_ms: int) -> None:
        """Tell the other gateways that an account came to this one or left it."""
        if not self._broker.is_alone:
            self._outbound.broadcast(Seen(user, is_online, at_ms))

    async def online(self, users: Collection[UserId]) -> set[UserId]:
        """Return which accounts have a device connected to any gateway. Raises: `BusUnavailable`."""
        async with self._places:
            return await self._linked().online(users) if users else set()

    async def load_limits(self, device: DeviceId) -> bytes | None:
        """Return what a gateway last saved for a device. Raises: `BusUnavailable`."""
        async with self._places:
            return await self._linked().load_limits(device)

    async def save_limits(self, device: DeviceId, limits: bytes) -> None:
        """Keep some bytes for a device for a while. Raises: `BusUnavailable`; `ValueError` when they are too many."""
        if len(limits) > LIMITS_MOST_BYTES:
            raise ValueError(f"Limits of {len(limits)} bytes; at most {LIMITS_MOST_BYTES} are kept.")
        async with self._places:
            await self._linked().save_limits(device, limits)

    async def run(
        self, sink: BusSink, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve the bus until asked to stop; what waits is sent first. Started after the first attempt to connect,
        whether it went well or not: a node does without its bus. Cancelled: it ends at once, as if it had died.
        """
        self._receiver.sink = sink
        stop = trap_stop()
        failures = 0
        first: trio.TaskStatus[None] | None = task_status
        while not stop.is_set():
            try:
                async with self._broker.open(self.gateway) as link:
                    await self._enter(link)
                    failures = 0
                    if first is not None:
                        first.started()
                        first = None
                    await self._serve(link, stop)
            except* BusUnavailable as group:
                if not failures:
                    log.warning("bus_down", error=str(_first(group)))
            finally:
                self._link = None
                self._turn(is_up=False)
            if first is not None:
                first.started()
                first = None
            failures += 1
            # Random, so that the gateways do not all come back at once to a broker that has just restarted.
            with trio.move_on_after(RECONNECT.delay_s(failures, random.random())):  # noqa: S311
                await stop.wait()

    async def _enter(self, link: Link) -> None:
        """Make a new link the one in use: first the claims, then the word that everything is stale."""
        self._link = link
        await self._publisher.beat(link)
        await self._claims.enter_all(link)
        self.counters.connects += 1
        if self._place is not None:
            before = await link.succeed(self._place.encode())
            if before not in (None, self.gateway):
                await self._publisher.tell_gone(link, before)
        self._turn(is_up=True)
        if not self._broker.is_alone:
            log.info("bus_up", gateway=self.gateway.hex(), claims=len(self._claims))
        self._receiver.connected()

    async def _serve(self, link: Link, stop: trio.Event) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._receiver.run, link)
            nursery.start_soon(self._beat, link)
            nursery.start_soon(self._claims.refresh, link, self._timing.refresh_s)
            nursery.start_soon(self._wake_at, stop)
            await self._publisher.run(link, stop)
            await self._publisher.say_goodbye(link)
            nursery.cancel_scope.cancel()

    async def _wake_at(self, stop: trio.Event) -> None:
        await stop.wait()
        self._outbound.wakeup.set()

    async def _beat(self, link: Link) -> None:
        """Tell our last numbers, and look whose beats have stopped, our own included."""
        timing = self._timing
        while True:
            await trio.sleep(timing.beat_s)
            await self._publisher.beat(link)
            if trio.current_time() - self._receiver.echo_s > timing.silent_s:
                raise BusUnavailable("The bus takes frames and brings none.")
            self._receiver.look_for_silence(timing.silent_s, timing.gone_s)

    def _lost_claim(self, device: DeviceId, loser: Holder) -> None:
        if loser.gateway == self.gateway:
            self._kicked(device, loser.session)
        else:
            self._outbound.kick(loser.gateway, Kick(device, loser.session))

    def _kicked(self, device: DeviceId, session: int) -> None:
        self._claims.drop(device, session)
        self.counters.kicks += 1
        self._receiver.sink.kick(device, session)

    def _linked(self) -> Link:
        if self._link is None:
            raise BusUnavailable("The bus is down.")
        return self._link

    def _turn(self, *, is_up: bool) -> None:
        if is_up != self._is_up:
            self._is_up = is_up
            self._flip.set()
            self._flip = trio.Event()


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
