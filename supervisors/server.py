"""Servers: a task that owns its state and takes messages one at a time, in order, as OTP's gen_server does.

Applications subclass `Server`, start it with `server_child` under a supervisor (or `run_server` in a plain nursery)
and talk to it through the reference in `calls.py`. A message is a method of the class with its arguments, so a type
checker sees what may be sent and what comes back.

Semantics: https://www.erlang.org/doc/apps/stdlib/gen_server.html
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVarTuple

import trio

from .calls import ServerRef
from .checks import is_a, is_callable, is_number, require
from .current import current_pid, trap_stop
from .errors import AlreadyRan, NotRunning
from .exits import Reason, reason_of
from .intensity import Backoff
from .mailbox import MailboxSpec, Message
from .pid import Pid
from .replies import Reply, ReplyError
from .slot import current_slot
from .spec import ChildSpec, OnError, Restart, make_spec, policy_of, rules_of
from .timers import Timer
from .verbs import Verb

Ts = TypeVarTuple("Ts")


class Server:
    """A server. Subclasses add `async def` methods, which are its messages, and state, which is its own.

    A method that raises ends the server (let it crash; a supervisor starts it again, from its arguments); raise
    `ReplyError` to answer with an error and live on, or return a `Reply` to answer later. Arguments are by
    position. While a method waits no other message is taken.

    An instance runs once. `unexpected` counts the infos that nobody handled.
    """

    unexpected = 0
    _server_ref: ServerRef[Any] | None = None
    _server_verbs: ClassVar[dict[object, Verb]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._server_verbs = {}

    async def init(self) -> None:
        """Get ready; callers and younger siblings wait for it. May raise `Ignore`."""

    async def handle_info(self, message: object) -> None:  # noqa: ARG002 - for subclasses
        """Take a message that is no method of this class: of `Ref.info`, a timer, or a `Down`."""
        self.unexpected += 1

    async def terminate(self, reason: Reason) -> None:
        """Clean up on the way down: after `stop`, a crash, or when asked to stop.

        A class that overrides this is asked rather than cancelled, as an OTP process that traps exits: it first
        takes the messages that came before, and all of it together has the shutdown time. A server that never
        got ready, or whose time is over, is not asked. Those who wait for replies wait until this is done.
        """

    @property
    def ref(self) -> ServerRef[Self]:
        """The reference to this server, from `init` on.

        Raises: `NotRunning`.
        """
        if self._server_ref is None:
            raise NotRunning(f"{type(self).__qualname__} is not running yet: do this in `init`.")
        return self._server_ref

    @property
    def pid(self) -> Pid:
        """The identity of this run, from `init` on."""
        return self.ref.pid

    def stop(self) -> None:
        """End normally after the present message; what lies in the mailbox is lost. Without a checkpoint."""
        self.ref._stop(Reason.NORMAL)

    def send_after(self, delay_s: float, message: object) -> Timer:
        """Have `handle_info` take `message` in `delay_s` seconds, unless the server ends before.

        There is always room for it in the mailbox. Without a checkpoint.

        Raises: ValueError, for a time that is negative or no number.
        """
        if not delay_s >= 0:
            raise ValueError(f"A timer needs a delay of 0 s or more, not {delay_s!r}.")
        return self.ref._set_timer(delay_s, message)

    def monitor(self, pid: Pid) -> None:
        """Have `handle_info` take a `Down` when that run ends, at once if it has.

        There is always room for it in the mailbox. One `Down` comes for each run, however often it is monitored.
        Without a checkpoint.
        """
        self.ref._monitor(pid)

    def demonitor(self, pid: Pid) -> None:
        """Stop monitoring a run. A `Down` that lies in the mailbox still comes. Without a checkpoint."""
        self.ref._demonitor(pid)


def server_child(  # noqa: PLR0913 - these are the fields of OTP's child spec
    factory: Callable[[*Ts], Server],
    *args: *Ts,
    id: str | None = None,  # noqa: A002 - OTP's word
    mailbox: MailboxSpec = MailboxSpec(),  # noqa: B008 - a frozen value
    restart: Restart = Restart.PERMANENT,
    shutdown: float = 5.0,
    backoff: Backoff | None = None,
    significant: bool = False,
    start_timeout_s: float | None = None,
    on_error: Mapping[type[Exception], OnError] | None = None,
) -> ChildSpec:
    """Describe a child that is a server. Each start makes a new one by `factory(*args)`, with an empty mailbox.

    It acknowledges with its `ServerRef` when its `init` is done. The other arguments are those of `child`.

    Raises: `BadSpec`.
    """
    is_factory = is_callable(factory) and not is_a(factory, Server)
    require(is_factory, "A server as a child needs its class or a function that makes one", factory)
    require(is_a(mailbox, MailboxSpec), "A server's mailbox is described by a MailboxSpec", mailbox)
    rules = () if on_error is None else rules_of(on_error)
    policy = policy_of(restart, shutdown, backoff, significant, start_timeout_s, rules, True)
    return make_spec(_Start(factory, mailbox), args, id, policy)


async def run_server(
    server: Server,
    *,
    name: str | None = None,
    mailbox: MailboxSpec = MailboxSpec(),  # noqa: B008 - a frozen value
    shutdown_s: float = 5.0,
    task_status: trio.TaskStatus[ServerRef[Any]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a server in this task, under no supervisor: `ref = await nursery.start(run_server, Counter(0))`.

    Returns after `Server.stop`. A cancel ends it at once; `terminate` then has `shutdown_s` seconds, shielded.

    Raises: what ended the server; `AlreadyRan`; `BadSpec`.
    """
    require(is_number(shutdown_s, least=0), "A server's shutdown time is 0 s or more", shutdown_s)
    require(is_a(mailbox, MailboxSpec), "A server's mailbox is described by a MailboxSpec", mailbox)
    home = current_slot()
    pid = Pid((*(() if home is None else home.path), name or type(server).__name__))
    reason = Reason.NORMAL
    try:
        await _live(server, pid, mailbox, task_status, shutdown_s)
    except BaseException as error:
        reason = _why(error)
        raise
    finally:
        pid.end(reason)


