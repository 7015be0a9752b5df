"""Connections that never get as far as a WebSocket: they hold nothing once they are gone, and delay no stop."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from chappe.app import open_node
from chappe.node import Node

from .raw import running_node, settings

HALF_A_REQUEST = b"GET / HTTP/1.1\r\nHost: chappe\r\n"


async def _knock(node: Node, data: bytes) -> trio.SocketStream:
    stream = await trio.open_tcp_stream("127.0.0.1", node.gateway_port)
    await stream.send_all(data)
    with trio.fail_after(30):
        while not len(node.hub):  # noqa: ASYNC110 (the hub tells of its emptiness only)
            await trio.sleep(0.01)
    return stream


@pytest.mark.parametrize("data", [b"", HALF_A_REQUEST], ids=["nothing", "half a request"])
async def test_a_client_that_leaves_before_it_asked_for_anything_is_forgotten_at_once(
    tmp_path: Path, data: bytes
) -> None:
    config = settings(tmp_path / "data", timing={"hello_s": 3600})
    async with running_node(config) as node:
        await (await _knock(node, data)).aclose()
        with trio.fail_after(30):
            await node.hub.emptied()


@pytest.mark.parametrize("data", [b"", HALF_A_REQUEST], ids=["nothing", "half a request"])
async def test_a_silent_client_does_not_delay_a_stop(tmp_path: Path, data: bytes) -> None:
    config = settings(tmp_path / "data", timing={"hello_s": 3600, "drain_s": 3600})
    async with open_node(config) as node, trio.open_nursery() as nursery:
        await nursery.start(node.supervisor.run)
        stream = await _knock(node, data)
        with trio.fail_after(30):
            await node.supervisor.stop()
        await trio.aclose_forcefully(stream)


async def test_who_knocks_at_a_stopping_node_hears_it_at_once(tmp_path: Path) -> None:
    async with open_node(settings(tmp_path / "data")) as node, trio.open_nursery() as nursery:
        await nursery.start(node.supervisor.run)
        await node.supervisor.stop()
        with pytest.raises(OSError, match="all attempts"):
            await trio.open_tcp_stream("127.0.0.1", node.gateway_port)
