"""The place of one child in its supervisor: its spec and, while it lives, its task.

Supervisors launch and stop slots and decide what follows; a slot runs the child once per launch, tells how it
ended, and carries the two conversations with it: `task_status.started()` on the way up, `stop_requested()` on
the way down.

A child's cancel scope is shielded: a cancel from outside reaches the supervisor alone, which then stops its
children one by one, as https://www.erlang.org/doc/apps/stdlib/supervisor.html promises. The rejected
alternative, cancelling all at once as a nursery does, takes the store away from under the connections.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, Protocol

import trio

from .errors import NeverAcknowledged, StartTimedOut
from .events import Path
from .exits import Exit, Reason, reason_of
from .spec import BRUTAL, ChildSpec
from .tree import Node, Status

STUCK_AFTER_S: Final = 1.0
"""How long a cancelled child may run beyond its shutdown time before it is reported. Cancelled code needs a
moment.
"""


class Keeper(Protocol):
    """What a slot needs of a supervisor: the one it belongs to, and those that run inside its child."""

    @property
    def path(self) -> Path: ...
    def _child_started(self, slot: Slot) -> None: ...
    def _child_ended(self, slot: Slot) -> None: ...
    def _hurry(self) -> None: ...
    def snapshot(self) -> Node: ...


class Slot:
    """One child of `owner`.

    `exit` is set when a run has ended and until the supervisor has read it; `has_started` says that some run
    got as far as its acknowledgement.
    """

    __slots__ = (
        "_changed",
        "_killed",
        "_scope",
        "_stop_event",
        "_task",
        "exit",
        "failures",
        "has_started",
        "id",
        "nested",
        "owner",
        "runs",
        "spec",
        "started_at_s",
        "status",
        "value",
    )

    def __init__(self, owner: Keeper, id_: str, spec: ChildSpec) -> None:
        self.owner = owner
        self.id = id_
        self.spec = spec
        self.status = Status.STOPPED
        self.exit: Exit | None = None
        self.value: Any = None
        self.runs = 0
        self.failures = 0
        self.has_started = False
        self.started_at_s = 0.0
        self.nested: tuple[Keeper, ...] = ()
        self._changed: trio.Event | None = None
        self._killed = False
        self._scope: trio.CancelScope | None = None
        self._stop_event: trio.Event | None = None
        self._task: trio.lowlevel.Task | None = None

    @property
    def path(self) -> Path:
        """The child's place in the tree, from the root."""
        return (*self.owner.path, self.id)

    @property
    def is_alive(self) -> bool:
        """Whether the child's task has not ended yet."""
        return self._scope is not None

    def launch(self, nursery: trio.Nursery) -> None:
        """Start a run of the child in a task of its own, and return at once."""
        spec = self.spec
        scope = trio.CancelScope(shield=True)
        if spec.start_timeout_s is not None:
            scope.deadline = trio.current_time() + spec.start_timeout_s
        if spec.backoff is not None:
            self.started_at_s = trio.current_time()
        self._scope = scope
        self._killed = False
        self.exit = self.value = None
        self.runs += 1
        self.status = Status.STARTING
        spec.context.run(self._spawn, nursery, scope)
        if not spec.acknowledges:
            self._set_started()

    async def settled(self) -> None:
        """Wait until the child has acknowledged its start or ended."""
        while self.status is Status.STARTING and self._scope is not None:
            await self._change()

    async def gone(self) -> None:
        """Wait until the child's task has ended."""
        while self._scope is not None:
            await self._change()

    def ask_to_stop(self) -> None:
        """Begin a stop: ask a child that listens, cancel any other."""
        self.status = Status.STOPPING
        if self.spec.shutdown <= BRUTAL:
            self.kill()
        elif self._stop_event is not None:
            self._stop_event.set()
        elif self._scope is not None:
            self._scope.cancel()

    def kill(self) -> None:
        """End the patience: cancel the child and everything that supervisors inside it still wait for."""
        if self._scope is not None:
            self.status = Status.STOPPING
            self._killed = True
            self._scope.cancel()
            for supervisor in self.nested:
                supervisor._hurry()

    async def stop(self, report_stuck: Callable[[Slot], None]) -> None:
        """Stop the child in its shutdown time; it is gone on return. To be called where nothing can cancel
        it.
        """
        self.ask_to_stop()
        with trio.move_on_after(self.spec.shutdown):
            await self.gone()
        self.kill()
        with trio.move_on_after(STUCK_AFTER_S):
            await self.gone()
        if self.is_alive:
            report_stuck(self)
            await self.gone()

    def take_exit(self) -> Exit | None:
        """Return how the last run ended, once."""
        exit_, self.exit = self.exit, None
        return exit_

    def frame(self) -> str:
        """Return where the child is: file, line and function of the innermost frame that is not trio's."""
        return "not running" if self._task is None else _innermost(self._task)

    def _spawn(self, nursery: trio.Nursery, scope: trio.CancelScope) -> None:
        nursery.start_soon(self._run, scope, name=self.id)

    async def _run(self, scope: trio.CancelScope) -> None:
        _current.set(self)
        self._task = trio.lowlevel.current_task()
        spec = self.spec
        try:
            with scope:
                if spec.acknowledges:
                    await spec.fn(*spec.args, task_status=_TaskStatus(self))
                else:
                    await spec.fn(*spec.args)
        except BaseException as error:  # noqa: BLE001 - to judge whatever a child dies of is a supervisor's work
            self._end(Exit(reason_of(error), error), scope)
        else:
            self._end(None, scope)

    def _end(self, exit_: Exit | None, scope: trio.CancelScope) -> None:
        if exit_ is None:
            exit_ = self._quiet_exit(timed_out=scope.cancelled_caught)
        elif exit_.reason is Reason.IGNORED and self.status is not Status.STARTING:
            exit_ = Exit(Reason.CRASHED, exit_.error)
        self.exit = exit_
        self._scope = self._task = self._stop_event = None
        self._notify()
        self.owner._child_ended(self)

    def _quiet_exit(self, *, timed_out: bool) -> Exit:
        if self.status is Status.STOPPING:
            return Exit(Reason.KILLED if self._killed else Reason.SHUTDOWN)
        if self.status is Status.STARTING:
            if timed_out:
                late = f"Child {self.id} did not acknowledge its start within {self.spec.start_timeout_s} s."
                return Exit(Reason.CRASHED, StartTimedOut(late))
            silent = f"Child {self.id} returned without calling task_status.started()."
            return Exit(Reason.CRASHED, NeverAcknowledged(silent))
        return Exit(Reason.NORMAL)

    def _acknowledge(self, value: object) -> None:
        if self.status is Status.STARTING and self._scope is not None:  # else it is being stopped: too late
            self._scope.deadline = float("inf")
            self.value = value
            self._set_started()

    def _set_started(self) -> None:
        self.status = Status.RUNNING
        self.has_started = True
        self._notify()
        self.owner._child_started(self)

    async def _change(self) -> None:
        if self._changed is None:
            self._changed = trio.Event()
        await self._changed.wait()

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def _stop_asked(self) -> trio.Event:
        if self._stop_event is None:
            self._stop_event = trio.Event()
            if self.status is Status.STOPPING:
                self._stop_event.set()
        return self._stop_event


