"""Rate limits go with a device from one gateway to the next; with the bus down each gateway counts for itself."""

from __future__ import annotations

from pathlib import Path

import trio

from chappe.gateway.connection import Buckets
from chappe.ids import DeviceId
from chappe.protocol.buckets import LeakyBucket
from chappe.settings import LimitSettings
from chappe.workers.shared_limits import SharedLimits
from tests.contracts import samples
from tests.contracts.bus import world


def spent(amount: float) -> Buckets:
    bucket = LeakyBucket(60, 0.001)
    assert not bucket.take(trio.current_time(), amount)
    return {"messages": bucket}


async def test_what_was_spent_at_one_gateway_is_known_at_the_next(tmp_path: Path) -> None:
    device, other = DeviceId(samples.new_id()), DeviceId(samples.new_id())
    async with world(None, tmp_path) as place, trio.open_nursery() as nursery:
        here, there = [
            SharedLimits(gateway.bus, LimitSettings(), lambda: 0) for gateway in await place.gateways(2)
        ]
        nursery.start_soon(here.run)
        here.save_nowait(device, spent(50))
        here.save_nowait(other, spent(1))  # as good as nothing
        found: Buckets = {}
        with trio.fail_after(30):
            while not found:
                await there.load(device, found)
        assert 49 < found["messages"].level(trio.current_time()) <= 50
        assert found["messages"].take(trio.current_time(), 20)
        fuller = spent(55)
        await there.load(device, fuller)
        assert fuller["messages"].level(trio.current_time()) > 54
        none: Buckets = {}
        await there.load(other, none)
        assert none == {}
        nursery.cancel_scope.cancel()


async def test_without_a_bus_nothing_is_shared_and_nothing_fails(tmp_path: Path) -> None:
    device = DeviceId(samples.new_id())
    async with world(None, tmp_path) as place:
        here, _ = await place.gateways(2)
        limits = SharedLimits(here.bus, LimitSettings(), lambda: 0)
        await place.stop()
        await here.bus.until_down()
        found: Buckets = {}
        await limits.load(device, found)
        assert found == {}
