"""The supervised child behind every connection: handshake, then reader, writer and delivery pump.

The listener starts `serve` in the pool of connections. Its own task becomes the supervisor of the three: the reader
takes frames in, the writer alone writes to the socket, the pump (once signed in) moves the inbox to the outbox. A
pump that crashes is restarted with backoff and the socket survives; past its intensity the connection closes with
"overloaded" and the client resumes from its cursor. When reader or writer end, so does the connection.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio
import trio_websocket
from trio_websocket import WebSocketConnection, WebSocketRequest

from supervisors import (
    AutoShutdown,
    Backoff,
    ChildSpec,
    GaveUp,
    Restart,
    Supervisor,
    child,
    cleanup_scope,
)

from ..protocol.codes import CloseCode, ProtocolError
from ..protocol.frames import MAX_MESSAGE_BYTES, SUBPROTOCOL, VERSION, Challenge, Frame
from .connection import Connection
from .stream import RECEIVE_BYTES
from .times import Accepted

GOODBYE_S = 1.0
# The library closes with 1009 what is past its own limit; above ours, so that most hear our 4413.
LIBRARY_MESSAGE_BYTES = 2 * MAX_MESSAGE_BYTES
PUMP_BACKOFF = Backoff(first_s=0.1, factor=2.0, most_s=5.0, jitter=0.5)
PUMP_CRASHES = 5
PUMP_PERIOD_S = 30.0


@dataclass(frozen=True, slots=True)
class Handlers:
    """What a connection calls: `frames` for every message, `pump` as its third task, `left` once when it is over, and
    `written` after each write with what of it is to be timed.
    """

    frames: Callable[[Connection, list[Frame]], Awaitable[None]]
    pump: Callable[[Connection], Awaitable[None]]
    left: Callable[[Connection], None]
    written: Callable[[Connection, list[Accepted]], None]


async def serve(connection: Connection, stream: trio.abc.Stream, server: str, handlers: Handlers) -> int:
    """Run one connection until it ends, and return its close code; closes the stream whatever happens."""
    code = int(CloseCode.GOING_AWAY)
    try:
        with connection.scope:
            async with trio.open_nursery() as nursery:
                # Of the library's own reader alone, which asks for a nursery before there is a request to answer. It
                # lives and dies with this child: a child of its own would restart nothing and cost a task more.
                try:
                    code = await _converse(nursery, connection, stream, server, handlers)
                finally:
                    nursery.cancel_scope.cancel()
    finally:
        connection.session.close()
        await trio.aclose_forcefully(stream)
    return int(connection.closing[0]) if connection.closing else code


async def _converse(
    nursery: trio.Nursery,
    connection: Connection,
    stream: trio.abc.Stream,
    server: str,
    handlers: Handlers,
) -> int:
    request = await _opening(nursery, stream)
    if request is None:
        return CloseCode.GOING_AWAY
    if SUBPROTOCOL not in request.proposed_subprotocols:
        await request.reject(400, body=f"Ask for the subprotocol {SUBPROTOCOL}.\n".encode())
        return CloseCode.BAD_FRAME
    ws = await request.accept(subprotocol=SUBPROTOCOL)
    connection.post(Challenge(connection.nonce, server, [VERSION]))
    supervisor = Supervisor(
        [
            child(_write, connection, ws, handlers, id="writer", restart=Restart.TEMPORARY, significant=True),
            child(_read, connection, ws, handlers, id="reader", restart=Restart.TEMPORARY, significant=True),
        ],
        name="session",
        intensity=PUMP_CRASHES,
        period_s=PUMP_PERIOD_S,
        auto_shutdown=AutoShutdown.ANY_SIGNIFICANT,
    )
    connection.start_pump = lambda: supervisor.start_child(pump_spec(connection, handlers))
    goodbye = (CloseCode.GOING_AWAY, "The server is stopping.")
    try:
        await supervisor.run()
        goodbye = (CloseCode.INTERNAL, "Something broke here; reconnect and resume.")
    except GaveUp:
        goodbye = (CloseCode.OVERLOADED, "Delivery failed again and again; reconnect and resume.")
    finally:
        left = ws.closed
        with cleanup_scope() as scope:
            scope.deadline = trio.current_time() + GOODBYE_S
            await ws.aclose(*(connection.closing or goodbye))
    return left.code if left else goodbye[0]


async def _opening(nursery: trio.Nursery, stream: trio.abc.Stream) -> WebSocketRequest | None:
    """Return the client's request, or None when it left before it made one.

    The library (0.12.2) does not notice that: it would hold socket and place until the time for HELLO is over.
    """
    with trio.CancelScope() as opening:
        return await trio_websocket.wrap_server_stream(
            _Endings(nursery, opening),  # type: ignore[arg-type] # it is asked for `start_soon` only
            stream,
            max_message_size=LIBRARY_MESSAGE_BYTES,
            receive_buffer_size=RECEIVE_BYTES,
        )
    return None


@dataclass(frozen=True, slots=True)
class _Endings:
    """A nursery whose task, the library's reader, cancels the opening when it ends. Later that cancels nothing."""

    nursery: trio.Nursery
    opening: trio.CancelScope

    def start_soon(self, reader: Callable[[], Awaitable[None]]) -> None:
        self.nursery.start_soon(self._run, reader)

    async def _run(self, reader: Callable[[], Awaitable[None]]) -> None:
        await reader()
        self.opening.cancel()


def pump_spec(connection: Connection, handlers: Handlers) -> ChildSpec:
    """Return the spec of the delivery pump, which starts when the device has signed in."""
    return child(handlers.pump, connection, id="pump", restart=Restart.PERMANENT, backoff=PUMP_BACKOFF)


async def _read(connection: Connection, ws: WebSocketConnection, handlers: Handlers) -> None:
    """Take in messages until the client leaves or breaks the protocol.

    Handling is awaited and so is room for the answers: a client that floods is held back by TCP.
    """
    try:
        while connection.closing is None:
            data = await ws.get_message()
            connection.heartbeat.heard(trio.current_time())
            if isinstance(data, str):
                raise ProtocolError(CloseCode.BAD_FRAME, "Text message; frames are binary.")
            await handlers.frames(connection, connection.session.receive(data))
            await connection.until_room()
    except ProtocolError as error:
        connection.close(error.close, error.message)
    except trio_websocket.ConnectionClosed:
        connection.session.close()
    if connection.closing is not None:
        await trio.sleep_forever()  # the writer ends the connection, after what still waits


async def _write(connection: Connection, ws: WebSocketConnection, handlers: Handlers) -> None:
    """Write what waits, everything in one message, until the connection closes."""
    outbox = connection.outbox
    try:
        while True:
            await connection.writer_wakeup.wait()
            while (message := outbox.take()) is not None:
                events = connection.times.take_unwritten()
                await ws.send_message(message)
                handlers.written(connection, events)
            connection.reader_wakeup.set()
            if connection.closing is not None:
                return
    except trio_websocket.ConnectionClosed:
        connection.session.close()
