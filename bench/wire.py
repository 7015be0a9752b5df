"""One device's connection, as the SDK would hold it: signs in, sends, acknowledges, reports what was
delivered.

`accounts`, `traffic` and `idle` use it. Whatever waits when the event loop comes round goes out as one
WebSocket message; every message received is answered by one ACK and one RECEIPT per conversation. Unlike
the SDK it encrypts nothing and never reconnects: a connection that ends unasked ends the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter, time
from typing import Any, TypeVar

import msgspec
from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from chappe.ids import ConversationId, DeviceId, MessageId
from chappe.protocol.frames import (
    SUBPROTOCOL,
    VERSION,
    Ack,
    Call,
    Challenge,
    Drained,
    Error,
    Event,
    Frame,
    GoAway,
    Hello,
    Ping,
    Pong,
    Receipt,
    Register,
    Result,
    Sent,
    Verify,
    Welcome,
    hello_transcript,
)

from .errors import BenchError

ANSWER_S = 60.0
"""Longer than a server under full load may take for anything; reaching it ends the run."""

Value = TypeVar("Value")
Sign = Callable[[bytes], bytes]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Frame]).decode


class Connection(WSListener):
    """A device's WebSocket. `on_sent` and `on_event` get the frame and when it came (`perf_counter`, s)."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._transport: WSTransport | None = None
        self._outgoing: list[Frame] = []
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._challenge: asyncio.Future[Challenge] = loop.create_future()
        self._welcome: asyncio.Future[Welcome] = loop.create_future()
        self._drained: asyncio.Future[None] = loop.create_future()
        self.failed: asyncio.Future[None] = loop.create_future()
        self._is_closing = False
        self._heard = 0
        self._pings = 0
        self._pongs = 0
        self.on_sent: Callable[[Sent, float], None] = _unexpected
        self.on_event: Callable[[Event, float], None] = _unexpected
        self.peer_delivered: dict[ConversationId, MessageId] = {}

    @classmethod
    async def open(cls, url: str) -> Connection:
        """Connect and wait for the server's challenge."""
        connection = cls()
        try:
            await ws_connect(
                lambda: connection,
                url,
                extra_headers={"Sec-WebSocket-Protocol": SUBPROTOCOL},
                websocket_handshake_timeout=ANSWER_S,
            )
        except (OSError, WSError) as error:
            raise BenchError(f"The server did not take a connection: {error}.") from error
        await _answer(connection._challenge)
        return connection

    async def sign_in(self, device: DeviceId, sign: Sign) -> Welcome:
        """Answer the challenge and wait until the offline queue is empty."""
        challenge = await self._challenge
        transcript = hello_transcript(challenge.nonce, challenge.server, VERSION)
        self.send(Hello(VERSION, device, sign(transcript)))
        welcome = await _answer(self._welcome)
        await _answer(self._drained)
        return welcome

    async def call(self, name: str, args: msgspec.Struct, answer: type[Value]) -> Value:
        """Make one of the calls of `chappe.protocol.calls`."""
        rid = self.next_rid()
        value = await self.request(Call(rid, name, msgspec.Raw(_encode(args))))
        return msgspec.msgpack.decode(value, type=answer)

    async def request(self, frame: Call | Register | Verify) -> bytes:
        """Send a request and return the msgpack bytes of its result."""
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting[frame.rid] = answer
        self.send(frame)
        return await _answer(answer)

    def next_rid(self) -> int:
        """Return a number for the next request."""
        return len(self._waiting) + 1

    def send(self, frame: Frame) -> None:
        """Queue a frame; it leaves with everything else that was queued in this round of the loop."""
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(frame)

    def ping(self) -> None:
        """Send the heartbeat; the answer to the one before must have come."""
        if self._pongs != self._pings:
            self._fail("the server did not answer a PING until the next was due")
            return
        self._pings += 1
        self.send(Ping(self._pings, round(time() * 1000)))

    async def close(self) -> None:
        """End the connection, waiting until it is gone."""
        self._is_closing = True
        if self._transport is not None:
            self._transport.send_close()
            self._transport.disconnect()
            await self._transport.wait_disconnected()

    def _flush(self) -> None:
        frames, self._outgoing = self._outgoing, []
        if self._transport is not None and not self._is_closing:
            self._transport.send(WSMsgType.BINARY, _encode(frames))

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Called by picows."""
        self._transport = transport

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Called by picows."""
        del transport
        if not self._is_closing:
            self._fail("the server closed a connection")

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called by picows for every WebSocket message."""
        now = perf_counter()
        payload = frame.get_payload_as_bytes()
        if frame.msg_type is not WSMsgType.BINARY:
            if frame.msg_type is WSMsgType.CLOSE and not self._is_closing:
                code, reason = int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace")
                self._fail(f"the server closed a connection with {code}: {reason}")
                transport.disconnect()
            return
        try:
            self._receive(_decode(payload), now)
        except (msgspec.MsgspecError, BenchError) as error:
            self._fail(str(error))
            transport.disconnect()

    def _receive(self, frames: list[Frame], now: float) -> None:
        delivered: dict[ConversationId, MessageId] = {}
        for received in frames:
            if isinstance(received, Event):
                self._heard += 1
                if received.n != self._heard:
                    self._fail(f"event {received.n} came where {self._heard} was due")
                delivered[received.conv] = max(received.id, delivered.get(received.conv, received.id))
                self.on_event(received, now)
            elif isinstance(received, Sent):
                self.on_sent(received, now)
            elif isinstance(received, Receipt):
                if received.delivered is not None:
                    self.peer_delivered[received.conv] = received.delivered
            else:
                self._rare(received)
        if delivered:
            self.send(Ack(self._heard))
            for conv, message in delivered.items():
                self.send(Receipt(conv, delivered=message))

    def _rare(self, frame: Frame) -> None:
        match frame:
            case Ping(n=n):
                self.send(Pong(n, round(time() * 1000)))
            case Pong(n=n):
                self._pongs = n
            case Challenge() | Welcome() | Drained():
                self._signing_in(frame)
            case Result(rid=rid, value=value):
                self._waiting[rid].set_result(bytes(value))
            case Error(rid=int(rid)) if rid in self._waiting:
                self._waiting[rid].set_exception(BenchError(f"The server refused a request: {frame.message}"))
            case Error():
                self._fail(f"the server refused a message ({frame.code.value}: {frame.message})")
            case GoAway():
                self._fail(f"the server said goodbye ({frame.reason})")
            case _:
                self._fail(f"the server sent a {type(frame).__name__} that nobody asked for")

    def _signing_in(self, frame: Challenge | Welcome | Drained) -> None:
        match frame:
            case Challenge():
                self._challenge.set_result(frame)
            case Welcome():
                self._welcome.set_result(frame)
            case Drained() if not self._drained.done():  # a later one follows every catching up
                self._drained.set_result(None)

    def _fail(self, what: str) -> None:
        error = BenchError(f"Stopped: {what}.")
        futures: list[asyncio.Future[Any]] = [self.failed, self._challenge, self._welcome, self._drained]
        for future in [*futures, *self._waiting.values()]:
            if not future.done():
                future.set_exception(error)
                future.exception()  # marks it as seen: not every future has somebody waiting


async def _answer(future: asyncio.Future[Value]) -> Value:
    try:
        async with asyncio.timeout(ANSWER_S):
            return await future
    except TimeoutError:
        raise BenchError(f"The server left something unanswered for {ANSWER_S:.0f} s.") from None


def _unexpected(frame: Sent | Event, now: float) -> None:
    del now
    raise BenchError(f"a {type(frame).__name__} came that nobody waited for")
