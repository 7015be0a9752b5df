"""What a gateway's bus promises, over every broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from chappe.bus.codec import decode_direct
from chappe.bus.numbering import EVERYBODY
from chappe.bus.values import Bounds
from chappe.errors import BusUnavailable
from chappe.ids import DeviceId, UserId

from . import samples
from .bus import TIMING, Gateway, World, conversation, redis_program, rows, settled, until, world


@pytest.fixture(params=["memory", "redis"])
def program(request: pytest.FixtureRequest) -> str | None:
    return redis_program() if request.param == "redis" else None


@pytest.fixture
async def place(program: str | None, tmp_path: Path) -> AsyncIterator[World]:
    async with world(program, tmp_path) as opened:
        yield opened


def new_device() -> DeviceId:
    return DeviceId(samples.new_id())


def new_user() -> UserId:
    return UserId(samples.new_id())


async def test_wakes_come_in_order_with_their_events(place: World) -> None:
    here, there = await place.gateways(2)
    device, nowhere = new_device(), new_device()
    await there.connect(device)
    stales = there.sink.stales
    said = conversation(device, nowhere, number=500)
    for message in said:
        here.bus.wake_nowait(message, [device, nowhere])
    await until(lambda: len(there.sink.woken) == 500)
    assert there.sink.woken == rows(said, device)
    assert there.sink.stales == stales
    assert here.sink.woken == []


async def test_one_message_reaches_several_gateways_once(place: World) -> None:
    here, *there = await place.gateways(3)
    devices = [new_device() for _ in range(5)]
    for number, device in enumerate(devices):
        await there[number % 2].connect(device)
    [said] = conversation(*devices, body=b"x" * 60_000)
    sent = here.bus.counters.frames_sent
    here.bus.wake_nowait(said, devices)
    await until(lambda: sum(len(gateway.sink.woken) for gateway in there) == 5)
    assert here.bus.counters.frames_sent == sent + 2, "one frame for each gateway"
    assert there[0].sink.woken == [rows([said], device)[0] for device in devices[::2]]


async def test_notes_reach_devices_elsewhere(place: World) -> None:
    here, there = await place.gateways(2)
    device = new_device()
    await there.connect(device)
    here.bus.note_nowait([device, new_device()], b"typing")
    await until(lambda: there.sink.notes == [(device, b"typing")])


async def test_the_newest_claim_wins_and_the_older_session_is_kicked(place: World) -> None:
    one, two = await place.gateways(2)
    device, user = new_device(), new_user()
    old = await one.connect(device, user)
    new = await two.connect(device, user)
    await until(lambda: one.sink.kicks == [(device, old)])
    one.bus.release_nowait(device, old)
    [said] = conversation(device)
    one.bus.wake_nowait(said, [device])
    await until(lambda: two.sink.woken == rows([said], device))
    back = await one.connect(device, user)
    await until(lambda: two.sink.kicks == [(device, new)])
    assert back != old
    assert one.sink.kicks == [(device, old)]


async def test_a_second_session_here_replaces_the_first(place: World) -> None:
    [one] = await place.gateways(1)
    device = new_device()
    first = await one.connect(device)
    await one.connect(device)
    assert one.sink.kicks == [(device, first)]


async def test_of_many_claims_at_once_one_stays(place: World) -> None:
    gateways = await place.gateways(4)
    device, user = new_device(), new_user()
    async with trio.open_nursery() as nursery:
        for gateway in gateways * 3:
            nursery.start_soon(gateway.connect, device, user)

    def left() -> list[tuple[Gateway, int]]:
        kicked = {(gateway, session) for gateway in gateways for _, session in gateway.sink.kicks}
        return [(gateway, n) for gateway in gateways for n in (1, 2, 3) if (gateway, n) not in kicked]

    await until(lambda: len(left()) == 1)
    [(winner, session)] = left()
    [said] = conversation(device)
    sender = next(gateway for gateway in gateways if gateway is not winner)
    sender.bus.wake_nowait(said, [device])
    await until(lambda: winner.sink.woken == rows([said], device))
    winner.bus.release_nowait(device, session)
    await _until_offline(sender, user)


async def test_a_lost_kick_is_made_up_for_at_the_refresh(place: World) -> None:
    one, two = await place.gateways(2)
    device = new_device()
    old = await one.connect(device)
    two.lossy.loses = lambda to, frame: to != EVERYBODY and not decode_direct(frame).is_beat
    await two.connect(device)
    await until(lambda: one.sink.kicks == [(device, old)])
    assert two.sink.kicks == []


async def test_a_release_frees_only_its_own_claim(place: World) -> None:
    one, two = await place.gateways(2)
    device, user = new_device(), new_user()
    old = await one.connect(device, user)
    new = await two.connect(device, user)
    one.bus.release_nowait(device, old)
    two.bus.release_nowait(device, new + 100)
    await settled(one)
    await settled(two)
    assert await one.bus.online([user, new_user()]) == {user}
    two.bus.release_nowait(device, new)
    await _until_offline(one, user)


async def test_an_account_is_online_as_long_as_one_of_its_devices_is(place: World) -> None:
    one, two = await place.gateways(2)
    user = new_user()
    devices = [new_device(), new_device()]
    sessions = [
        await gateway.connect(device, user) for gateway, device in zip((one, two), devices, strict=True)
    ]
    assert await one.bus.online([user]) == await two.bus.online([user]) == {user}
    one.bus.release_nowait(devices[0], sessions[0])
    await one.connect(new_device())
    assert await one.bus.online([user]) == {user}
    two.bus.release_nowait(devices[1], sessions[1])
    await _until_offline(one, user)
    assert await one.bus.online([]) == set()


async def test_broadcasts_reach_everybody_but_the_sender(place: World) -> None:
    here, *others = await place.gateways(3)
    user, revoked = new_user(), [new_device()]
    here.bus.changed_nowait(user, revoked)
    here.bus.presence_nowait(user, is_online=True, at_ms=1_700_000_000_000)
    for other in others:
        await until(lambda other=other: other.sink.seen == [(user, True, 1_700_000_000_000)])  # type: ignore[misc]
        assert other.sink.changes == [(user, revoked)]
    assert here.sink.changes == []


async def test_a_lost_wake_makes_its_gateway_stale_and_no_other(place: World) -> None:
    here, there, third = await place.gateways(3)
    device = new_device()
    await there.connect(device)
    stales = (there.sink.stales, third.sink.stales)
    lost, heard = conversation(device, number=2)
    here.lossy.loses = lambda to, frame: to != EVERYBODY
    here.bus.wake_nowait(lost, [device])
    await until(lambda: here.bus.counters.wakes_sent == 1)
    here.lossy.loses = lambda to, frame: False
    # Nothing more is said: the beat alone tells.
    await until(lambda: there.sink.stales > stales[0])
    here.bus.wake_nowait(heard, [device])
    await until(lambda: there.sink.woken == rows([heard], device))
    assert there.sink.stales == stales[0] + 1
    assert third.sink.stales == stales[1]


async def test_what_comes_twice_is_handed_over_once(place: World) -> None:
    here, there = await place.gateways(2)
    device = new_device()
    await there.connect(device)
    stales = there.sink.stales
    here.lossy.repeats = 2
    said = conversation(device, number=3)
    for message in said:
        here.bus.wake_nowait(message, [device])
        await until(lambda message=message: there.sink.woken[-1:] == rows([message], device))  # type: ignore[misc]
    assert there.sink.woken == rows(said, device)
    assert there.sink.stales == stales


async def test_a_lost_broadcast_makes_everybody_forget(place: World) -> None:
    here, there = await place.gateways(2)
    forgets, stales = there.sink.forgets, there.sink.stales
    here.lossy.loses = lambda to, frame: to == EVERYBODY
    here.bus.changed_nowait(new_user(), [])
    await settled(here)
    here.lossy.loses = lambda to, frame: False
    await until(lambda: there.sink.forgets > forgets)
    assert there.sink.stales == stales


async def test_what_finds_no_room_makes_its_gateways_stale(place: World) -> None:
    here = await place.gateway(bounds=Bounds(wakes=10))
    there, third = await place.gateways(2)
    device = new_device()
    await there.connect(device)
    stales = there.sink.stales, third.sink.stales
    said = conversation(device, number=30)
    for message in said:
        here.bus.wake_nowait(message, [device])
    await until(lambda: there.sink.stales > stales[0])
    assert there.sink.woken == rows(said[:10], device)
    assert here.bus.counters.overflows == 20
    assert third.sink.stales == stales[1]


async def test_when_even_the_names_find_no_room_everybody_is_stale(place: World) -> None:
    here = await place.gateway(bounds=Bounds(wakes=1, missed=5))
    there, third = await place.gateways(2)
    stales = there.sink.stales, third.sink.stales
    for _ in range(10):
        device = new_device()
        here.bus.wake_nowait(conversation(device)[0], [device])
    await until(lambda: there.sink.stales > stales[0] and third.sink.stales > stales[1])


async def test_a_broker_that_restarts_gets_the_claims_and_everybody_is_stale(place: World) -> None:
    one, two = await place.gateways(2)
    devices = [new_device() for _ in range(600)]
    user = new_user()
    async with trio.open_nursery() as nursery:
        for device in devices:
            nursery.start_soon(two.connect, device, user)
    stales, forgets = one.sink.stales, two.sink.forgets
    await place.stop()
    for gateway in (one, two):
        await gateway.bus.until_down()
        assert not gateway.bus.is_up
    with pytest.raises(BusUnavailable):
        await one.bus.online([user])
    # Sending goes on; what is claimed now is entered later.
    lost = conversation(devices[0])[0]
    one.bus.wake_nowait(lost, [devices[0]])
    late = new_device()
    await two.connect(late, user)
    await place.start()
    for gateway in (one, two):
        await gateway.bus.until_up()
    await until(lambda: one.sink.stales > stales and two.sink.forgets > forgets)
    said = conversation(devices[-1], late)[0]
    one.bus.wake_nowait(said, [devices[-1], late])
    told = rows([said], devices[-1]) + rows([said], late)
    # What was said with the broker away may come as well, if the claims were there again before it was sent.
    await until(lambda: two.sink.woken[-2:] == told)
    assert two.sink.woken in (told, rows([lost], devices[0]) + told)
    assert one.sink.kicks == two.sink.kicks == []


async def test_claims_that_nobody_refreshes_expire(place: World) -> None:
    brief = replace(TIMING, claim_ttl_s=0.5, refresh_s=0.1)
    here = await place.gateway(brief)
    there = await place.gateway(brief)
    device, user = new_device(), new_user()
    await there.connect(device, user)
    await trio.sleep(1.0)
    assert await here.bus.online([user]) == {user}, "it is refreshed"
    there.scope.cancel()
    await _until_offline(here, user)
    sent = here.bus.counters.wakes_sent
    here.bus.wake_nowait(conversation(device)[0], [device])
    await settled(here)
    assert here.bus.counters.wakes_sent == sent


async def test_a_gateway_that_dies_makes_the_others_stale(place: World) -> None:
    quick = replace(TIMING, silent_s=2.0)
    here = await place.gateway(quick)
    there = await place.gateway(quick)
    await until(lambda: here.bus.counters.frames_received > 3)
    stales = here.sink.stales
    there.scope.cancel()
    await until(lambda: here.sink.stales > stales)
    assert here.bus.counters.silences == 1


async def test_who_comes_after_a_dead_gateway_says_goodbye_for_it(place: World) -> None:
    quick = replace(TIMING, silent_s=2.0)
    here = await place.gateway(quick, place="here")
    there = await place.gateway(quick, place="there")
    await until(lambda: there.bus.gateway in here.bus._receiver._incoming._heard)
    stales = here.sink.stales
    there.scope.cancel()
    after = await place.gateway(quick, place="there")
    await until(lambda: here.sink.stales > stales)
    assert there.bus.gateway not in here.bus._receiver._incoming._heard
    assert (here.sink.stales, here.bus.counters.silences, after.sink.stales) == (stales + 1, 0, 1)


async def test_a_gateway_that_is_taken_for_dead_is_heard_again(place: World) -> None:
    here = await place.gateway(place="here")
    there = await place.gateway(place="the same name by mistake")
    await until(lambda: there.bus.gateway in here.bus._receiver._incoming._heard)
    stales = here.sink.stales
    await place.gateway(place="the same name by mistake")
    await until(lambda: here.sink.stales > stales)
    await until(lambda: there.bus.gateway in here.bus._receiver._incoming._heard)


async def test_limits_are_kept_for_a_while(place: World) -> None:
    brief = replace(TIMING, limits_ttl_s=0.5)
    one, two = await place.gateway(brief), await place.gateway(brief)
    device = new_device()
    assert await one.bus.load_limits(device) is None
    await one.bus.save_limits(device, b"\x00 buckets")
    assert await two.bus.load_limits(device) == b"\x00 buckets"
    await two.bus.save_limits(device, b"")
    assert await one.bus.load_limits(device) == b""
    with pytest.raises(ValueError, match="4096"):
        await one.bus.save_limits(device, bytes(4097))
    await trio.sleep(0.6)
    assert await one.bus.load_limits(device) is None


async def test_the_task_may_be_restarted(place: World) -> None:
    here, there = await place.gateways(2)
    device = new_device()
    await there.connect(device)
    there.scope.cancel()
    await there.bus.until_down()
    stales = there.sink.stales
    there.scope = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        await nursery.start(there.run)
        assert there.sink.stales == stales + 1
        said = conversation(device)
        here.bus.wake_nowait(said[0], [device])
        await until(lambda: there.sink.woken == rows(said, device))
        nursery.cancel_scope.cancel()


async def _until_offline(gateway: Gateway, user: UserId) -> None:
    with trio.fail_after(30):
        while await gateway.bus.online([user]):  # noqa: ASYNC110 (time decides it, or another process)
            await trio.sleep(0.01)
