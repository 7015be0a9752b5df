"""Connecting: whatever answers, or does not, becomes one clear error; TLS is checked."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
import trustme
from trio_websocket import ConnectionClosed, WebSocketRequest, WebSocketServer, serve_websocket

from chappe.client.dial import dial
from chappe.client.errors import Refused, Unreachable
from chappe.protocol.codes import CloseCode

Handler = Callable[[trio.SocketStream], Awaitable[None]]


async def close_at_once(stream: trio.SocketStream) -> None:
    await stream.aclose()


async def reset(stream: trio.SocketStream) -> None:
    await stream.receive_some()
    stream.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER of 0 s: closing sends a reset
    await stream.aclose()


async def answer_http(stream: trio.SocketStream) -> None:
    await stream.receive_some()
    await stream.send_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")
    await stream.aclose()


async def answer_nonsense(stream: trio.SocketStream) -> None:
    await stream.receive_some()
    await stream.send_all(b"\0\xff220 smtp.example ready\r\n")
    await stream.aclose()


@pytest.mark.parametrize("handler", [close_at_once, reset, answer_http, answer_nonsense])
async def test_something_else_answers(handler: Handler, nursery: trio.Nursery) -> None:
    serve = partial(trio.serve_tcp, handler, 0, host="127.0.0.1")
    [listener] = await nursery.start(serve)
    port = listener.socket.getsockname()[1]
    with trio.fail_after(10), pytest.raises(Unreachable):
        async with dial(f"ws://127.0.0.1:{port}", None):
            raise AssertionError("nothing there is a server")


async def test_the_blocks_own_error_comes_out_as_it_is(nursery: trio.Nursery) -> None:
    async def accept(request: WebSocketRequest) -> None:
        socket = await request.accept()
        with pytest.raises(ConnectionClosed):
            await socket.get_message()

    server = await nursery.start(serve_websocket, accept, "127.0.0.1", 0, None)
    with pytest.raises(ZeroDivisionError):
        async with dial(f"ws://127.0.0.1:{server.port}", None):
            raise ZeroDivisionError


@pytest.mark.parametrize(
    ("code", "kind"), [(CloseCode.FORBIDDEN, Refused), (CloseCode.OVERLOADED, Unreachable)]
)
async def test_close_codes_are_errors(code: CloseCode, kind: type[Exception], nursery: trio.Nursery) -> None:
    async def refuse(request: WebSocketRequest) -> None:
        socket = await request.accept()
        await socket.aclose(code, "because")

    server = await nursery.start(serve_websocket, refuse, "127.0.0.1", 0, None)
    with pytest.raises(kind):
        async with dial(f"ws://127.0.0.1:{server.port}", None) as wire:
            await wire.receive()


async def test_tls_is_checked(nursery: trio.Nursery) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server_side)

    async def accept(request: WebSocketRequest) -> None:
        socket = await request.accept()
        await socket.send_message(b"hello")
        await socket.aclose()

    listeners = await trio.open_ssl_over_tcp_listeners(0, server_side, host="127.0.0.1")
    port = listeners[0].transport_listener.socket.getsockname()[1]

    def checked(ca: trustme.CA) -> ssl.SSLContext:
        context = ssl.create_default_context()
        ca.configure_trust(context)
        return context

    nursery.start_soon(WebSocketServer(accept, listeners).run)
    async with dial(f"wss://localhost:{port}", checked(authority)) as wire:
        assert wire is not None
    with pytest.raises(Unreachable, match="certificate"):
        async with dial(f"wss://localhost:{port}", checked(stranger)):
            raise AssertionError("a stranger's certificate must not do")
