"""The bus over a Redis that dies, freezes, forgets or is none."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from chappe.bus.bus import GatewayBus
from chappe.bus.redis import RedisBroker
from chappe.bus.values import GatewayId, Timing
from chappe.errors import BusUnavailable
from chappe.ids import DeviceId, UserId
from tests.contracts import samples
from tests.contracts.bus import Gateway, RedisWorld, Sink, conversation, redis_program, rows, until, world

ROUNDS = int(os.environ.get("CHAPPE_TEST_BUS_ROUNDS", "3"))
FLEETING = Timing(command_s=0.3, beat_s=0.1, silent_s=10.0)


@pytest.fixture
def program() -> str:
    return redis_program()


@pytest.fixture
async def place(program: str, tmp_path: Path) -> AsyncIterator[RedisWorld]:
    async with world(program, tmp_path) as opened:
        yield opened


class Watched(Gateway):
    """A gateway that knows when it was last stale."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.stale_s = 0.0
        remember = self.sink.stale

        def stale() -> None:
            remember()
            self.stale_s = trio.current_time()

        self.sink.stale = stale  # type: ignore[method-assign]


async def test_whatever_happens_to_redis_a_wake_comes_or_its_gateway_is_stale(place: RedisWorld) -> None:
    """The promise of the whole: under traffic the server is killed, frozen and its clients are cut off, by turns."""
    timing = replace(FLEETING, refresh_s=0.5)
    gateways = [Watched(place.broker(timing), timing) for _ in range(3)]
    homes: dict[DeviceId, Watched] = {}
    sent: list[tuple[float, Any, DeviceId]] = []
    chance = random.Random(7)
    async with trio.open_nursery() as nursery:
        for gateway in gateways:
            await nursery.start(gateway.run)
        for number in range(60):
            device = DeviceId(samples.new_id())
            homes[device] = gateways[number % 3]
            await homes[device].connect(device)

        async def talk() -> None:
            while True:
                device = chance.choice(list(homes))
                sender = chance.choice([gateway for gateway in gateways if gateway is not homes[device]])
                [message] = conversation(device)
                sent.append((trio.current_time(), message, device))
                sender.bus.wake_nowait(message, [device])
                await trio.sleep(0.001)

        async with trio.open_nursery() as talking:
            talking.start_soon(talk)
            for number in range(ROUNDS):
                await trio.sleep(0.5)
                await _disturb(place, number)
                for gateway in gateways:
                    with trio.fail_after(30):
                        await gateway.bus.until_up()
            await trio.sleep(0.5)
            talking.cancel_scope.cancel()
        await until(lambda: not any(gateway.bus._outbound for gateway in gateways))
        beats = [gateway.bus.counters.frames_received for gateway in gateways]
        for gateway, before in zip(gateways, beats, strict=True):
            await until(lambda g=gateway, b=before: g.bus.counters.frames_received > b + 10)  # type: ignore[misc]
        woken = {(device, row.id) for gateway in gateways for device, row in gateway.sink.woken}
        assert len(woken) > len(sent) / 4, "hardly anything went over the bus"
        assert len(woken) < len(sent), "nothing was lost: this test tests nothing"
        missing = [
            at_s
            for at_s, message, device in sent
            if (device, message.id) not in woken and homes[device].stale_s < at_s
        ]
        assert missing == []
        for device, gateway in homes.items():
            assert (await gateways[0].bus._linked().lookup([device])) == {device: gateway.bus.gateway}
        assert not any(gateway.sink.kicks for gateway in gateways)
        nursery.cancel_scope.cancel()


async def _disturb(place: RedisWorld, number: int) -> None:
    match number % 3:
        case 0:
            await place.stop()
            await trio.sleep(0.2)
            await place.start()
        case 1:
            place.server.freeze()
            await trio.sleep(1.0)
            place.server.thaw()
        case 2:
            stream = await trio.open_tcp_stream("127.0.0.1", place.server.port)
            await stream.send_all(b"CLIENT KILL TYPE pubsub\r\n")
            await stream.receive_some()
            await stream.aclose()


