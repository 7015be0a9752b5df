"""Toxiproxy does to a connection what the faults promise, and undoes it; certificates expire."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import trio

from chaos.stack.certificates import Certificates
from chaos.stack.toxiproxy import Proxy, Toxiproxy
from deploy.services import Unavailable

PATIENCE_S = 30.0


async def echo(stream: trio.abc.Stream) -> None:
    async for chunk in stream:
        await stream.send_all(chunk)


@asynccontextmanager
async def proxied(folder: Path) -> AsyncIterator[Proxy]:
    """Lend a proxy before a server that sends everything back."""
    toxiproxy = Toxiproxy(folder)
    try:
        toxiproxy.check()
    except Unavailable as lacking:
        pytest.skip(str(lacking))
    toxiproxy.launch()
    try:
        toxiproxy.wait_ready()
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(partial(trio.serve_tcp, echo, 0, host="127.0.0.1"))
            yield toxiproxy.proxy("echo", listener.socket.getsockname()[1])
            nursery.cancel_scope.cancel()
    finally:
        toxiproxy.servers[0].kill()


async def asked(stream: trio.abc.Stream) -> float:
    """Return how long a word takes there and back."""
    began = trio.current_time()
    await stream.send_all(b"x")
    assert await stream.receive_some(1) == b"x"
    return trio.current_time() - began


@pytest.mark.system
async def test_a_slow_line_takes_longer_and_is_as_before_afterwards(tmp_path: Path) -> None:
    async with proxied(tmp_path) as proxy, await trio.open_tcp_stream("127.0.0.1", proxy.port) as stream:
        await asked(stream)
        async with (
            proxy.toxic("latency", "downstream", latency=300),
            proxy.toxic("latency", "upstream", latency=300),
        ):
            assert await asked(stream) >= 0.6
        await asked(stream)


@pytest.mark.system
async def test_a_deaf_line_takes_everything_and_closes_only_at_the_end(tmp_path: Path) -> None:
    async with proxied(tmp_path) as proxy, await trio.open_tcp_stream("127.0.0.1", proxy.port) as stream:
        await asked(stream)
        async with proxy.toxic("timeout", "downstream", timeout=0):
            await stream.send_all(b"y")
            with trio.move_on_after(0.5) as scope:
                await stream.receive_some(1)
            assert scope.cancelled_caught
        with trio.fail_after(PATIENCE_S), suppress(trio.BrokenResourceError):
            assert await stream.receive_some(1) == b""


@pytest.mark.system
async def test_a_line_that_is_cut_closes_and_takes_nobody(tmp_path: Path) -> None:
    async with proxied(tmp_path) as proxy:
        async with await trio.open_tcp_stream("127.0.0.1", proxy.port) as stream:
            await asked(stream)
            async with proxy.cut():
                with trio.fail_after(PATIENCE_S):
                    with suppress(trio.BrokenResourceError):
                        assert await stream.receive_some(1) == b""
                with pytest.raises(OSError, match="all attempts to connect"):
                    await trio.open_tcp_stream("127.0.0.1", proxy.port)
        async with await trio.open_tcp_stream("127.0.0.1", proxy.port) as stream:
            await asked(stream)


@pytest.mark.parametrize("is_valid", [True, False])
async def test_a_certificate_lasts_as_long_as_it_should(tmp_path: Path, *, is_valid: bool) -> None:
    certificates = Certificates(tmp_path)
    if not is_valid:
        certificates.issue(timedelta(seconds=-1))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificates.certificate, certificates.key)
    client = ssl.create_default_context(cafile=certificates.environment["SSL_CERT_FILE"])
    ours, theirs = trio.testing.memory_stream_pair()
    here = trio.SSLStream(ours, client, server_hostname="127.0.0.1")
    there = trio.SSLStream(theirs, server, server_side=True)
    complaints = []

    async def shake(stream: trio.SSLStream[trio.abc.Stream]) -> None:
        try:
            await stream.do_handshake()
        except trio.BrokenResourceError as error:
            complaints.append(str(error.__cause__))
            await trio.aclose_forcefully(stream)  # else the other side waits for the rest of the handshake

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shake, here)
            nursery.start_soon(shake, there)
    assert any("certificate has expired" in one for one in complaints) == (not is_valid)
    assert bool(complaints) == (not is_valid)
