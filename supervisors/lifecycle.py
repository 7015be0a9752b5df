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
from collections.abc import Callable, Collection
from itertools import chain, islice
from typing import Any, Self

import trio

from .checks import is_callable, require
from .errors import AlreadyRan, GaveUp, NotFound, NotRunning
from .events import (
    ChildStarted,
    ChildStarting,
    ChildStopping,
    ChildStuck,
    Observer,
    Path,
    SupervisorStarted,
    SupervisorStopping,
    SupervisorTerminated,
)
from .exits import Cause, CrashReport, words_of
from .flags import Flags
from .restarts import Restarts, Retry
from .slot import Slot, current_slot
from .spec import ChildSpec
from .teller import Teller
from .tree import ChildInfo, Counts, Node, Status


class Lifecycle(ABC):
    """The common part of all supervisors. Subclasses say how to boot, handle, retry and stop."""

    __slots__ = (
        "_cause",
        "_fatal",
        "_finished",
        "_flags",
        "_has_run",
        "_home",
        "_inbox",
        "_is_open",
        "_nursery",
        "_restarts",
        "_slots",
        "_stop_called",
        "_teller",
        "_wake",
    )

    def __init__(self, flags: Flags, observer: Observer | None, random: Callable[[], float]) -> None:
        require(observer is None or is_callable(observer), "An observer is a function of an event", observer)
        require(is_callable(random), "random is a function without arguments", random)
        self._flags = flags
        self._teller = Teller(observer, self._die)
        self._restarts = Restarts(self, flags, self._teller, random)
        self._slots: dict[str, Slot] = {}
        self._inbox: deque[Any] = deque()
        self._wake: trio.Event | None = None
        self._finished: trio.Event | None = None
        self._nursery: trio.Nursery | None = None
        self._home: Slot | None = None
        self._fatal: BaseException | None = None
        self._cause: Cause | None = None
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
            if self._teller.observer is None and isinstance(self._home.owner, Lifecycle):
                self._teller.observer = self._home.owner._teller.observer
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
    def name(self) -> str:
        """The supervisor's name; in a tree the id of its child spec counts."""
        return self._flags.name

    @property
    def path(self) -> Path:
        """The supervisor's place in the tree, from the root."""
        if self._home is None:
            return (self.name,)
        return self._home.path if self._home.spec.policy.is_supervisor else (*self._home.path, self.name)

    @property
    def crash_reports(self) -> tuple[CrashReport, ...]:
        """The last crashes of children of this supervisor, oldest first."""
        return self._teller.reports

    def which_children(self) -> list[ChildInfo]:
        """Return all children, newest first."""
        return [
            ChildInfo(slot.id, slot.status, slot.spec.policy.is_supervisor)
            for slot in reversed(self._slots.values())
        ]

    def count_children(self) -> Counts:
        """Return how many children there are."""
        slots = self._slots.values()
        supervisors = sum(slot.spec.policy.is_supervisor for slot in slots)
        return Counts(len(slots), sum(slot.is_alive for slot in slots), supervisors, len(slots) - supervisors)

    def get_childspec(self, id: str) -> ChildSpec:  # noqa: A002 - OTP's word
        """Return a child's spec.

        Raises: `NotFound`.
        """
        return self._find(id).spec

    def snapshot(self, *, most_children: int | None = None) -> Node:
        """Return the whole tree from here down, as it is at this moment.

        With `most_children` at most so many are shown of each node: those that do not run as they should before
        the others, all in start order.
        """
        now = trio.current_time()
        slots = _worth_seeing(self._slots.values(), most_children)
        crashes = {report.path[-1]: report.error for report in self._teller.reports}
        return Node(
            name=self.name,
            is_supervisor=True,
            status=Status.STOPPED if self._nursery is None else Status.RUNNING,
            restarts=0,
            children=tuple(_node_of(slot, now, crashes, most_children) for slot in slots),
            hidden=len(self._slots) - len(slots),
            headroom=self._restarts.headroom(now),
        )

    # What subclasses say

    @abstractmethod
    async def _boot(self) -> None: ...

    @abstractmethod
    async def _handle(self, item: Any) -> None: ...

    @abstractmethod
    async def _retry(self, slot: Slot, retry: Retry) -> None: ...

    @abstractmethod
    async def _stop_everything(self, because: Cause) -> None: ...

    @abstractmethod
    def _child_ended(self, slot: Slot) -> None: ...

    # What slots tell

    def _child_starting(self, slot: Slot) -> None:
        if self._teller.observer is not None:
            self._teller.emit(ChildStarting, slot.path)

    def _child_started(self, slot: Slot) -> None:
        if self._teller.observer is not None:
            self._teller.emit(ChildStarted, slot.path, slot.runs - 1)

    def _child_stopping(self, slot: Slot) -> None:
        if self._teller.observer is not None and slot.because is not None:
            self._teller.emit(ChildStopping, slot.path, slot.because)

    def _child_stuck(self, slot: Slot) -> None:
        self._teller.emit(ChildStuck, slot.path, slot.frame())

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
                self._teller.emit(SupervisorStarted, self.path, self._flags.intensity, self._flags.period_s)
                task_status.started(self)
                await self._serve()
            except trio.Cancelled:
                pass  # by stop(), from outside, or for `_fatal`: `run` tells them apart when all are gone
            except BaseException as error:  # noqa: BLE001 - children first; `run` raises it when they are gone
                failure = error
            self._close()
            try:
                with trio.CancelScope(shield=True):
                    await self._go_down(nursery, self._fatal or failure)
            except BaseException:  # a second Ctrl-C: no more patience, but nobody is left behind either
                self._hurry()
                raise
        self._teller.emit(SupervisorTerminated, self.path)
        return self._fatal or failure

    async def _go_down(self, nursery: trio.Nursery, failure: BaseException | None) -> None:
        because = self._why_stopping(failure)
        self._teller.emit(SupervisorStopping, self.path, because)
        all_gone = trio.CancelScope(shield=True, deadline=trio.current_time() + self._flags.shutdown)
        if self._flags.shutdown < float("inf"):
            nursery.start_soon(self._hurry_after, all_gone)
        await self._stop_everything(Cause(f"stopped with {'/'.join(self.path)}", because))
        all_gone.cancel()

    async def _hurry_after(self, all_gone: trio.CancelScope) -> None:
        with all_gone:
            await trio.sleep_forever()
        self._hurry()  # which does nothing if all are gone

    def _why_stopping(self, failure: BaseException | None) -> Cause:
        if self._home is not None and self._home.because is not None:
            return Cause(f"it was {self._home.because.text}", self._home.because.because)
        if isinstance(failure, GaveUp):
            return Cause("it gave up", failure.because)
        if failure is not None:
            return Cause(f"it failed with {words_of(failure)}")
        if self._cause is not None:
            return self._cause
        return Cause("stop() was called" if self._stop_called else "it was cancelled")

    async def _serve(self) -> None:
        while True:
            if self._inbox:
                # Even a child that fails without a checkpoint must let others run, and let a stop get in.
                await trio.lowlevel.checkpoint()
            else:
                await self._wait()
            # What came before a restart goes first, and a restart that this leads to is not due yet.
            due = self._restarts.due(trio.current_time())
            for _ in range(len(self._inbox)):
                await self._handle(self._inbox.popleft())
                await trio.lowlevel.checkpoint_if_cancelled()  # what was handled may have been the end
            for slot, retry in due:
                if self._restarts.take(slot, retry):
                    await self._retry(slot, retry)

    async def _wait(self) -> None:
        self._wake = trio.Event()
        with trio.move_on_at(self._restarts.next_due_s()):
            await self._wake.wait()

    def _post(self, item: Any) -> None:
        self._inbox.append(item)
        if self._wake is not None:
            self._wake.set()

    def _close(self, cause: Cause | None = None) -> None:
        """Accept nothing new, and leave the body for the way down."""
        self._cause = self._cause or cause
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

    def _plan_retry(self, slot: Slot, *, is_counted: bool) -> None:
        self._restarts.plan(slot, is_counted=is_counted)
        if self._wake is not None:
            self._wake.set()

    # Small things

    def _find(self, id_: str) -> Slot:
        try:
            return self._slots[id_]
        except KeyError:
            raise NotFound(f"Supervisor {'/'.join(self.path)} has no child {id_!r}.") from None

    def _slot_at(self, path: Path) -> Slot:
        """Return the slot at a path that begins below this supervisor.

        Raises: `NotFound`.
        """
        slot, whole = self._find(path[0]), (*self.path, *path)
        while slot.path != whole:
            places = [place for place in slot.nested if isinstance(place, Lifecycle)]
            # One that runs in a worker's own code has a name in the path, before its children's ids.
            above = [place for place in places if whole[: len(place.path)] == place.path != whole]
            inner = [place._slots.get(whole[len(place.path)]) for place in above]
            found = next((other for other in inner if other is not None), None)
            if found is None:
                raise NotFound(f"{'/'.join(slot.path)} has no child {'/'.join(whole[len(slot.path) :])!r}.")
            slot = found
        return slot

    def _running_nursery(self) -> trio.Nursery:
        if self._nursery is None or not self._is_open:
            raise NotRunning(f"Supervisor {self.name!r} is not running.")
        return self._nursery