async def test_a_frozen_redis_takes_the_bus_down_and_a_thawed_one_up(place: RedisWorld) -> None:
    gateway = await place.gateway(FLEETING)
    assert gateway.bus.is_up
    place.server.freeze()
    with trio.fail_after(30):
        await gateway.bus.until_down()
        # Whoever calls meanwhile waits no longer than a command may take.
        await gateway.bus.claim(DeviceId(samples.new_id()), UserId(samples.new_id()), 1)
        with pytest.raises(BusUnavailable):
            await gateway.bus.online([UserId(samples.new_id())])
    place.server.thaw()
    with trio.fail_after(30):
        await gateway.bus.until_up()
    assert gateway.sink.stales == 2


async def test_the_newer_claim_wins_again_after_redis_has_forgotten(place: RedisWorld) -> None:
    device, user = DeviceId(samples.new_id()), UserId(samples.new_id())
    one, two = await place.gateways(2)
    old = await one.connect(device, user)
    # The older one hears nothing of the newer before Redis forgets both.
    two.lossy.loses = lambda to, frame: bool(to)
    await two.connect(device, user)
    await place.stop()
    await one.bus.until_down()
    await place.start()
    await until(lambda: (device, old) in one.sink.kicks)
    await until(lambda: two.bus.is_up)
    assert two.sink.kicks == []
    assert await two.bus._linked().lookup([device]) == {device: two.bus.gateway}


async def test_a_claim_that_redis_hears_of_late_is_not_new(place: RedisWorld) -> None:
    device, user = DeviceId(samples.new_id()), UserId(samples.new_id())
    one = await place.gateway()
    two = await place.gateway()
    link = two.bus._linked()
    # Made while the link was away, and since then the device has gone to the other gateway.
    two.bus._link = None
    late = await two.connect(device, user)
    await trio.sleep(0.01)
    await one.connect(device, user)
    two.bus._link = link
    await two.bus._claims.enter_all(link)
    assert two.sink.kicks == [(device, late)]
    assert one.sink.kicks == []


async def test_many_claims_at_once_are_all_entered(place: RedisWorld) -> None:
    one, two = await place.gateways(2)
    devices = [DeviceId(samples.new_id()) for _ in range(2000)]
    async with trio.open_nursery() as nursery:
        for device in devices:
            nursery.start_soon(one.connect, device)
    found = await two.bus._linked().lookup(devices)
    assert found == dict.fromkeys(devices, one.bus.gateway)
    said = conversation(*devices)
    two.bus.wake_nowait(said[0], devices)
    await until(lambda: len(one.sink.woken) == 2000)
    assert one.sink.woken == [rows(said, device)[0] for device in devices]


async def test_what_never_answers_or_is_no_redis_is_unavailable() -> None:
    async def babble(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)

    async def hang_up(stream: trio.SocketStream) -> None:
        await stream.aclose()

    async def keep_silent(_stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    for behaviour in (babble, hang_up, keep_silent):
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(_serve, behaviour)
            port = listener.socket.getsockname()[1]
            await _expect_unavailable(port)
            nursery.cancel_scope.cancel()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    await _expect_unavailable(port)


async def _serve(behaviour: Any, *, task_status: trio.TaskStatus[Any]) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    task_status.started(listeners)
    await trio.serve_listeners(behaviour, listeners)


async def _expect_unavailable(port: int) -> None:
    broker = RedisBroker(f"redis://127.0.0.1:{port}", timing=FLEETING)
    with pytest.raises((BusUnavailable, ExceptionGroup)) as raised:
        async with broker.open(GatewayId(b"gateway1")):
            pass
    error = raised.value
    assert isinstance(error, BusUnavailable) or error.subgroup(BusUnavailable)


async def test_a_node_starts_without_its_redis(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    bus = GatewayBus(RedisBroker(f"redis://127.0.0.1:{port}", timing=FLEETING), FLEETING)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(30):
            await nursery.start(bus.run, Sink())
        assert not bus.is_up
        await bus.claim(DeviceId(samples.new_id()), UserId(samples.new_id()), 1)
        bus.wake_nowait(conversation(DeviceId(samples.new_id()))[0], [DeviceId(samples.new_id())])
        nursery.cancel_scope.cancel()


def test_a_url_without_a_server_is_refused() -> None:
    with pytest.raises(ValueError, match="names no server"):
        RedisBroker("redis://")
