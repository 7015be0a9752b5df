"""A TCP stream that goes straight to the socket: the cheap path under every connection.

trio's own `SocketStream` gives up the processor once for each write that needed no waiting, and tries each read before
it waits for data; under a WebSocket library that takes a lock around every write that was a fifth of the event loop's
time. Here a write that fits into the kernel's buffer is one system call, a read waits first and then reads. What is
rare (a full buffer, closing) is left to trio's stream. The listener makes one per connection; TLS goes on top of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import trio

RECEIVE_BYTES = 32 * 1024


class DirectStream(trio.abc.Stream):
    """A connected TCP socket. `send_all` may return without a checkpoint; `receive_some` always has one. `on_full`
    hears of every write that finds no room in the kernel's buffer.
    """

    __slots__ = ("_inner", "_on_full", "_socket")

    def __init__(self, inner: trio.SocketStream, on_full: Callable[[], None] = lambda: None) -> None:
        self._inner = inner
        self._socket = inner.socket
        self._on_full = on_full

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send it all. Raises: as `trio.abc.SendStream`; cancelled, a part of it may have been sent."""
        sent = 0
        try:
            # The number is asked for each time: a closed socket has none, and another may have got it.
            sent = os.write(self._fileno(), data)
        except BlockingIOError:
            pass
        except OSError as error:
            raise trio.BrokenResourceError("The peer has closed the connection.") from error
        if sent < len(data):
            self._on_full()
            await self._inner.send_all(memoryview(data)[sent:])

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until a write may go through."""
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return what came, at the end nothing. Raises: as `trio.abc.ReceiveStream`."""
        while True:
            await trio.lowlevel.wait_readable(self._fileno())
            try:
                return os.read(self._fileno(), max_bytes or RECEIVE_BYTES)
            except BlockingIOError:
                continue  # woken for nothing
            except OSError as error:
                raise trio.BrokenResourceError("The connection was lost.") from error

    async def aclose(self) -> None:
        """Close the socket."""
        await self._inner.aclose()

    def _fileno(self) -> int:
        number = self._socket.fileno()
        if number < 0:
            raise trio.ClosedResourceError("This side has closed the connection.")
        return number
