"""A pool: many children that come and go by themselves, in no order.

Applications start one child per connection or job here. Children start at the same time, in their own tasks,
and stop in parallel under one shared timer; nothing but a child's own task is kept for it. Ordered sets and
group restarts are in `supervisor.py`.

Semantics: https://hexdocs.pm/elixir/DynamicSupervisor.html. One difference: a start that waits for its
acknowledgement keeps only its caller waiting, not the pool.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import trio

from .errors import AlreadyStarted, BadSpec, StartFailed, TooManyChildren
from .events import ChildIgnored, ChildStartFailed, Observer
from .exits import Exit, Reason
from .intensity import Window
from .lifecycle import Lifecycle, OnGiveUp, Retry
from .plan import Fate, fate
from .slot import STUCK_AFTER_S, Slot
from .spec import ChildSpec
from .tree import StartedChild, Status


class DynamicSupervisor(Lifecycle):
    """A pool of at most `max_children`, those that wait for a restart included. It starts empty.

    A child that ended for good is forgotten with all it held. The other arguments are those of `Supervisor`.

    Raises: `BadSpec`.
    """

    __slots__ = ("_empty", "_max_children", "_next_id")

    def __init__(  # noqa: PLR0913 - OTP's supervisor flags
        self,
        *,
        max_children: int | None = None,
        intensity: int = 1,
        period_s: float = 5.0,
        name: str = "pool",
        observer: Observer | None = None,
        on_give_up: OnGiveUp = "shutdown",
        random: Callable[[], float] = random.random,
    ) -> None:
        if max_children is not None and max_children < 1:
            raise BadSpec(f"Pool {name!r} must allow 1 child or more, not {max_children}.")
        window = Window(intensity, period_s)
        super().__init__(name=name, window=window, on_give_up=on_give_up, observer=observer, random=random)
        self._max_children = max_children
        self._next_id = 0
        self._empty: trio.Event | None = None

    async def start_child(self, spec: ChildSpec) -> StartedChild:
        """Start a child and return when it has acknowledged; without an id in its spec it gets one.

        Cancelled before the start it has done nothing; cancelled later it gives up the waiting, not the
        child.

        Raises: `TooManyChildren`, `AlreadyStarted`, `BadSpec`, `NotRunning`; `StartFailed`.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        slot = self._launch(spec)
        if slot.has_started:
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            await slot.settled()
        if slot.has_started:
            return StartedChild(slot.id, slot.value)
        exit_ = slot.take_exit()
        if exit_ is not None and exit_.reason is Reason.IGNORED:
            return StartedChild(slot.id, is_running=False)
        cause = None if exit_ is None else exit_.error
        raise StartFailed(slot.path, cause) from cause

    def start_child_nowait(self, spec: ChildSpec) -> str:
        """Start a child that does not acknowledge, without a checkpoint, and return its id.

        Raises: `TooManyChildren`, `AlreadyStarted`, `BadSpec`, `NotRunning`.
        """
        if spec.acknowledges:
            raise BadSpec("A child that acknowledges takes time to start: use `start_child`.")
        return self._launch(spec).id

    async def terminate_child(self, id: str) -> None:  # noqa: A002 - OTP's word
        """Stop a child and forget it; it is gone on return. A cancel gives up the waiting, not the stop.

        Raises: `NotFound`, `NotRunning`.
        """
        slot = self._find(id)
        nursery = self._running_nursery()
        if slot.is_alive:
            nursery.start_soon(slot.stop, self._report_stuck)
            await slot.gone()
        else:
            self._retire(slot)
            await trio.lowlevel.checkpoint()

    async def _boot(self) -> None:
        await trio.lowlevel.checkpoint()

    def _child_ended(self, slot: Slot) -> None:
        exit_ = slot.exit
        if exit_ is None:
            return
        if exit_.reason is Reason.ESCALATED and exit_.error is not None:
            self._die(exit_.error)
        if slot.status is Status.STARTING and exit_.reason is not Reason.ESCALATED:
            self._start_ended(slot, exit_)
        elif slot.status is not Status.STOPPING and fate(slot.spec.restart, exit_.reason) is Fate.RESTART:
            self._post(slot)
        else:
            self._retire(slot)

    def _start_ended(self, slot: Slot, exit_: Exit) -> None:
        if exit_.reason is Reason.IGNORED or exit_.error is None:
            self._emit(ChildIgnored, slot.path)
            self._forget(slot)
            return
        self._emit(ChildStartFailed, slot.path, self._report(slot, exit_.error))
        if slot.has_started:
            slot.take_exit()
            self._plan_retry(slot, is_counted=False)
        else:  # a first start is not tried again; its caller reads the exit
            self._forget(slot)

    async def _handle(self, item: Slot) -> None:
        exit_ = item.take_exit()
        if exit_ is not None:  # else it was terminated meanwhile
            self._count_restart(item, exit_)
            self._plan_retry(item, is_counted=True, ran_s=trio.current_time() - item.started_at_s)

    async def _retry(self, slot: Slot, retry: Retry) -> None:
        if not retry.is_counted:
            self._count_restart(slot, None)
        await trio.lowlevel.checkpoint_if_cancelled()
        slot.launch(self._running_nursery())

    async def _stop_everything(self) -> None:
        for slot in list(self._slots.values()):
            if slot.is_alive:
                slot.ask_to_stop()
            else:
                self._retire(slot)
        began_s = trio.current_time()
        patiences = {slot.spec.shutdown for slot in self._slots.values()}
        steps: list[tuple[float, float, Callable[[Slot], None]]] = [
            (patience, patience, Slot.kill) for patience in patiences
        ]
        steps += [(patience + STUCK_AFTER_S, patience, self._report_stuck) for patience in patiences]
        for after_s, patience, act in sorted(steps, key=lambda step: step[0]):
            with trio.move_on_at(began_s + after_s):
                await self._emptied()
            for slot in list(self._slots.values()):
                if slot.spec.shutdown == patience:
                    act(slot)
        await self._emptied()

    async def _emptied(self) -> None:
        if self._slots:
            if self._empty is None:
                self._empty = trio.Event()
            await self._empty.wait()

    def _retire(self, slot: Slot) -> None:
        """Forget a child that has ended for good, and tell how its last run ended."""
        exit_ = (
            slot.exit if not slot.has_started else slot.take_exit()
        )  # the caller of a first start reads it, too
        self._forget(slot)
        if exit_ is not None:
            self._report_end(slot, exit_, will_restart=False)

    def _launch(self, spec: ChildSpec) -> Slot:
        nursery = self._running_nursery()
        if self._max_children is not None and len(self._slots) >= self._max_children:
            raise TooManyChildren(
                f"Pool {self.name!r} is full ({self._max_children} children); try again later."
            )
        if spec.significant:
            raise BadSpec("A pool's child cannot be significant.")
        slot = Slot(self, self._new_id() if spec.id is None else spec.id, spec)
        if slot.id in self._slots:
            raise AlreadyStarted(f"Child {slot.id!r} is running already.")
        self._slots[slot.id] = slot
        slot.launch(nursery)
        return slot

    def _forget(self, slot: Slot) -> None:
        self._retries.pop(slot, None)
        slot.status = Status.STOPPED
        del self._slots[slot.id]
        if not self._slots and self._empty is not None:
            self._empty.set()

    def _new_id(self) -> str:
        self._next_id += 1
        return f"#{self._next_id}"