@dataclass(frozen=True, slots=True)
class _Start:
    """A server's start function. It is called `func`, as in `functools.partial`, so that the factory's name is the
    child's.
    """

    func: Callable[..., Server]
    mailbox: MailboxSpec

    async def __call__(self, *args: Any, task_status: trio.TaskStatus[ServerRef[Any]]) -> None:
        await _live(self.func(*args), current_pid(), self.mailbox, task_status, None)


async def _live(
    server: Server,
    pid: Pid,
    mailbox: MailboxSpec,
    task_status: trio.TaskStatus[ServerRef[Any]],
    shutdown_s: float | None,
) -> None:
    """The whole life of a server. Without a `shutdown_s` a supervisor sees to its stop, and to the end of its pid."""
    require(is_a(server, Server), "What is run as a server has to be one", server)
    if server._server_ref is not None:
        raise AlreadyRan(f"{type(server).__qualname__} ran already; make a new instance for each run.")
    ref = server._server_ref = pid.server = ServerRef(server, pid, mailbox)
    pid.watch(ref.mailbox, ref._ended)
    try:
        await server.init()
        task_status.started(ref)
        try:
            if shutdown_s is None and type(server).terminate is not Server.terminate:
                reason = await _serve_until_asked(server, ref)
            else:
                reason = await _serve(server, ref)
        except (Exception, BaseExceptionGroup, trio.Cancelled) as error:
            await _terminate(server, shutdown_s, _why(error))
            raise
        await _terminate(server, shutdown_s, reason)
    except BaseException as error:
        if not isinstance(error, trio.Cancelled):
            ref._failed(error)
        raise
    finally:
        ref._demonitor(*ref._monitored)


async def _serve_until_asked(server: Server, ref: ServerRef[Any]) -> Reason:
    """Serve, with the request to stop as a message in its turn. What ends the server is not put in a group."""
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_pass_on, trap_stop(), ref)
        try:
            reason = await _serve(server, ref)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # the error's traceback holds this frame, and would make a cycle
    return reason


async def _pass_on(asked: trio.Event, ref: ServerRef[Any]) -> None:
    await asked.wait()
    ref.mailbox.push(Message(_stop_in_turn, (), is_pinned=True))


async def _stop_in_turn(server: Server) -> None:
    server.ref._stop(Reason.SHUTDOWN)


async def _serve(server: Server, ref: ServerRef[Any]) -> Reason:
    while ref._end is None:
        await ref._arrival()
        if ref._end is None:  # no local name here holds a message, while the next one is waited for
            await _handle(server, ref._take())
    return ref._end


async def _handle(server: Server, message: Message | None) -> None:
    if message is None:
        return
    call = message.call
    try:
        result = await message.method(server, *message.args)
    except ReplyError as answer:
        if call is not None:
            call.settle(None, answer.error)
        return
    if call is not None:
        if isinstance(result, Reply):
            result._answer(call)
        else:
            call.settle(result)


async def _terminate(server: Server, shutdown_s: float | None, reason: Reason) -> None:
    if shutdown_s is not None:
        with trio.move_on_after(shutdown_s, shield=True):
            await server.terminate(reason)
    elif trio.current_effective_deadline() > -math.inf:  # else its time is over
        await server.terminate(reason)


def _why(error: BaseException) -> Reason:
    return Reason.SHUTDOWN if isinstance(error, trio.Cancelled) else reason_of(error)
