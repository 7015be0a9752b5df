"""A signed-in connection as the rest of the client sees it: frames to post, calls to make.

Everything goes through one outbox, and the connection's only writer drains what waits into one WebSocket message.
Acknowledgements and receipts are notes there: only the newest of a key is worth sending.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import count
from typing import Final, TypeVar

import msgspec
import trio
from msgspec import Struct

from ..protocol import codec
from ..protocol.frames import Call, Error, Frame, Result, Welcome
from ..protocol.outbox import Outbox, OutboxFullError
from ..protocol.session import State
from ..wakeup import Wakeup
from .errors import NoConnection, Offline, Unreachable
from .wire import ANSWER_S, Wire, decoded, refusal

R = TypeVar("R", bound=Struct)

OUTBOX_FRAMES: Final = 1024
OUTBOX_BYTES: Final = 4 * 1024 * 1024


class _Pending:
    """A call that waits for its answer; None when the connection ended first."""

    __slots__ = ("answer", "done")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.answer: Result | Error | None = None


class Link:
    """One signed-in connection. `ended` says why it is over, or is None; `wait_s` is what GOAWAY asked for."""

    def __init__(self, wire: Wire, welcome: Welcome) -> None:
        self.wire = wire
        self.welcome = welcome
        self.ended: NoConnection | None = None
        self.wait_s: tuple[float, float] | None = None
        self._is_finishing = False
        self._outbox = Outbox(OUTBOX_FRAMES, OUTBOX_BYTES)
        self._wakeup = Wakeup()
        self._calls: dict[int, _Pending] = {}
        self._rids = count(1)
        self._slots = trio.CapacityLimiter(max(1, welcome.limits.calls))

    def post(self, frame: Frame) -> None:
        """Put a frame on its way; on a connection that is over nothing happens."""
        if not self._may_send():
            return
        encoded = codec.encode(frame)
        self.wire.session.sending(frame)
        try:
            self._outbox.put(encoded)
        except OutboxFullError:
            self.end(Unreachable("The server stopped reading."))
        self._wakeup.set()

    def note(self, key: Hashable, frame: Frame, *, keep: bool) -> None:
        """Put a frame on its way in place of an older one of this key; unless `keep`, it may be dropped."""
        if not self._may_send():
            return
        self.wire.session.sending(frame)
        try:
            self._outbox.note(key, codec.encode(frame), keep=keep)
        except OutboxFullError:
            self.end(Unreachable("The server stopped reading."))
        self._wakeup.set()

    async def call(self, name: str, args: Struct, answer: type[R]) -> R:
        """Make a call. Cancelled: it may have been done.

        Raises: `RequestError`, `Offline` (whether it was done is unknown), `ServerLied`.
        """
        pending = _Pending()
        async with self._slots:
            rid = next(self._rids)
            self._calls[rid] = pending
            try:
                if self._may_send():
                    self.post(Call(rid, name, msgspec.Raw(msgspec.msgpack.encode(args))))
                    with trio.move_on_after(ANSWER_S):
                        await pending.done.wait()
            finally:
                del self._calls[rid]
        match pending.answer:
            case Result(value=value):
                return decoded(value, answer)
            case Error() as error:
                raise refusal(error)
            case None:
                raise Offline("The connection ended before the answer came; try again.")

    def answered(self, frame: Result | Error) -> None:
        """Hand an answer to the call that waits for it, if it still does."""
        if frame.rid is not None and (pending := self._calls.get(frame.rid)) is not None:
            pending.answer = frame
            pending.done.set()

    def end(self, why: NoConnection) -> None:
        """Note that the connection is over: calls that wait fail."""
        if self.ended is None:
            self.ended = why
        self.wire.session.close()
        for pending in self._calls.values():
            pending.done.set()
        self._wakeup.set()

    def finish(self) -> None:
        """Send what waits, then close."""
        self._is_finishing = True
        self._wakeup.set()

    async def write(self) -> None:
        """Send until the connection is over: the writer's whole work."""
        try:
            while self.ended is None:
                while (data := self._outbox.take()) is not None:
                    await self.wire.send_bytes(data)
                if self._is_finishing:
                    await self.wire.close()
                    self.end(Unreachable("The connection was closed."))
                    return
                await self._wakeup.wait()
        except NoConnection as error:
            self.end(error)

    def _may_send(self) -> bool:
        state = self.wire.session.state
        return self.ended is None and not self._is_finishing and state in {State.READY, State.LEAVING}
