"""The supervisor of a known set of children: ordered start, ordered stop, and the three restart strategies.

Applications build trees of these. It serves one thing at a time, in its own task: a child's end, a request or
a retry. What to do is decided in `plan.py`; how a child runs and stops is in `slot.py`. For many children of
one kind that come and go see `dynamic.py`.

Semantics: https://github.com/erlang/otp/blob/OTP-27.0/lib/stdlib/src/supervisor.erl
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

import trio

from .checks import is_a, require
from .errors import (
    AlreadyPresent,
    AlreadyStarted,
    BadSpec,
    NotRunning,
    StartFailed,
    StillRestarting,
    StillRunning,
    SupervisorError,
)
from .events import ChildIgnored, ChildRestarting, ChildStartFailed, Observer
from .exits import Cause, Exit, Reason
from .flags import Flags, OnGiveUp
from .lifecycle import Lifecycle
from .plan import Fate, Plan, ends_supervisor, fate, restart_plan
from .restarts import Retry
from .slot import Slot
from .spec import INFINITY, AutoShutdown, ChildSpec, Restart, Strategy, name_of
from .tree import StartedChild, Status

T = TypeVar("T")


class Supervisor(Lifecycle):
    """Keeps `children` running, in this order.

    More than `intensity` restarts in `period_s` seconds end it with `GaveUp`. A supervisor above takes that
    as an orderly end, as in OTP, so that a transient supervisor is not restarted; `on_give_up="crash"` makes
    it a crash. `max_failures` ends it, too, when one child fails more often than that in a row. When it stops,
    its whole tree has `shutdown` seconds. `observer` gets the events; without one, that of the supervisor above
    gets them. `random` feeds the jitter.

    The requests (`start_child` and so on) are served in turn, so a child must not wait for one while it
    starts. A cancel gives up the waiting, not the request.

    Raises: `BadSpec`.
    """

    __slots__ = ("_auto_shutdown", "_strategy")

    def __init__(  # noqa: PLR0913 - OTP's supervisor flags
        self,
        children: Iterable[ChildSpec] = (),
        *,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: int = 1,
        period_s: float = 5.0,
        auto_shutdown: AutoShutdown = AutoShutdown.NEVER,
        name: str = "supervisor",
        observer: Observer | None = None,
        on_give_up: OnGiveUp = "shutdown",
        max_failures: int | None = None,
        shutdown: float = INFINITY,
        random: Callable[[], float] = random.random,
    ) -> None:
        flags = Flags(
            name=name,
            intensity=intensity,
            period_s=period_s,
            max_failures=max_failures,
            on_give_up=on_give_up,
            shutdown=shutdown,
        )
        super().__init__(flags, observer, random)
        require(is_a(strategy, Strategy), "A strategy is one of Strategy's members", strategy)
        require(
            is_a(auto_shutdown, AutoShutdown), "auto_shutdown is one of AutoShutdown's members", auto_shutdown
        )
        self._strategy = strategy
        self._auto_shutdown = auto_shutdown
        for spec in children:
            slot = self._slot_for(spec)
            if slot.id in self._slots:
                raise BadSpec(f"Supervisor {name!r} has two children with the id {slot.id!r}.")
            self._slots[slot.id] = slot

    async def start_child(self, spec: ChildSpec) -> StartedChild:
        """Add a child behind all others and start it.

        Raises: `BadSpec`, `AlreadyStarted`, `AlreadyPresent`, `NotRunning`; `StartFailed`, and then it is not
        added.
        """
        slot = self._slot_for(spec)
        return await self._request(lambda: self._add(slot))

    async def terminate_child(self, id: str) -> None:  # noqa: A002 - OTP's word
        """Stop a child, or cancel its restart; it is gone on return. Its spec stays, unless it is temporary.

        Raises: `NotFound`, `NotRunning`.
        """
        await self._request(lambda: self._terminate(id))

    async def restart_child(self, id: str) -> StartedChild:  # noqa: A002 - OTP's word
        """Start a stopped child again, in its old place.

        Raises: `NotFound`, `StillRunning`, `StillRestarting`, `NotRunning`; `StartFailed`, and then it stays
        stopped.
        """
        return await self._request(lambda: self._start_again(id))

    async def delete_child(self, id: str) -> None:  # noqa: A002 - OTP's word
        """Forget a stopped child.

        Raises: `NotFound`, `StillRunning`, `StillRestarting`, `NotRunning`.
        """
        await self._request(lambda: self._delete(id))

    # Requests, served in the supervisor's task

    async def _request(self, work: Callable[[], Awaitable[T]]) -> T:
        self._running_nursery()
        request = _Request(work)
        self._post(request)
        return await request.answered()

    async def _add(self, slot: Slot) -> StartedChild:
        present = self._slots.get(slot.id)
        if present is not None:
            if present.status in (Status.STOPPED, Status.RESTARTING):
                how = (
                    "stopped: restart it, or delete it first"
                    if present.status is Status.STOPPED
                    else ("and waits for its restart: terminate it first")
                )
                raise AlreadyPresent(f"Child {slot.id!r} is there, {how}.")
            raise AlreadyStarted(f"Child {slot.id!r} is running already.")
        self._slots[slot.id] = slot
        try:
            await self._start(slot)
        except StartFailed:
            del self._slots[slot.id]
            raise
        return self._started(slot)

    async def _terminate(self, id_: str) -> None:
        slot = self._find(id_)
        await self._stop_all([slot], Cause("terminated on request"))
        if slot.spec.policy.restart is Restart.TEMPORARY:
            del self._slots[id_]

    async def _start_again(self, id_: str) -> StartedChild:
        slot = self._find_stopped(id_)
        await self._start(slot)
        return self._started(slot)

    async def _delete(self, id_: str) -> None:
        del self._slots[self._find_stopped(id_).id]

    # What ends

    def _child_ended(self, slot: Slot) -> None:
        if slot.status is Status.RUNNING:  # else the supervisor's task waits for it and will look
            self._post(slot)

    async def _handle(self, item: Slot | _Request[object]) -> None:
        if isinstance(item, _Request):
            await item.serve()
        elif (exit_ := item.take_exit()) is not None:  # else a stop was faster and dealt with it
            await self._after_exit(item, exit_)

    async def _after_exit(self, slot: Slot, exit_: Exit) -> None:
        what = fate(slot.spec.policy, exit_)
        if what is Fate.RESTART:
            self._restarts.ran(slot)
            await self._restart(slot, exit_)
            return
        if what is Fate.GIVE_UP:
            raise self._restarts.gave_up(slot, exit_, f"over this error of {slot.id}")
        slot.status = Status.STOPPED
        self._teller.ended(slot, exit_, will_restart=False)
        if what is Fate.ESCALATE and exit_.error is not None:
            raise exit_.error
        self._ended_for_good(slot, exit_, what)

    def _ended_for_good(self, slot: Slot, exit_: Exit, what: Fate) -> None:
        if what is Fate.DROP:
            del self._slots[slot.id]
        others = [
            other for other in self._slots.values() if other is not slot and other.spec.policy.significant
        ]
        if ends_supervisor(
            self._auto_shutdown,
            is_significant=slot.spec.policy.significant,
            others_alive=[other.status is not Status.STOPPED for other in others],
        ):
            self._close(Cause(f"its significant child {slot.id} ended ({exit_.reason.value})"))

    # Restarts

    async def _restart(self, slot: Slot, exit_: Exit | None) -> None:
        self._restarts.count(slot, exit_)
        slot.status = Status.RESTARTING
        plan = self._plan(slot)
        because = Cause(f"stopped by {self._strategy.value}", self._restarts.cause_of(slot, exit_))
        await self._stop_all([self._slots[id_] for id_ in plan.stop], because)
        for id_ in plan.drop:
            del self._slots[id_]
        if exit_ is not None and slot.spec.policy.backoff is not None:
            self._plan_retry(slot, is_counted=True)
            return
        self._teller.emit(ChildRestarting, slot.path, 0.0, slot.failures)
        await trio.lowlevel.checkpoint()
        await self._start_group(slot)

    async def _retry(self, slot: Slot, retry: Retry) -> None:
        if retry.is_counted:
            await self._start_group(slot)
        else:
            await self._restart(slot, None)

    async def _start_group(self, failed: Slot) -> None:
        for slot in [self._slots[id_] for id_ in self._plan(failed).start]:
            if slot.is_alive:  # started by hand while its group waited
                continue
            try:
                await self._start(slot)
            except StartFailed as error:
                exit_ = Exit(Reason.CRASHED, error.__cause__)
                what = fate(slot.spec.policy, exit_)
                if what is Fate.GIVE_UP:
                    raise self._restarts.gave_up(slot, None, f"over this error of {slot.id}") from error
                if what is not Fate.RESTART:
                    self._ended_for_good(slot, exit_, what)
                    continue
                if failed.status is Status.RESTARTING:
                    failed.status = Status.STOPPED  # the retry is now that of `slot`
                slot.failures += 1
                self._plan_retry(slot, is_counted=False)
                return

    def _plan(self, failed: Slot) -> Plan:
        children = ((slot.id, slot.spec.policy.restart) for slot in self._slots.values())
        return restart_plan(self._strategy, children, failed.id)

    # Starting and stopping one by one

    async def _boot(self) -> None:
        for slot in list(self._slots.values()):
            await self._start(slot)
            if slot.status is Status.STOPPED and slot.spec.policy.restart is Restart.TEMPORARY:
                del self._slots[slot.id]

    async def _start(self, slot: Slot) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        slot.launch(self._running_nursery())
        await slot.settled()
        if slot.status is Status.RUNNING:
            return
        slot.status = Status.STOPPED
        exit_ = slot.take_exit()
        if exit_ is None or exit_.reason is Reason.IGNORED:
            self._teller.emit(ChildIgnored, slot.path)
        elif exit_.error is not None:
            if exit_.reason is Reason.ESCALATED:
                raise exit_.error
            self._teller.emit(ChildStartFailed, slot.path, self._teller.crashed(slot, exit_.error))
            raise StartFailed(slot.path, exit_.error) from exit_.error

    async def _stop_all(self, slots: Iterable[Slot], because: Cause) -> None:
        """Stop these one after the other, whatever happens to the supervisor meanwhile."""
        with trio.CancelScope(shield=True):
            for slot in slots:
                self._restarts.forget(slot)
                if slot.is_alive:
                    await slot.stop(because)
                slot.status = Status.STOPPED
                exit_ = slot.take_exit()
                if exit_ is not None:
                    self._teller.ended(slot, exit_, will_restart=False)
                    if exit_.reason is Reason.ESCALATED and exit_.error is not None:
                        self._die(exit_.error)

    async def _stop_everything(self, because: Cause) -> None:
        await self._stop_all(reversed(self._slots.values()), because)
        for item in self._inbox:
            if isinstance(item, _Request):
                item.refuse()
        self._inbox.clear()

    # Small things

    def _slot_for(self, spec: ChildSpec) -> Slot:
        require(is_a(spec, ChildSpec), "A supervisor's children are what child() returns", spec)
        id_ = name_of(spec.fn) if spec.id is None else spec.id
        if spec.policy.significant and self._auto_shutdown is AutoShutdown.NEVER:
            raise BadSpec(f"Child {id_!r} is significant, but its supervisor never shuts down by itself.")
        return Slot(self, id_, spec)

    def _started(self, slot: Slot) -> StartedChild:
        if slot.status is Status.RUNNING:
            return StartedChild(slot.id, slot.value)
        if slot.spec.policy.restart is Restart.TEMPORARY:
            del self._slots[slot.id]
        return StartedChild(slot.id, is_running=False)

    def _find_stopped(self, id_: str) -> Slot:
        slot = self._find(id_)
        if slot.status is Status.RESTARTING:
            raise StillRestarting(f"Child {id_!r} waits for its restart; terminate it first.")
        if slot.status is not Status.STOPPED:
            raise StillRunning(f"Child {id_!r} is running; terminate it first.")
        return slot


class _Request(Generic[T]):
    """Something a caller wants of the supervisor, and the answer on its way back."""

    __slots__ = ("_answer", "_done", "_error", "_work")

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self._work = work
        self._done = trio.Event()
        self._answer: list[T] = []
        self._error: SupervisorError | None = None

    async def serve(self) -> None:
        try:
            self._answer.append(await self._work())
        except SupervisorError as error:
            self._error = error
        finally:
            self._done.set()

    def refuse(self) -> None:
        self._done.set()

    async def answered(self) -> T:
        await self._done.wait()
        if self._error is not None:
            raise self._error
        if not self._answer:
            raise NotRunning("The supervisor stopped before it served this request.")
        return self._answer[0]
