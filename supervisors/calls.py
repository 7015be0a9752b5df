"""Talking to a server: references, calls with time-outs, casts.

Whoever has a `ServerRef` sends messages with it; `registry.py` has references that find their server anew each
time. What a server is and how it takes its messages is in `server.py`, what it answers in `replies.py`.

A call watches the run it talks to, as https://www.erlang.org/doc/apps/stdlib/gen_server.html#call/3 does: that is
how it ends with its server, whether its message waits, is being worked on, or has its reply put off.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, TypeVarTuple, overload

import trio

from .errors import SupervisorError
from .exits import Reason, words_of
from .mailbox import Mailbox, MailboxFull, MailboxSpec, Message
from .pid import Down, Pid
from .replies import Call, Reply
from .timers import Timer, Timers
from .verbs import function_of

if TYPE_CHECKING:
    from .server import Server

Ts = TypeVarTuple("Ts")
R = TypeVar("R")
S = TypeVar("S", bound="Server", covariant=True)  # noqa: PLC0105 - the letter reads better

CALL_TIMEOUT_S = 5.0
"""How long a call waits unless it says otherwise; gen_server's."""


class ServerDied(SupervisorError):
    """The server ended before it answered; whether it did the work is unknown. `pid` says which run, and why."""

    def __init__(self, text: str, pid: Pid | None) -> None:
        super().__init__(text)
        self.pid = pid


class NoServer(ServerDied):
    """There was no server to call, so nothing was sent. `pid` is None when the name has no holder."""


class CallTimedOut(SupervisorError, trio.TooSlowError):
    """No reply came in time. The server is none the worse for it.

    If `was_sent`, the server has the message and may still act on it; otherwise there was no room for it until
    now, and it never will.
    """

    def __init__(self, text: str, *, was_sent: bool) -> None:
        super().__init__(text)
        self.was_sent = was_sent


class CalledItself(SupervisorError):
    """A server called itself, and would wait for itself for ever. Await the method, or cast."""


