"""What every supervisor is: something that runs once, keeps slots, counts restarts, and leaves nothing
behind.

`Supervisor` and `DynamicSupervisor` build on it. It owns the nursery, the inbox, the retries and the way
down; which child is started or stopped when is theirs to say.

The way down: a cancel from outside, `stop()`, a crash too many and a bug in an observer all end the body of
the one nursery. The children do not notice (see `slot.py`); the supervisor, shielded, stops them, and then
says what happened.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVarTuple

import trio

from .errors import AlreadyRan, GaveUp, NotFound, NotRunning
from .events import (
    ChildRestarting,
    ChildStarted,
    ChildStuck,
    ChildTerminated,
    Event,
    Observer,
    Path,
    SupervisorGaveUp,
)
from .exits import CrashReport, Exit, report_crash
from .intensity import Backoff, Window
from .slot import Slot, current_slot
from .spec import INFINITY, ChildSpec, Restart
from .tree import ChildInfo, Counts, Node, Status

Ts = TypeVarTuple("Ts")
OnGiveUp = Literal["shutdown", "crash"]

REPORTS_KEPT = 16
"""Crash reports kept per supervisor; older ones have been seen by the observer or by nobody."""


@dataclass(frozen=True, slots=True)
class Retry:
    """A restart that waits. `is_counted` says that the crash it answers is in the window already."""

    due_s: float
    is_counted: bool


class Lifecycle(ABC):
    """The common part of all supervisors. Subclasses say how to boot, handle, retry and stop."""

    __slots__ = (
        "_fatal",
        "_finished",
        "_has_run",
        "_home",
        "_inbox",
        "_is_open",
        "_nursery",
        "_observer",
        "_on_give_up",
        "_random",
        "_reports",
        "_retries",
        "_slots",
        "_stop_called",
        "_wake",
        "_window",
        "name",
    )

    def __init__(
        self,
        *,
        name: str,
        window: Window,
        on_give_up: OnGiveUp,
        observer: Observer | None,
        random: Callable[[], float],
    ) -> None:
        self.name = name
        self._window = window
        self._on_give_up: OnGiveUp = on_give_up
        self._observer = observer
        self._random = random
        self._slots: dict[str, Slot] = {}
        self._inbox: list[Any] = []
        self._retries: dict[Slot, Retry] = {}
        self._wake: trio.Event | None = None
        self._finished: trio.Event | None = None
        self._reports: deque[CrashReport] | None = None
        self._nursery: trio.Nursery | None = None
        self._home: Slot | None = None
        self._fatal: BaseException | None = None
        self._has_run = False
        self._is_open = False
        self._stop_called = False

    # What users call

    async def run(self, *, task_status: trio.TaskStatus[Self] = trio.TASK_STATUS_IGNORED) -> None:
        """Start the children in order, acknowledge, and supervise until the end. An instance runs once.

        Returns after `stop()` or auto_shutdown. A cancel from outside stops the children in order first,
        which takes up to their shutdown times; then `Cancelled` goes on its way. In all cases no child is
        left.

        Raises: `StartFailed` when a first start fails; `GaveUp` when the intensity is exceeded; what an
        observer raised; KeyboardInterrupt, SystemExit and their like when a child died of one (maybe inside a
        group).
        """
        if self._has_run:
            raise AlreadyRan(f"Supervisor {self.name!r} ran already; make a new instance for each run.")
        self._has_run = True
        self._home = current_slot()
        if self._home is not None:
            self._home.nested += (self,)
            if self._observer is None and isinstance(self._home.owner, Lifecycle):
                self._observer = self._home.owner._observer
        try:
            failure = await self._live(task_status)
        finally:
            self._nursery = None
            if self._home is not None:
                self._home.nested = tuple(other for other in self._home.nested if other is not self)
            if self._finished is not None:
                self._finished.set()
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # the error's traceback holds this frame, and would make a cycle
        await trio.lowlevel.checkpoint_if_cancelled()

    async def stop(self) -> None:
        """Stop all children in order and end `run`; everything is gone on return. Doing so twice is no error.

        A cancel gives up the waiting, not the stop. A supervisor that has not run yet will start nothing.
        """
        self._stop_called = True
        if self._nursery is not None:
            if self._finished is None:
                self._finished = trio.Event()
            self._close()
            await self._finished.wait()
        else:
            await trio.lowlevel.checkpoint()

    @property
    def path(self) -> Path:
        """The supervisor's place in the tree, from the root."""
        if self._home is None:
            return (self.name,)
        return self._home.path if self._home.spec.is_supervisor else (*self._home.path, self.name)

    @property
    def crash_reports(self) -> tuple[CrashReport, ...]:
        """The last crashes of children of this supervisor, oldest first."""
        return tuple(self._reports or ())

    def which_children(self) -> list[ChildInfo]:
        """Return all children, newest first."""
        return [
            ChildInfo(slot.id, slot.status, slot.spec.is_supervisor)
            for slot in reversed(self._slots.values())
        ]

    def count_children(self) -> Counts:
        """Return how many children there are."""
        slots = self._slots.values()
        supervisors = sum(slot.spec.is_supervisor for slot in slots)
        return Counts(len(slots), sum(slot.is_alive for slot in slots), supervisors, len(slots) - supervisors)

    def get_childspec(self, id: str) -> ChildSpec:  # noqa: A002 - OTP's word
        """Return a child's spec.

        Raises: `NotFound`.
        """
        return self._find(id).spec

    def snapshot(self) -> Node:
        """Return the whole tree from here down, as it is at this moment."""
        nodes = tuple(_node_of(slot) for slot in self._slots.values())
        return Node(self.name, True, Status.STOPPED if self._nursery is None else Status.RUNNING, 0, nodes)

    # What subclasses say

    @abstractmethod
    async def _boot(self) -> None: ...

    @abstractmethod
    async def _handle(self, item: Any) -> None: ...

    @abstractmethod
    async def _retry(self, slot: Slot, retry: Retry) -> None: ...

    @abstractmethod
    async def _stop_everything(self) -> None: ...

    @abstractmethod
    def _child_ended(self, slot: Slot) -> None: ...

    def _child_started(self, slot: Slot) -> None:
        self._emit(ChildStarted, slot.path, slot.runs - 1)

    # The body and the way down

    async def _live(self, task_status: trio.TaskStatus[Self]) -> BaseException | None:
        failure: BaseException | None = None
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._is_open = True
            if self._stop_called:
                self._close()
            try:
                await self._boot()
                task_status.started(self)
                await self._serve()
            except trio.Cancelled:
                pass  # by stop(), from outside, or for `_fatal`: `run` tells them apart when all are gone
            except BaseException as error:  # noqa: BLE001 - children first; `run` raises it when they are gone
                failure = error
            self._close()
            try:
                with trio.CancelScope(shield=True):
                    await self._stop_everything()
            except BaseException:  # a second Ctrl-C: no more patience, but nobody is left behind either
                self._hurry()
                raise
        return self._fatal or failure

    async def _serve(self) -> None:
        while True:
            if self._inbox:
                # Even a child that fails without a checkpoint must let others run, and let a stop get in.
                await trio.lowlevel.checkpoint()
            else:
                await self._wait()
            for _ in range(len(self._inbox)):
                await self._handle(self._inbox.pop(0))
                await trio.lowlevel.checkpoint_if_cancelled()  # what was handled may have been the end
            now = trio.current_time()
            for slot, retry in sorted(self._retries.items(), key=lambda item: item[1].due_s):
                if retry.due_s <= now and self._retries.get(slot) is retry:
                    del self._retries[slot]
                    await self._retry(slot, retry)

    async def _wait(self) -> None:
        self._wake = trio.Event()
        if not self._retries:
            await self._wake.wait()
            return
        with trio.move_on_at(min(retry.due_s for retry in self._retries.values())):
            await self._wake.wait()

    def _post(self, item: Any) -> None:
        self._inbox.append(item)
        if self._wake is not None:
            self._wake.set()

    def _close(self) -> None:
        """Accept nothing new, and leave the body for the way down."""
        self._is_open = False
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def _hurry(self) -> None:
        self._close()
        for slot in list(self._slots.values()):
            slot.kill()

    def _die(self, error: BaseException) -> None:
        """End the supervisor with this error, from wherever it was noticed."""
        self._fatal = self._fatal or error
        self._close()

    # Restarts

    def _count_restart(self, slot: Slot, exit_: Exit | None) -> None:
        """Count a restart of `slot`, which ended with `exit_` or, if that is None, failed to start.

        Raises: `GaveUp`.
        """
        self._window = self._window.counted(trio.current_time())
        gives_up = self._window.is_exceeded
        if exit_ is not None:
            self._report_end(slot, exit_, will_restart=not gives_up)
        if not gives_up:
            return
        slot.status = Status.STOPPED
        intensity, period_s = self._window.intensity, self._window.period_s
        self._emit(SupervisorGaveUp, self.path, slot.id, intensity, period_s)
        last = next(
            (report.error for report in reversed(self.crash_reports) if report.path == slot.path), "done"
        )
        text = f"Supervisor {'/'.join(self.path)} gave up after {intensity} restarts in {period_s:g} s"
        text += f": {slot.id} ended again ({last})."
        gave_up = GaveUp(text, path=self.path, is_shutdown=self._on_give_up == "shutdown")
        raise gave_up from (exit_.error if exit_ is not None else None)

    def _plan_retry(self, slot: Slot, *, is_counted: bool, ran_s: float = 0.0) -> None:
        """Let `slot` wait for its next start, as its backoff says; without one it is due at once."""
        backoff: Backoff | None = slot.spec.backoff
        if backoff is not None and ran_s >= backoff.most_s:
            slot.failures = 0
        slot.failures += 1
        delay_s = 0.0 if backoff is None else backoff.delay_s(slot.failures, self._random())
        slot.status = Status.RESTARTING
        self._retries[slot] = Retry(trio.current_time() + delay_s, is_counted)
        self._emit(ChildRestarting, slot.path, delay_s, slot.failures)
        if self._wake is not None:
            self._wake.set()

    # Telling

    def _emit(self, kind: Callable[[*Ts], Event], *facts: *Ts) -> None:
        if self._observer is None:
            return
        try:
            self._observer(kind(*facts))
        except Exception as error:  # noqa: BLE001 - an observer's bug ends the supervisor, but in order
            self._observer = None
            self._die(error)

    def _report_end(self, slot: Slot, exit_: Exit, *, will_restart: bool) -> None:
        report = None if exit_.error is None else self._report(slot, exit_.error)
        self._emit(ChildTerminated, slot.path, exit_.reason, will_restart, report)

    def _report(self, slot: Slot, error: BaseException) -> CrashReport:
        report = report_crash(slot.path, error, trio.current_time())
        if self._reports is None:
            self._reports = deque(maxlen=REPORTS_KEPT)
        self._reports.append(report)
        return report

    def _report_stuck(self, slot: Slot) -> None:
        self._emit(ChildStuck, slot.path, slot.frame())

    def _find(self, id_: str) -> Slot:
        try:
            return self._slots[id_]
        except KeyError:
            raise NotFound(f"Supervisor {'/'.join(self.path)} has no child {id_!r}.") from None

    def _running_nursery(self) -> trio.Nursery:
        if self._nursery is None or not self._is_open:
            raise NotRunning(f"Supervisor {self.name!r} is not running.")
        return self._nursery