def _worth_seeing(slots: Collection[Slot], most: int | None) -> Collection[Slot]:
    if most is None or len(slots) <= most:
        return slots
    odd = [slot for slot in slots if slot.status is not Status.RUNNING or slot.failures or slot.is_stuck]
    # A dict, for it keeps the order: the odd ones first, then the oldest.
    chosen = set(islice(dict.fromkeys(chain(odd, slots)), most))
    return [slot for slot in slots if slot in chosen]


def _node_of(slot: Slot, now: float, crashes: dict[str, str], most_children: int | None) -> Node:
    nested = [supervisor.snapshot(most_children=most_children) for supervisor in slot.nested]
    is_supervisor = slot.spec.policy.is_supervisor
    # A child that is a supervisor is drawn as one node with it.
    children = tuple(node for inner in nested for node in inner.children) if is_supervisor else tuple(nested)
    return Node(
        name=slot.id,
        is_supervisor=is_supervisor,
        status=slot.status,
        restarts=max(0, slot.runs - 1),
        children=children,
        hidden=sum(inner.hidden for inner in nested) if is_supervisor else 0,
        running_s=now - slot.started_at_s if slot.is_alive else None,
        headroom=nested[0].headroom if is_supervisor and nested else None,
        mailbox=None if slot.mailbox is None else slot.mailbox.depth,
        is_stuck=slot.is_stuck,
        last_crash=crashes.get(slot.id, ""),
    )
