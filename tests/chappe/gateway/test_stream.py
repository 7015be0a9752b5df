"""The stream under every connection: all bytes in order through full buffers, and each way of ending told apart."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest
import trio

from chappe.gateway.stream import DirectStream

MANY = bytes(range(256)) * 20_000  # five megabytes: far more than the buffers hold


@pytest.fixture
async def ends() -> AsyncIterator[tuple[DirectStream, trio.SocketStream]]:
    """A connected pair: ours, and the other end."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        other = await trio.open_tcp_stream(*listener.socket.getsockname())
        ours = DirectStream(await listener.accept())
    async with ours, other:
        yield ours, other


async def test_everything_arrives_in_order_though_the_buffers_are_full(
    ends: tuple[DirectStream, trio.SocketStream], nursery: trio.Nursery
) -> None:
    ours, other = ends
    nursery.start_soon(ours.send_all, MANY)
    await trio.testing.wait_all_tasks_blocked(0.01)
    got = bytearray()
    while len(got) < len(MANY):
        got += await other.receive_some()
    assert got == MANY


async def test_a_full_buffer_can_be_waited_for(
    ends: tuple[DirectStream, trio.SocketStream], nursery: trio.Nursery
) -> None:
    ours, other = ends
    await ours.wait_send_all_might_not_block()
    with trio.move_on_after(0.1) as scope:
        await ours.send_all(MANY)
    assert scope.cancelled_caught
    nursery.start_soon(ours.wait_send_all_might_not_block)
    with trio.move_on_after(0.5):
        while await other.receive_some():
            pass


async def test_it_reads_what_comes_and_then_the_end(ends: tuple[DirectStream, trio.SocketStream]) -> None:
    ours, other = ends
    await other.send_all(b"hello")
    assert await ours.receive_some(2) == b"he"
    assert await ours.receive_some() == b"llo"
    await other.send_eof()
    assert await ours.receive_some() == b""


async def test_a_peer_that_hung_up_breaks_both_ways(ends: tuple[DirectStream, trio.SocketStream]) -> None:
    ours, other = ends
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # closing resets
    await other.aclose()
    with pytest.raises(trio.BrokenResourceError):
        await ours.receive_some()
    with pytest.raises(trio.BrokenResourceError):
        await ours.send_all(b"anybody?")


async def test_after_closing_it_touches_no_other_socket(
    ends: tuple[DirectStream, trio.SocketStream], nursery: trio.Nursery
) -> None:
    ours, _ = ends

    async def read() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await ours.receive_some()

    nursery.start_soon(read)
    await trio.testing.wait_all_tasks_blocked()
    await ours.aclose()
    left, right = socket.socketpair()  # most likely with the number that ours had
    with left, right, pytest.raises(trio.ClosedResourceError):
        await ours.send_all(b"not for you")