def supervisor_child(  # noqa: PLR0913 - these are the fields of OTP's child spec
    factory: Callable[[], Lifecycle],
    *,
    id: str,  # noqa: A002 - OTP's word
    restart: Restart = Restart.PERMANENT,
    shutdown: float = INFINITY,
    backoff: Backoff | None = None,
    significant: bool = False,
    start_timeout_s: float | None = None,
) -> ChildSpec:
    """Describe a child that is a supervisor. Each start calls `factory`, since a supervisor instance runs
    once.

    When its shutdown time is over (by default never) everything under it is cancelled at once.

    Raises: `BadSpec`.
    """
    return ChildSpec(
        fn=_run_supervisor,
        args=(factory,),
        id=id,
        restart=restart,
        shutdown=shutdown,
        backoff=backoff,
        significant=significant,
        start_timeout_s=start_timeout_s,
        acknowledges=True,
        is_supervisor=True,
    )


async def _run_supervisor(
    factory: Callable[[], Lifecycle], *, task_status: trio.TaskStatus[Lifecycle]
) -> None:
    await factory().run(task_status=task_status)


def _node_of(slot: Slot) -> Node:
    nested = tuple(supervisor.snapshot() for supervisor in slot.nested)
    if slot.spec.is_supervisor:
        nested = tuple(node for supervisor in nested for node in supervisor.children)
    return Node(slot.id, slot.spec.is_supervisor, slot.status, max(0, slot.runs - 1), nested)
