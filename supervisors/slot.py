"""The place of one child in its supervisor: its spec and, while it lives, its task.

Supervisors launch and stop slots and decide what follows; a slot runs the child once per launch, tells how it
ended, and carries the two conversations with it: `task_status.started()` on the way up, `stop_requested()` on
the way down.

A child's cancel scope is shielded: a cancel from outside reaches the supervisor alone, which then stops its
children one by one, as https://www.erlang.org/doc/apps/stdlib/supervisor.html promises. The rejected
alternative, cancelling all at once as a nursery does, takes the store away from under the connections.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

import trio

from .errors import NeverAcknowledged, StartTimedOut
from .events import Path
from .exits import Cause, Exit, Reason, reason_of
from .pid import Pid
from .spec import BRUTAL, ChildSpec
from .stuck import STUCK_AFTER_S, innermost_frame
from .tree import Node, Status

if TYPE_CHECKING:
    from .mailbox import Mailbox


class Keeper(Protocol):
    """What a slot needs of a supervisor: the one it belongs to, and those that run inside its child."""

    @property
    def path(self) -> Path: ...
    def _child_starting(self, slot: Slot) -> None: ...
    def _child_started(self, slot: Slot) -> None: ...
    def _child_stopping(self, slot: Slot) -> None: ...
    def _child_stuck(self, slot: Slot) -> None: ...
    def _child_ended(self, slot: Slot) -> None: ...
    def _hurry(self) -> None: ...
    def snapshot(self, *, most_children: int | None = None) -> Node: ...


class Slot:
    """One child of `owner`.

    `exit` is set when a run has ended and until the supervisor has read it; `has_started` says that some run
    got as far as its acknowledgement. `because` says why the run was stopped, if it was. `failures` counts those
    in a row.
    """

    __slots__ = (
        "_changed",
        "_cleanups",
        "_killed",
        "_pid",
        "_planted",
        "_scope",
        "_stop_event",
        "_task",
        "because",
        "exit",
        "failures",
        "has_started",
        "id",
        "is_stuck",
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
        self.because: Cause | None = None
        self.is_stuck = False
        self.nested: tuple[Keeper, ...] = ()
        self._changed: trio.Event | None = None
        self._cleanups: list[trio.CancelScope] | None = None
        self._killed = False
        self._pid: Pid | None = None
        self._planted: BaseException | None = None
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
        self._scope = scope
        self._killed = False
        self._planted = None
        self.started_at_s = trio.current_time()
        self.exit = self.value = self.because = None
        self.runs += 1
        self.status = Status.STARTING
        spec.context.run(
            nursery.start_soon,  # type: ignore[arg-type] # mypy cannot pass one TypeVarTuple through another
            self._run,
            scope,
            name=self.id,
        )
        if not spec.policy.acknowledges:
            self._set_started()
            return
        self.owner._child_starting(self)
        if spec.policy.start_timeout_s is not None:
            scope.deadline = self.started_at_s + spec.policy.start_timeout_s
            nursery.start_soon(self._watch_start, scope, spec.policy.start_timeout_s)

    async def settled(self) -> None:
        """Wait until the child has acknowledged its start or ended."""
        while self.status is Status.STARTING and self._scope is not None:
            await self._change()

    async def gone(self) -> None:
        """Wait until the child's task has ended."""
        while self._scope is not None:
            await self._change()

    def ask_to_stop(self, because: Cause) -> None:
        """Begin a stop: ask a child that listens, cancel any other."""
        self.status = Status.STOPPING
        self.because = because
        self.owner._child_stopping(self)
        if self.spec.policy.shutdown <= BRUTAL:
            self.kill()
        elif self._stop_event is not None:
            self._stop_event.set()
        elif self._scope is not None:
            self._scope.cancel()

    def kill(self) -> None:
        """End the patience with a child that was asked to stop."""
        if self._scope is not None:
            self.status = Status.STOPPING
            self.because = self.because or Cause("cut off at the end of its supervisor's patience")
            self._lose_patience(self._scope)

    async def stop(self, because: Cause) -> None:
        """Stop the child in its shutdown time; it is gone on return. To be called where nothing can cancel
        it.
        """
        self.ask_to_stop(because)
        with trio.move_on_after(self.spec.policy.shutdown):
            while self.is_alive and not self._killed:  # the time of a whole tree may be over sooner
                await self._change()
        self.kill()
        with trio.move_on_after(STUCK_AFTER_S):
            await self.gone()
        if self.is_alive:
            self.report_stuck()
            await self.gone()

    def crash(self, error: BaseException) -> None:
        """Make the present run end with `error`, as if its own code had raised it where it waits."""
        if self._scope is not None:
            self._planted = error
            self._scope.cancel()

    def report_stuck(self) -> None:
        """Say, once for each run, that the child should be gone by now, and is not."""
        if not self.is_stuck:
            self.is_stuck = True
            self.owner._child_stuck(self)

    def note_failure(self, calm_s: float) -> None:
        """Count the end of a run as a failure in a row; one of `calm_s` seconds or more starts a new row."""
        if trio.current_time() - self.started_at_s >= calm_s:
            self.failures = 0
        self.failures += 1

    def take_exit(self) -> Exit | None:
        """Return how the last run ended, once."""
        exit_, self.exit = self.exit, None
        return exit_

    def pid(self) -> Pid:
        """Return the identity of the present run."""
        if self._pid is None:
            self._pid = Pid(self.path)
        return self._pid

    @property
    def mailbox(self) -> Mailbox | None:
        """The mailbox of the server that the present run is, if it is one."""
        return None if self._pid is None else self._pid.mailbox

    @property
    def task(self) -> trio.lowlevel.Task | None:
        """The task of the present run, from its first step to its end."""
        return self._task

    def frame(self) -> str:
        """Return where the child is: file, line and function of the innermost frame that is not trio's."""
        return "not running" if self._task is None else innermost_frame(self._task)

    def trap_stop(self) -> trio.Event:
        """Return the event by which the present run is asked to stop, instead of being cancelled."""
        if self._stop_event is None:
            self._stop_event = trio.Event()
            if self.status is Status.STOPPING:
                self._stop_event.set()
        return self._stop_event

    @contextmanager
    def cleaning(self, scope: trio.CancelScope) -> Iterator[None]:
        """Have `scope` cancelled when the patience with this run ends, at once if it has."""
        if self._killed:
            scope.cancel()
        scopes = self._cleanups = [] if self._cleanups is None else self._cleanups
        scopes.append(scope)
        try:
            yield
        finally:
            scopes.remove(scope)

    async def _run(self, scope: trio.CancelScope) -> None:
        _current.set(self)
        self._task = trio.lowlevel.current_task()
        spec = self.spec
        try:
            with scope:
                if spec.policy.acknowledges:
                    await spec.fn(*spec.args, task_status=_TaskStatus(self))
                else:
                    await spec.fn(*spec.args)
        except BaseException as error:  # noqa: BLE001 - to judge whatever a child dies of is a supervisor's work
            self._end(Exit(reason_of(error), error), scope)
        else:
            self._end(None, scope)

    def _end(self, exit_: Exit | None, scope: trio.CancelScope) -> None:
        if exit_ is None:
            exit_ = self._quiet_exit(timed_out=scope.cancel_called)
        elif exit_.reason is Reason.IGNORED and self.status is not Status.STARTING:
            exit_ = Exit(Reason.CRASHED, exit_.error)
        self.exit = exit_
        self._scope = self._task = self._stop_event = self._cleanups = None
        self.is_stuck = False
        if self._pid is not None:
            self._pid.end(exit_.reason)
            self._pid = None
        self._notify()
        self.owner._child_ended(self)

    def _quiet_exit(self, *, timed_out: bool) -> Exit:
        if self.status is Status.STOPPING:
            return Exit(Reason.KILLED if self._killed else Reason.SHUTDOWN)
        if self._planted is not None:
            return Exit(reason_of(self._planted), self._planted)
        if self.status is Status.STARTING:
            if timed_out:
                limit_s = self.spec.policy.start_timeout_s
                late = f"Child {self.id} did not acknowledge its start within {limit_s:g} s."
                return Exit(Reason.CRASHED, StartTimedOut(late))
            silent = f"Child {self.id} returned without calling task_status.started()."
            return Exit(Reason.CRASHED, NeverAcknowledged(silent))
        # A supervisor that ended by itself did so by auto_shutdown or stop(): OTP's reason for that is `shutdown`.
        return Exit(Reason.SHUTDOWN if self.spec.policy.is_supervisor else Reason.NORMAL)

    def _acknowledge(self, value: object) -> None:
        scope = self._scope
        if self.status is Status.STARTING and scope is not None and not scope.cancel_called:  # else too late
            scope.deadline = float("inf")
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

    def _lose_patience(self, scope: trio.CancelScope) -> None:
        """Cancel the child, its clean-up, and everything that supervisors inside it wait for."""
        self._killed = True
        scope.cancel()
        for cleanup in self._cleanups or ():
            cleanup.cancel()
        for supervisor in self.nested:
            supervisor._hurry()
        self._notify()

    async def _watch_start(self, scope: trio.CancelScope, limit_s: float) -> None:
        """Bound a start in time: its deadline cancels it, then it has its shutdown time, then it is stuck."""
        patience_s = limit_s + self.spec.policy.shutdown
        for after_s in (patience_s, STUCK_AFTER_S):
            with trio.move_on_after(after_s):
                await self.settled()
            if self._scope is not scope or self.status is not Status.STARTING:
                return
            if self._killed:
                self.report_stuck()
            else:
                self._lose_patience(scope)


_current: ContextVar[Slot | None] = ContextVar("supervised_child", default=None)


def current_slot() -> Slot | None:
    """Return the slot of the child that the calling task belongs to."""
    return _current.get()


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
