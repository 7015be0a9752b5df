"""One connection's words: whose fault its end was is told alike to whoever reads and whoever writes."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked
from trio_websocket import wrap_client_stream, wrap_server_stream

from chappe.client.errors import Unreachable
from chappe.client.wire import Wire
from chappe.protocol.frames import SUBPROTOCOL


async def test_who_writes_during_the_goodbye_hears_of_the_breach(autojump_clock: MockClock) -> None:
    ours, theirs = memory_stream_pair()

    async def serve() -> None:
        async with trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, theirs)
            socket = await request.accept(subprotocol=SUBPROTOCOL)
            await socket.send_message(b"nonsense")
            nursery.cancel_scope.cancel()  # nobody answers the goodbye

    async def read(wire: Wire) -> None:
        with pytest.raises(Unreachable, match="The server broke the protocol"):
            await wire.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        wire = Wire(await wrap_client_stream(nursery, ours, "server", "/", subprotocols=[SUBPROTOCOL]))
        async with trio.open_nursery() as reading:
            reading.start_soon(read, wire)
            await wait_all_tasks_blocked()
            with pytest.raises(Unreachable, match="The server broke the protocol"):
                await wire.send_bytes(b"\x90")
        nursery.cancel_scope.cancel()
