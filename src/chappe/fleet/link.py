"""The worker's end of the link to its parent: a pair of connected sockets, of which the worker's is its standard input.

The parent sends one line, what the worker is to do, and from then on only holds its end open: when that is gone, so is
the parent, and the worker stops by itself. The worker sends lines: `ready` with the port of its operators' endpoints,
once, and `beat` every second, from the loop that serves its clients, so that one which hangs falls silent.
`worker.py` is the other end.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

import structlog
import trio

BEAT_S: Final = 1.0
"""How often a worker shows that its loop runs. Settings allow no less than five of these for silence."""

READY: Final = b"ready"
BEAT: Final = b"beat"

log = structlog.get_logger("worker")


def read_order(link: socket.socket) -> bytes:
    """Return the parent's line. Blocks; empty or cut off when the parent is gone."""
    order = bytearray()
    while not order.endswith(b"\n") and (more := link.recv(65536)):
        order += more
    return bytes(order)


class Link:
    """To the parent, over a connected socket. Make one inside trio."""

    def __init__(self, link: socket.socket) -> None:
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(link))
        self._sending = trio.Lock()

    async def ready(self, http_port: int) -> None:
        """Tell that this worker listens and serves."""
        await self._tell(b"%b %d" % (READY, http_port))

    async def run(self, parent_gone: Callable[[], object]) -> None:
        """Beat until the parent is gone, then call `parent_gone` and return."""
        while True:
            await self._tell(BEAT)
            with trio.move_on_after(BEAT_S):
                if await self._has_ended():
                    break
        log.warning("parent_gone")
        parent_gone()

    async def _tell(self, line: bytes) -> None:
        try:
            async with self._sending:
                await self._stream.send_all(line + b"\n")
        except trio.BrokenResourceError:
            pass  # `run` reads the same news from the other direction

    async def _has_ended(self) -> bool:
        try:
            return not await self._stream.receive_some()
        except trio.BrokenResourceError:
            return True
