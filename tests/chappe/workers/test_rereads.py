"""Inboxes are read again when the bus may have lost something, and again and again while it is down."""

from __future__ import annotations

from pathlib import Path

import trio
from trio.testing import MockClock

from chappe.domain.accounts import Device
from chappe.gateway.connection import Connection
from chappe.gateway.hub import Hub
from chappe.ids import FIRST_ID, DeviceId, UserId
from chappe.settings import LimitSettings, Timing
from chappe.workers.rereads import POLL_S, Rereads
from tests.contracts import samples
from tests.contracts.bus import until, world


def connected(hub: Hub) -> Connection:
    connection = Connection(1, "127.0.0.1", bytes(32), LimitSettings(), Timing())
    device = Device(DeviceId(samples.new_id()), UserId(samples.new_id()), bytes(32), "laptop", 0)
    hub.add(connection)
    connection.sign_in(device, FIRST_ID, 256, {})
    hub.enter(connection, device.user, device.device)
    return connection


async def test_stale_once_and_polled_while_the_bus_is_down(tmp_path: Path, autojump_clock: MockClock) -> None:
    hub, doubts = Hub(), list[None]()
    async with world(None, tmp_path) as place, trio.open_nursery() as nursery:
        [gateway] = await place.gateways(1)
        connection = connected(hub)
        work = Rereads(hub, gateway.bus, lambda: doubts.append(None), is_sole=True)
        nursery.start_soon(work.run)
        await trio.sleep(5 * POLL_S)
        assert connection.lost is None
        work.everybody()
        await until(lambda: connection.lost == FIRST_ID)
        assert not doubts
        connection.lost = None
        await place.stop()
        await gateway.bus.until_down()
        for _ in range(3):
            await until(lambda: connection.lost == FIRST_ID)
            connection.lost = None
        assert doubts
        nursery.cancel_scope.cancel()
