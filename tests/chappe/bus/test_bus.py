"""What a bus does with time, with stops and with links that are half dead; in virtual time, in one process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from chappe.bus.broker import Link
from chappe.bus.bus import GatewayBus
from chappe.bus.codec import decode_broadcast
from chappe.bus.memory import MemoryHub
from chappe.bus.numbering import EVERYBODY
from chappe.bus.values import Bounds, GatewayId
from chappe.errors import BusUnavailable
from chappe.ids import DeviceId, UserId
from supervisors import Supervisor, child
from tests.contracts import samples
from tests.contracts.bus import Gateway, Sink, conversation, rows


@dataclass
class Rig:
    """Gateways on one hub."""

    nursery: trio.Nursery
    hub: MemoryHub

    async def gateway(self, bounds: Bounds | None = None) -> Gateway:
        made = Gateway(self.hub, self.hub.timing, bounds)
        await self.nursery.start(made.run)
        return made


@pytest.fixture
def rig(nursery: trio.Nursery) -> Rig:
    return Rig(nursery, MemoryHub())


def device() -> DeviceId:
    return DeviceId(samples.new_id())


async def test_alone_it_keeps_nothing(autojump_clock: MockClock, rig: Rig) -> None:
    here = await rig.gateway()
    other = device()
    [said] = conversation(other)
    here.bus.wake_nowait(said, [other])
    here.bus.note_nowait([other], b"note")
    here.bus.changed_nowait(UserId(samples.new_id()), [])
    here.bus.presence_nowait(UserId(samples.new_id()), is_online=True, at_ms=1)
    assert not here.bus._outbound


async def test_a_message_for_nobody_elsewhere_is_not_taken_in(autojump_clock: MockClock, rig: Rig) -> None:
    here, _there = await rig.gateway(), await rig.gateway()
    here.bus.wake_nowait(conversation(device())[0], [])
    assert not here.bus._outbound


async def test_devices_that_are_nowhere_cost_no_frame(autojump_clock: MockClock, rig: Rig) -> None:
    here, _there = await rig.gateway(), await rig.gateway()
    other = device()
    here.bus.wake_nowait(conversation(other)[0], [other])
    await wait_all_tasks_blocked()
    assert (here.bus.counters.frames_sent, here.bus.counters.wakes_sent) == (0, 0)


async def test_claims_live_on_as_long_as_their_gateway_does(autojump_clock: MockClock, rig: Rig) -> None:
    here, there = await rig.gateway(), await rig.gateway()
    user = UserId(samples.new_id())
    await there.connect(device(), user)
    await trio.sleep(500.0)
    assert await here.bus.online([user]) == {user}
    there.scope.cancel()
    await trio.sleep(35.0)
    assert await here.bus.online([user]) == {user}
    await trio.sleep(30.0)
    assert await here.bus.online([user]) == set()


async def test_silence_is_noticed_within_seconds(autojump_clock: MockClock, rig: Rig) -> None:
    here, there = await rig.gateway(), await rig.gateway()
    await trio.sleep(3.0)
    there.scope.cancel()
    await trio.sleep(4.0)
    assert here.sink.stales == 1
    await trio.sleep(3.0)
    assert (here.sink.stales, here.sink.forgets) == (2, 2)
    await trio.sleep(60.0)
    assert here.sink.stales == 12  # it may be cut off from the bus alone, and still store messages
    assert here.bus.counters.silences == 1
    await trio.sleep(600.0)
    stales = here.sink.stales
    await trio.sleep(60.0)
    assert here.sink.stales == stales


async def test_a_lost_last_wake_is_noticed_within_two_beats(autojump_clock: MockClock, rig: Rig) -> None:
    here, there = await rig.gateway(), await rig.gateway()
    other = device()
    await there.connect(other)
    here.lossy.loses = lambda to, _frame: to != EVERYBODY
    here.bus.wake_nowait(conversation(other)[0], [other])
    await wait_all_tasks_blocked()
    here.lossy.loses = lambda _to, _frame: False
    await trio.sleep(2 * rig.hub.timing.beat_s)
    assert there.sink.stales == 2
    assert there.sink.forgets == 1


async def test_an_outage_is_counted_from_its_end(autojump_clock: MockClock, rig: Rig) -> None:
    here, there = await rig.gateway(), await rig.gateway()
    rig.hub.stop()
    await trio.sleep(60.0)
    assert not here.bus.is_up
    rig.hub.start()
    await here.bus.until_up()
    await there.bus.until_up()
    await trio.sleep(20.0)
    assert (here.sink.stales, here.bus.counters.silences) == (2, 0)


class Half:
    """A hub whose links take frames and bring none."""

    def __init__(self, hub: MemoryHub) -> None:
        self.hub = hub
        self.is_alone = False
        self.is_deaf = True

    @asynccontextmanager
    async def open(self, gateway: GatewayId) -> AsyncIterator[Link]:
        async with self.hub.open(gateway) as link:
            if self.is_deaf:
                link.receive = trio.sleep_forever  # type: ignore[assignment]
            yield link


async def test_a_link_that_brings_nothing_is_given_up(autojump_clock: MockClock, rig: Rig) -> None:
    half = Half(rig.hub)
    bus, sink = GatewayBus(half), Sink()
    await rig.nursery.start(bus.run, sink)
    await trio.sleep(20.0)
    assert bus.counters.connects > 2
    half.is_deaf = False
    await trio.sleep(20.0)
    connects = bus.counters.connects
    await trio.sleep(200.0)
    assert bus.counters.connects == connects


@pytest.mark.parametrize("everybody", [False, True])
async def test_what_cannot_be_read_is_a_loss(autojump_clock: MockClock, rig: Rig, everybody: bool) -> None:
    here, there = await rig.gateway(), await rig.gateway()
    await here.bus._linked().publish([(EVERYBODY if everybody else there.bus.gateway, b"\xc1 not a frame")])
    await wait_all_tasks_blocked()
    assert there.bus.counters.bad_frames == 1
    assert (there.sink.stales, there.sink.forgets) == ((1, 2) if everybody else (2, 1))


async def test_bytes_are_bounded_too(autojump_clock: MockClock, rig: Rig) -> None:
    here, there = await rig.gateway(Bounds(bytes=100_000)), await rig.gateway()
    other = device()
    await there.connect(other)
    said = conversation(other, number=5, body=b"x" * 30_000)
    for message in said:
        here.bus.wake_nowait(message, [other])
    assert here.bus.counters.overflows == 2
    await wait_all_tasks_blocked()
    assert there.sink.woken == rows(said[:3], other)
    here.bus.wake_nowait(said[3], [other])
    await wait_all_tasks_blocked()
    assert there.sink.woken == rows(said[:4], other), "the room is free again"


@pytest.mark.parametrize("step", ["lookup", "publish", "release"])
async def test_a_batch_that_fails_makes_its_gateways_stale(
    autojump_clock: MockClock, rig: Rig, step: str
) -> None:
    here, there = await rig.gateway(), await rig.gateway()
    other, gone = device(), device()
    await there.connect(other)
    session = await here.connect(gone)

    async def fail(*_args: Any) -> None:
        raise BusUnavailable("as asked")

    setattr(here.bus._linked(), step, fail)
    here.bus.wake_nowait(conversation(other)[0], [other])
    here.bus.release_nowait(gone, session)
    await trio.sleep(3.0)
    assert here.bus.is_up
    assert there.sink.woken == []
    assert there.sink.stales in (2, 3), "once for the lost number, perhaps once more for the device's name"
    assert gone not in rig.hub.held, "the release is made up for"


async def test_a_stop_sends_what_waits_and_says_goodbye(autojump_clock: MockClock, rig: Rig) -> None:
    there = await rig.gateway()
    other = device()
    await there.connect(other)
    frames: list[tuple[GatewayId, bytes]] = []
    leaving = Gateway(rig.hub, rig.hub.timing)
    leaving.lossy.loses = lambda to, frame: bool(frames.append((to, frame)))
    supervisor = Supervisor([child(leaving.bus.run, leaving.sink, id="bus")], name="node")
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        await wait_all_tasks_blocked()
        said = conversation(other, number=100)
        for message in said:
            leaving.bus.wake_nowait(message, [other])
        await supervisor.stop()
    assert there.sink.woken == rows(said, other)
    assert decode_broadcast(frames[-1][1]).is_goodbye
    await trio.sleep(60.0)
    assert there.sink.stales == 1, "nobody takes it for dead"


async def test_a_crash_of_the_sink_is_made_good_by_the_restart(autojump_clock: MockClock, rig: Rig) -> None:
    here = await rig.gateway()
    there = Gateway(rig.hub, rig.hub.timing)
    remember: Callable[..., None] = there.sink.wake
    there.sink.wake = lambda *_args: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    supervisor = Supervisor([child(there.bus.run, there.sink, id="bus")], name="node", intensity=3)
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        other = device()
        await there.connect(other)
        lost, heard = conversation(other, number=2)
        here.bus.wake_nowait(lost, [other])
        await trio.sleep(1.0)
        assert there.sink.stales == 2
        there.sink.wake = remember  # type: ignore[method-assign]
        here.bus.wake_nowait(heard, [other])
        await trio.sleep(1.0)
        assert there.sink.woken == rows([heard], other)
        await supervisor.stop()


async def test_a_claim_given_up_while_it_waits_is_not_entered(autojump_clock: MockClock, rig: Rig) -> None:
    here = await rig.gateway(Bounds(in_flight=1))
    other = device()
    async with trio.open_nursery() as nursery:
        await here.bus._places.acquire_on_behalf_of("somebody")
        nursery.start_soon(here.connect, other)
        await wait_all_tasks_blocked()
        here.bus.release_nowait(other, 1)
        here.bus._places.release_on_behalf_of("somebody")
    assert rig.hub.held == {}
