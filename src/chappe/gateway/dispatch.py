"""What each frame from a client sets off. The reader awaits it, so what is slow goes to the pool of requests.

SENDs of one WebSocket message go to the router together, because they become one group in the log. A frame that is
refused is answered and the connection goes on; only breaking the protocol ends it, and that raises `ProtocolError`.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio
from msgspec import Struct

from supervisors import NotRunning

from ..errors import StoreUnavailable
from ..metrics import Metrics, Outcome
from ..ports import Bus
from ..protocol.calls import CALLS
from ..protocol.codes import CloseCode, RequestError
from ..protocol.frames import (
    Ack,
    Call,
    Error,
    Frame,
    Hello,
    Link,
    Login,
    Ping,
    Pong,
    Receipt,
    Register,
    Send,
    Typing,
    Verify,
    Welcome,
)
from ..settings import Settings
from ..workers.shared_limits import SharedLimits
from .calls import Caller, Calls
from .connection import Connection
from .hub import Hub
from .refusals import refuse, store_away
from .requests import Requests
from .router import Router
from .signin import SignIn
from .times import Delays


@dataclass(frozen=True, slots=True)
class Parts:
    """Whom the dispatch hands frames to. `admitted` hears of every connection that has signed in."""

    hub: Hub
    router: Router
    signin: SignIn
    bus: Bus
    limits: SharedLimits
    calls: Calls
    requests: Requests
    metrics: Metrics
    delays: Delays
    now_ms: Callable[[], int]
    admitted: Callable[[Connection], None]


class Dispatch:
    """Hands frames on."""

    def __init__(self, parts: Parts, settings: Settings, resend_ms: int, restored_ms: int = 0) -> None:
        self._parts = parts
        self._resend_ms = resend_ms
        self._restored_ms = restored_ms
        self._server = settings.gateway.name
        self._limits = settings.limits
        self._heartbeat_s = settings.timing.heartbeat_s
        self._signup_s = settings.timing.signup_s
        self._handlers: dict[type[Frame], Callable[[Connection, Any], Awaitable[None]]] = {
            Ack: self._ack,
            Receipt: self._receipt,
            Typing: self._typing,
            Ping: self._ping,
            Pong: self._pong,
            Error: self._refused,
            Call: self._call,
            Hello: self._hello,
            Register: self._register,
            Verify: self._verify,
            Login: self._login,
            Link: self._link,
        }

    async def frames(self, connection: Connection, frames: list[Frame]) -> None:
        """Handle the frames of one WebSocket message, in order; SENDs last, together.

        Raises: `ProtocolError`.
        """
        sends: list[Send] = []
        for frame in frames:
            if type(frame) is Send:
                sends.append(frame)
            else:
                await self._handlers[type(frame)](connection, frame)
        if sends:
            await self._parts.router.send(connection, sends)

    async def _ack(self, connection: Connection, ack: Ack) -> None:
        parts = self._parts
        count = connection.acknowledge(ack.n)
        parts.metrics.acknowledged.inc(count)
        parts.delays.acknowledged(connection.times.acknowledged(count))

    async def _receipt(self, connection: Connection, receipt: Receipt) -> None:
        await self._unanswered(connection, self._parts.router.receipt(connection, receipt))

    async def _typing(self, connection: Connection, typing: Typing) -> None:
        await self._unanswered(connection, self._parts.router.typing(connection, typing))

    async def _unanswered(self, connection: Connection, work: Awaitable[None]) -> None:
        """Do what has no answer of its own: a refusal is an ERROR that names no frame."""
        try:
            await work
        except RequestError as refusal:
            refuse(connection, self._parts.metrics, refusal)
        except StoreUnavailable:
            refuse(connection, self._parts.metrics, store_away(self._parts.metrics, "directory"))

    async def _ping(self, connection: Connection, ping: Ping) -> None:
        cursor = connection.cursor(self._parts.router.live_horizon())
        connection.post(Pong(ping.n, self._parts.now_ms(), cursor))

    async def _pong(self, _connection: Connection, _pong: Pong) -> None:
        """Nothing: the session has matched it, and the reader has noted that the client lives."""

    async def _refused(self, connection: Connection, error: Error) -> None:
        """Send back what the session refused; clients may not send ERROR themselves."""
        metrics = self._parts.metrics
        if error.cid is None:
            metrics.refused(error.code)
        else:
            metrics.send_refused(error.code)
        connection.post(error)

    async def _call(self, connection: Connection, call: Call) -> None:
        assert connection.user is not None
        assert connection.device is not None
        caller = Caller(connection, connection.user, connection.device)
        name = call.name if call.name in CALLS else "unknown"
        try:
            connection.spend("calls", self._limits.calls_burst, self._limits.calls_per_s)
        except RequestError as refusal:
            self._parts.metrics.call_ended(name, Outcome.REFUSED)
            refuse(connection, self._parts.metrics, refusal, rid=call.rid)
        else:
            work = partial(self._parts.calls.handle, caller, call)
            self._parts.requests.start(connection, call.rid, name, work)

    async def _register(self, connection: Connection, frame: Register) -> None:
        self._sign_up(connection, frame, partial(self._parts.signin.register, connection.address, frame))

    async def _verify(self, connection: Connection, frame: Verify) -> None:
        self._sign_up(connection, frame, partial(self._parts.signin.verify, connection.address, frame))

    async def _login(self, connection: Connection, frame: Login) -> None:
        self._sign_up(connection, frame, partial(self._parts.signin.login, connection.address, frame))

    async def _link(self, connection: Connection, frame: Link) -> None:
        self._sign_up(connection, frame, partial(self._parts.signin.link, connection, frame))

    def _sign_up(
        self,
        connection: Connection,
        frame: Register | Verify | Login | Link,
        work: Callable[[], Awaitable[Struct]],
    ) -> None:
        # People take their time to read a code or to link a device.
        connection.hello_by = trio.current_time() + self._signup_s
        self._parts.requests.start(connection, frame.rid, type(frame).__name__.lower(), work)

    async def _hello(self, connection: Connection, hello: Hello) -> None:
        parts = self._parts
        try:
            device, start = await parts.signin.hello(connection, hello, self._server)
        except StoreUnavailable:
            connection.close(CloseCode.OVERLOADED, "The store is away; try again.")
            return
        buckets = parts.hub.buckets(device.device)
        await parts.limits.load(device.device, buckets)
        if connection.is_over:
            return
        # No cursor of ours is ever newer than this; one that is must not make the device miss anything.
        start = min(start, parts.router.horizon())
        connection.sign_in(device, start, hello.window, buckets)
        parts.delays.begin(connection)
        if hello.cursor is not None:
            parts.metrics.resumes.inc()
        parts.hub.enter(connection, device.user, device.device)
        parts.admitted(connection)
        # Before the inbox is read: whoever stores something from now on finds this device, or it finds what was stored.
        await parts.bus.claim(device.device, device.user, connection.id)
        if hello.newest is not None:
            parts.router.saw(hello.newest)
        connection.post(
            Welcome(
                session=secrets.token_bytes(16),
                user=device.user,
                cursor=start,
                heartbeat_s=self._heartbeat_s,
                limits=connection.session.limits,
                now=parts.now_ms(),
                resend_ms=self._resend_ms,
                restored_ms=self._restored_ms,
            )
        )
        assert connection.start_pump is not None
        with suppress(NotRunning):  # the session is just ending, this reader with it
            await connection.start_pump()