_current: ContextVar[Slot | None] = ContextVar("supervised_child", default=None)


def current_slot() -> Slot | None:
    """Return the slot of the child that the calling task belongs to."""
    return _current.get()


def trap_stop() -> trio.Event:
    """Make the calling child one that is asked before it is cancelled; return the event that is set when it
    is asked.

    This is OTP's `process_flag(trap_exit, true)`: it holds until the child ends. Having been asked, the child
    has its shutdown time to return by itself. Outside any supervisor the event is never set.
    """
    slot = _current.get()
    return trio.Event() if slot is None else slot._stop_asked()


async def stop_requested() -> None:
    """Wait until the supervisor asks this child to stop; from this call on it is asked before it is
    cancelled.

    See `trap_stop`. Any task of the child may wait here.
    """
    await trap_stop().wait()


class _TaskStatus:
    """What an acknowledging child calls; it counts once, as trio's own does."""

    __slots__ = ("_slot",)

    def __init__(self, slot: Slot) -> None:
        self._slot: Slot | None = slot

    def started(self, value: object = None) -> None:
        """Acknowledge the start."""
        if self._slot is None:
            raise RuntimeError("Call task_status.started() only once.")
        self._slot._acknowledge(value)
        self._slot = None


def _innermost(task: trio.lowlevel.Task) -> str:
    while True:
        frames = list(task.iter_await_frames())
        waits_for_nursery = any(frame.f_code.co_name == "_nested_child_finished" for frame, _ in frames)
        inner = [child for nursery in task.child_nurseries for child in nursery.child_tasks]
        if not (waits_for_nursery and inner):
            break
        task = min(inner, key=lambda child: child.name)
    own = [
        (frame, line) for frame, line in frames if not frame.f_globals.get("__name__", "").startswith("trio.")
    ]
    frame, line = (own or frames)[-1]
    return f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_qualname}"
