"""Connecting: TCP, TLS and the WebSocket's opening, under one deadline.

trio-websocket's own `open_websocket_url` is not used: when the server goes away during the opening it waits for its
whole time-out, and a socket that the server closed first is left to the garbage collector (0.12.2). Here the stream
is ours, so both are seen to.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import SplitResult, urlsplit

import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

from ..protocol.frames import MAX_MESSAGE_BYTES, SUBPROTOCOL
from .errors import Unreachable
from .wire import CLOSE_S, Wire

CONNECT_S: Final = 15.0


class _Watched(trio.abc.Stream):
    """A stream that tells when there is nothing more to read."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self.ended = trio.Event()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data: bytes | bytearray = b""
        try:
            data = await self._stream.receive_some(max_bytes)
        finally:
            if not data:
                self.ended.set()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


@asynccontextmanager
async def dial(server: str, ssl_context: ssl.SSLContext | None) -> AsyncIterator[Wire]:
    """Open a connection, and close it when left. What the block raises comes out as it is.

    Raises: `Unreachable`.
    """
    address = _parsed(server)
    failure: Exception | None = None
    stream = _Watched(await _connected(address, ssl_context))
    try:
        async with trio.open_nursery() as nursery:
            socket = await _opened(nursery, stream, address)
            if socket is None:
                failure = Unreachable(f"The server at {server} ended the connection at once; try again.")
            else:
                try:
                    yield Wire(socket)
                except Exception as error:  # noqa: BLE001 - raised again below, outside of the nursery's group
                    failure = error
                with trio.move_on_after(CLOSE_S):
                    await socket.aclose()
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # The block's own errors are kept out of the group, so what is left comes from trio-websocket's reader: the
        # opening was refused, or the other side sent what its parsers trip over (h11 raises a LocalProtocolError).
        if group.split(Exception)[1] is not None:
            raise
        raise Unreachable(f"What answers at {server} is no Chappe server; check the address.") from group
    finally:
        await trio.aclose_forcefully(stream)
    if failure is not None:
        raise failure


def _parsed(server: str) -> SplitResult:
    try:
        address = urlsplit(server)
        if address.scheme in {"ws", "wss"} and address.hostname and address.port != 0:
            return address
    except ValueError:
        pass  # a port that is no port
    raise Unreachable(f"{server} is no server address; write ws://host:port or wss://host:port.")


async def _connected(address: SplitResult, ssl_context: ssl.SSLContext | None) -> trio.abc.Stream:
    """Connect, with TLS for wss. Raises: `Unreachable`."""
    host = address.hostname or ""
    try:
        with trio.fail_after(CONNECT_S):
            if address.scheme == "ws":
                return await trio.open_tcp_stream(host, address.port or 80)
            stream = await trio.open_ssl_over_tcp_stream(
                host, address.port or 443, https_compatible=True, ssl_context=ssl_context
            )
            try:
                await stream.do_handshake()
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
            return stream
    except trio.TooSlowError as error:
        raise Unreachable(f"The server at {address.netloc} does not answer; try again later.") from error
    except trio.BrokenResourceError as error:
        why = str(error.__cause__ or "the connection broke").rstrip(".")
        raise Unreachable(f"No secure connection to {address.netloc}: {why}.") from error
    except OSError as error:
        why = error.strerror or str(error).rstrip(".")
        raise Unreachable(f"The server at {address.netloc} cannot be reached: {why}.") from error


async def _opened(
    nursery: trio.Nursery, stream: _Watched, address: SplitResult
) -> WebSocketConnection | None:
    """Do the WebSocket's opening; return None when the server ended it or took too long."""
    with trio.move_on_after(CONNECT_S) as opening:
        nursery.start_soon(_cancel_when_ended, stream, opening)
        return await wrap_client_stream(
            nursery,
            stream,  # type: ignore[arg-type]  # it asks for a socket's and needs no more than any stream has
            address.netloc,
            (address.path or "/") + (f"?{address.query}" if address.query else ""),
            subprotocols=[SUBPROTOCOL],
            max_message_size=MAX_MESSAGE_BYTES,
        )
    return None


async def _cancel_when_ended(stream: _Watched, opening: trio.CancelScope) -> None:
    await stream.ended.wait()
    opening.cancel()