class Ref(ABC, Generic[S]):
    """How to talk to a server of class `S` without holding it. Methods are messages: `ref.call(Counter.add, 1)`.

    A method is found by its name in the server's own class, so one that a subclass overrides is the subclass's.
    Messages from one task arrive in the order they were sent.
    """

    __slots__ = ()

    @overload
    async def call(
        self,
        method: Callable[[S, *Ts], Awaitable[Reply[R]]],
        *args: *Ts,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> R: ...
    @overload
    async def call(
        self, method: Callable[[S, *Ts], Awaitable[R]], *args: *Ts, timeout_s: float = CALL_TIMEOUT_S
    ) -> R: ...
    async def call(
        self, method: Callable[..., Awaitable[Any]], *args: object, timeout_s: float = CALL_TIMEOUT_S
    ) -> Any:
        """Have the server run a method, and return what it returns.

        `timeout_s` covers the wait for room in the mailbox and the wait for the reply. A cancel or a time-out
        gives up the waiting only: a message that is in the mailbox will be worked on, as gen_server does, since
        it may have begun already; one that still waits for room is withdrawn. A call that is cancelled
        beforehand sends nothing.

        Raises: `CallTimedOut`; `ServerDied`, at once when the server ends; `NoServer`; `MailboxFull` when the
        message was dropped for another; `CalledItself`; what the server answers by `ReplyError` or
        `Reply.fail`; TypeError and ValueError for what can be no call.
        """
        if not timeout_s >= 0:
            raise ValueError(f"A call needs a time-out of 0 s or more, not {timeout_s!r}.")
        await trio.lowlevel.checkpoint_if_cancelled()
        target = self.resolve()
        return await target._call(function_of(target.kind, method, len(args)), args, timeout_s)

    def cast(self, method: Callable[[S, *Ts], Awaitable[object]], *args: *Ts) -> None:
        """Have the server run a method, and wait for nothing. Without a checkpoint.

        Lost without a word when there is no server, or when it ends before it gets there, as in OTP.

        Raises: `MailboxFull`, if the mailbox is full and its policy says so; TypeError for what can be no call.
        """
        target = self._find()
        if target is not None:
            target._send(Message(function_of(target.kind, method, len(args)), args))

    def info(self, message: object) -> None:
        """Send any value to the server's `handle_info`. As `cast` otherwise.

        Raises: `MailboxFull`.
        """
        target = self._find()
        if target is not None:
            target._send(target._info(message))

    def resolve(self) -> ServerRef[S]:
        """Return the reference to the present run of the server. Without a checkpoint.

        Raises: `NoServer`.
        """
        target = self._find()
        if target is None:
            raise NoServer(f"There is no server {self._name}.", None)
        if not target.pid.is_alive:
            raise NoServer(f"Server {target._name} {target._fate()}.", target.pid)
        return target

    @property
    @abstractmethod
    def _name(self) -> str: ...

    @abstractmethod
    def _find(self) -> ServerRef[S] | None: ...


class ServerRef(Ref[S]):
    """A reference to one run of a server. When that run has ended it leads nowhere, whatever is started again.

    `pid` is the identity of the run, to be monitored; `mailbox` has figures to read. Neither keeps a checkpoint.
    """

    __slots__ = ("_end", "_last_words", "_monitored", "_task", "_timers", "kind", "mailbox", "pid")

    def __init__(self, server: S, pid: Pid, mailbox: MailboxSpec) -> None:
        self.pid = pid
        self.mailbox = Mailbox(mailbox, "/".join(pid.path))
        self.kind: type[Server] = type(server)
        self._task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
        self._timers: Timers | None = None
        self._monitored: dict[Pid, None] = {}
        self._end: Reason | None = None
        self._last_words = ""

    def __repr__(self) -> str:
        return f"<ServerRef of {self.kind.__qualname__} {self._name}>"

    @property
    def is_alive(self) -> bool:
        """Whether the run has not ended."""
        return self.pid.is_alive

    @property
    def _name(self) -> str:
        return "/".join(self.pid.path)

    def _find(self) -> ServerRef[S]:
        return self

    async def _call(
        self, function: Callable[..., Awaitable[R]], args: tuple[Any, ...], timeout_s: float
    ) -> Any:
        if self._task is trio.lowlevel.current_task():
            raise CalledItself(f"Server {self._name} called its own {function.__name__}: await it, or cast.")
        call: Call[R] = Call()
        message = Message(function, args, call)
        self._flush()
        self.mailbox.line_up(message)
        self.pid.watch(call, call.died)
        was_sent = True
        try:
            with trio.move_on_after(timeout_s):
                await call.done()
        finally:
            self.pid.unwatch(call)
            if not call.is_done:
                was_sent = not self.mailbox.withdraw(message)
        what = f"{self.kind.__name__}.{function.__name__}"
        if not call.is_done:
            late = f"Server {self._name} did not answer {what} within {timeout_s:g} s."
            raise CallTimedOut(late, was_sent=was_sent)
        if call.down is not None:
            raise ServerDied(f"Server {self._name} {self._fate()} before it answered {what}.", self.pid)
        if call.error is not None:
            try:
                raise call.error
            finally:
                del call, message  # the error's traceback holds this frame, and would make a cycle
        return call.value

    def _info(self, message: object, *, is_pinned: bool = False) -> Message:
        return Message(self.kind.handle_info, (message,), is_pinned=is_pinned)

    def _send(self, message: Message) -> None:
        self._flush()
        dropped = self.mailbox.offer(message)
        if dropped is not None and dropped.call is not None:
            text = f"The mailbox of {self._name} is full: this call was dropped for a newer message."
            dropped.call.settle(None, MailboxFull(text))

    def _tell(self, message: object) -> None:
        """Deliver what the server has asked to be told."""
        self._flush()
        self.mailbox.push(self._info(message, is_pinned=True))

    def _set_timer(self, delay_s: float, message: object) -> Timer:
        if self._timers is None:
            self._timers = Timers()
        timer = self._timers.set(trio.current_time() + delay_s, message)
        self.mailbox.wake()  # the server may wait for a later one
        return timer

    def _flush(self) -> None:
        """Move the timers that are due into the mailbox. Every message does so first: theirs came before."""
        if self._timers is not None:
            for message in self._timers.take_due(trio.current_time()):
                self.mailbox.push(self._info(message, is_pinned=True))

    async def _arrival(self) -> None:
        if self._timers is None:
            await self.mailbox.arrival()
        else:
            await self.mailbox.arrival(self._timers.next_s)

    def _take(self) -> Message | None:
        self._flush()
        return self.mailbox.take()

    def _monitor(self, pid: Pid) -> None:
        self._monitored[pid] = None
        pid.watch(self, self._down)

    def _down(self, down: Down) -> None:
        self._monitored.pop(down.pid, None)
        self._tell(down)

    def _demonitor(self, *pids: Pid) -> None:
        for pid in pids:
            pid.unwatch(self)
            self._monitored.pop(pid, None)

    def _stop(self, reason: Reason) -> None:
        self._end = self._end or reason
        self.mailbox.wake()

    def _fate(self) -> str:
        reason = self.pid.reason
        return f"has ended ({'running' if reason is None else reason.value}{self._last_words})"

    def _failed(self, error: BaseException) -> None:
        self._last_words = f": {words_of(error)}"

    def _ended(self, _: Down) -> None:
        self._task = self.pid.server = None
        if self._timers is not None:
            self._timers.clear()
        self.mailbox.close()
