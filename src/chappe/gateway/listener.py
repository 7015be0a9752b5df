"""Where connections come in: sockets that outlive the tasks accepting on them, and what is refused before any work.

One permanent child per socket accepts; a connection that passes the limits becomes a temporary child of the pool of
connections. What is refused here is closed without a word, because a WebSocket handshake is already work.
"""

from __future__ import annotations

import errno
import secrets
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from supervisors import ChildSpec, DynamicSupervisor, NotRunning, Restart, TooManyChildren, child

from ..metrics import Metrics
from ..protocol.buckets import LeakyBucket
from ..settings import Settings
from .connection import Connection
from .hub import Hub
from .serve import Handlers, serve
from .stream import DirectStream

OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
OUT_OF_FILES_S = 0.1


@dataclass(frozen=True, slots=True)
class Door:
    """Where admitted connections go. `pool` is asked each time, because its supervisor may have restarted it."""

    pool: Callable[[], DynamicSupervisor]
    hub: Hub
    handlers: Handlers
    metrics: Metrics


class Listener:
    """Accepts connections within the limits: in all, per second, and per address while they have not signed in."""

    def __init__(self, settings: Settings, tls: ssl.SSLContext | None, door: Door) -> None:
        self._settings = settings
        self._tls = tls
        self._door = door
        self._bucket = LeakyBucket(settings.limits.accept_burst, settings.limits.accept_per_s)
        self._strangers: Counter[str] = Counter()
        self._numbers = 0

    def specs(self, sockets: Sequence[trio.SocketListener]) -> list[ChildSpec]:
        """Return one child per socket."""
        return [
            child(self._accept, socket, id=f"accept-{i}", restart=Restart.PERMANENT)
            for i, socket in enumerate(sockets)
        ]

    def admitted(self, connection: Connection) -> None:
        """Count a connection as no stranger any more: it has signed in."""
        self._forget_stranger(connection.address)

    async def _accept(self, socket: trio.SocketListener) -> None:
        while True:
            wait_s = self._bucket.take(trio.current_time())
            if wait_s:
                await trio.sleep(wait_s)  # the backlog waits in the kernel
                continue
            try:
                stream = await socket.accept()
            except OSError as error:
                if error.errno not in OUT_OF_FILES:
                    raise
                self._door.metrics.rejected.labels("files").inc()
                await trio.sleep(OUT_OF_FILES_S)
                continue
            await self._admit(stream)

    async def _admit(self, stream: trio.SocketStream) -> None:
        door, limits = self._door, self._settings.limits
        try:
            address = str(stream.socket.getpeername()[0])
        except OSError:
            await trio.aclose_forcefully(stream)  # it left before it was let in
            return
        if self._strangers[address] >= limits.preauth_per_address:
            door.metrics.rejected.labels("address").inc()
            await trio.aclose_forcefully(stream)
            return
        self._numbers += 1
        connection = Connection(
            self._numbers, address, secrets.token_bytes(32), limits, self._settings.timing
        )
        self._strangers[address] += 1
        door.hub.add(connection)
        try:
            door.pool().start_child_nowait(
                child(self._serve, connection, stream, id=str(connection.id), restart=Restart.TEMPORARY)
            )
        except (TooManyChildren, NotRunning):
            door.metrics.rejected.labels("full").inc()
            self._ended(connection)
            await trio.aclose_forcefully(stream)
        else:
            door.metrics.accepted.inc()

    async def _serve(self, connection: Connection, socket: trio.SocketStream) -> None:
        stream: trio.abc.Stream = DirectStream(socket, connection.socket_full)
        if self._tls is not None:
            stream = trio.SSLStream(stream, self._tls, server_side=True)
        try:
            code = await serve(connection, stream, self._settings.gateway.name, self._door.handlers)
            self._door.metrics.closed(code)
        finally:
            self._ended(connection)

    def _ended(self, connection: Connection) -> None:
        self._door.hub.leave(connection)
        if connection.user is None:
            self._forget_stranger(connection.address)
        self._door.handlers.left(connection)

    def _forget_stranger(self, address: str) -> None:
        self._strangers[address] -= 1
        if not self._strangers[address]:
            del self._strangers[address]
