"""A pool: many children that come and go by themselves, in no order.

Applications start one child per connection or job here. Children start at the same time, in their own tasks,
and stop in parallel under one shared timer; nothing but a child's own task is kept for it. Ordered sets and
group restarts are in `supervisor.py`.

Semantics: https://hexdocs.pm/elixir/DynamicSupervisor.html. One difference: a start that waits for its
acknowledgement keeps only its caller waiting, not the pool.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable

import trio

from .checks import is_count, require
from .errors import AlreadyStarted, BadSpec, StartFailed, TooManyChildren
from .events import ChildIgnored, ChildStartFailed, KeyGaveUp, Observer
from .exits import Cause, Exit, Reason
from .flags import Flags, OnGiveUp
from .intensity import KeyedWindows
from .lifecycle import Lifecycle
from .plan import Fate, fate
from .restarts import Retry
from .slot import Slot
from .spec import INFINITY, ChildSpec
from .stuck import STUCK_AFTER_S
from .tree import StartedChild, Status


class DynamicSupervisor(Lifecycle):
    """A pool of at most `max_children`, those that wait for a restart included. It starts empty.

    A child that ended for good is forgotten with all it held. With `intensity_per_key`, children are treated as
    if those of one key (by default a key is one child's id) had a supervisor of their own: more restarts of them
    in `period_s` stop these children for good, and only that counts against the pool's intensity. The other
    arguments are those of `Supervisor`.

    Raises: `BadSpec`.
    """

    __slots__ = ("_empty", "_keys", "_max_children", "_next_id", "_windows")

    def __init__(  # noqa: PLR0913 - OTP's supervisor flags
        self,
        *,
        max_children: int | None = None,
        intensity: int = 1,
        period_s: float = 5.0,
        intensity_per_key: int | None = None,
        name: str = "pool",
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
        is_bound = max_children is None or is_count(max_children, least=1)
        require(is_bound, "max_children is 1 or more, or None", max_children)
        self._max_children = max_children
        self._windows = None if intensity_per_key is None else KeyedWindows(intensity_per_key, period_s)
        self._keys: dict[Slot, Hashable] = {}
        self._next_id = 0
        self._empty: trio.Event | None = None

    async def start_child(self, spec: ChildSpec, *, key: Hashable = None) -> StartedChild:
        """Start a child and return when it has acknowledged; without an id in its spec it gets one.

        `key` says which children's restarts are counted together with its own.

        Cancelled before the start it has done nothing; cancelled later it gives up the waiting, not the
        child.

        Raises: `TooManyChildren`, `AlreadyStarted`, `BadSpec`, `NotRunning`; `StartFailed`.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        slot = self._admit(spec, key)
        slot.launch(self._running_nursery())
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

    def start_child_nowait(self, spec: ChildSpec, *, key: Hashable = None) -> str:
        """Start a child that does not acknowledge, without a checkpoint, and return its id.

        Raises: `TooManyChildren`, `AlreadyStarted`, `BadSpec`, `NotRunning`.
        """
        slot = self._admit(spec, key)
        if spec.policy.acknowledges:
            self._forget(slot)
            raise BadSpec("A child that acknowledges takes time to start: use `start_child`.")
        slot.launch(self._running_nursery())
        return slot.id

    async def terminate_child(self, id: str) -> None:  # noqa: A002 - OTP's word
        """Stop a child and forget it; it is gone on return. A cancel gives up the waiting, not the stop.

        Raises: `NotFound`, `NotRunning`.
        """
        slot = self._find(id)
        nursery = self._running_nursery()
        if slot.is_alive:
            nursery.start_soon(slot.stop, Cause("terminated on request"))
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
        elif slot.status is not Status.STOPPING and fate(slot.spec.policy, exit_) in _LIVES_ON:
            self._post(slot)
        else:
            self._retire(slot)

    def _start_ended(self, slot: Slot, exit_: Exit) -> None:
        if exit_.reason is Reason.IGNORED or exit_.error is None:
            self._teller.emit(ChildIgnored, slot.path)
            self._forget(slot)
            return
        self._teller.emit(ChildStartFailed, slot.path, self._teller.crashed(slot, exit_.error))
        what = fate(slot.spec.policy, exit_)
        if not slot.has_started or what not in _LIVES_ON:
            self._forget(slot)  # a first start is not tried again; its caller reads the exit
            return
        slot.take_exit()
        if what is Fate.GIVE_UP:
            self._die(self._restarts.gave_up(slot, None, f"over this error of {slot.id}"))
        else:
            slot.failures += 1
            self._plan_retry(slot, is_counted=False)

    async def _handle(self, item: Slot) -> None:
        exit_ = item.take_exit()
        if exit_ is None:  # it was terminated meanwhile
            return
        if fate(item.spec.policy, exit_) is Fate.GIVE_UP:
            raise self._restarts.gave_up(item, exit_, f"over this error of {item.id}")
        self._restarts.ran(item)
        if self._may_restart(item, exit_):
            self._plan_retry(item, is_counted=True)

    async def _retry(self, slot: Slot, retry: Retry) -> None:
        if not retry.is_counted and not self._may_restart(slot, None):
            return
        await trio.lowlevel.checkpoint_if_cancelled()
        slot.launch(self._running_nursery())

    # Keys

    def _may_restart(self, slot: Slot, exit_: Exit | None) -> bool:
        """Count a restart; of a key that exceeds its own intensity all children end here.

        Raises: `GaveUp`.
        """
        if self._windows is None:
            self._restarts.count(slot, exit_)
            return True
        key = self._key_of(slot)
        is_exceeded = self._windows.count(key, trio.current_time())
        if not is_exceeded and not self._restarts.fails_for_ever(slot):
            if exit_ is not None:
                self._teller.ended(slot, exit_, will_restart=True)
            return True
        slot.failures = 0  # its key answers for them
        why = self._restarts.one_too_many(slot)
        if why:
            raise self._restarts.gave_up(slot, exit_, why)
        if exit_ is not None:
            self._teller.ended(slot, exit_, will_restart=False)
        because = self._restarts.cause_of(slot, exit_)
        self._teller.emit(KeyGaveUp, self.path, key, because)
        self._forget(slot)
        self._stop_key(key, Cause(f"stopped with all of key {key!r}", Cause("it gave up", because)))
        return False

    def _stop_key(self, key: Hashable, because: Cause) -> None:
        nursery = self._running_nursery()
        for slot in [slot for slot in self._slots.values() if self._key_of(slot) == key]:
            if slot.is_alive:
                nursery.start_soon(slot.stop, because)
            else:
                self._retire(slot)

    def _key_of(self, slot: Slot) -> Hashable:
        return self._keys.get(slot, slot.id)

    # Starting and stopping

    async def _stop_everything(self, because: Cause) -> None:
        for count, slot in enumerate(list(self._slots.values())):
            if slot.is_alive:
                slot.ask_to_stop(because)
            elif slot.id in self._slots:
                self._retire(slot)
            if count % STOPPED_AT_ONCE == STOPPED_AT_ONCE - 1:
                await trio.lowlevel.checkpoint()
        began_s = trio.current_time()
        patiences = {slot.spec.policy.shutdown for slot in self._slots.values()}
        steps: list[tuple[float, float, Callable[[Slot], None]]] = [
            (patience, patience, Slot.kill) for patience in patiences
        ]
        steps += [(patience + STUCK_AFTER_S, patience, Slot.report_stuck) for patience in patiences]
        for after_s, patience, act in sorted(steps, key=lambda step: step[0]):
            with trio.move_on_at(began_s + after_s):
                await self._emptied()
            for slot in list(self._slots.values()):
                if slot.spec.policy.shutdown == patience:
                    act(slot)
        await self._emptied()

    def _hurry(self) -> None:
        super()._hurry()
        if self._nursery is not None:
            self._nursery.start_soon(self._report_stuck)

    async def _report_stuck(self) -> None:
        with trio.move_on_after(STUCK_AFTER_S, shield=True):
            await self._emptied()
        for slot in self._slots.values():
            slot.report_stuck()

    async def _emptied(self) -> None:
        if self._slots:
            if self._empty is None:
                self._empty = trio.Event()
            await self._empty.wait()

    def _retire(self, slot: Slot) -> None:
        """Forget a child that has ended for good, and tell how its last run ended."""
        # The caller of a first start reads its exit, too.
        exit_ = slot.take_exit() if slot.has_started else slot.exit
        self._forget(slot)
        if exit_ is not None:
            self._teller.ended(slot, exit_, will_restart=False)

    def _admit(self, spec: ChildSpec, key: Hashable) -> Slot:
        self._running_nursery()
        if self._max_children is not None and len(self._slots) >= self._max_children:
            raise TooManyChildren(
                f"Pool {self.name!r} is full ({self._max_children} children); try again later."
            )
        if type(spec) is not ChildSpec:
            raise BadSpec(f"A pool's child is what child() or a template returns, not {spec!r}.")
        if spec.policy.significant:
            raise BadSpec("A pool's child cannot be significant.")
        if spec.id is None:
            self._next_id += 1
        hash(key)  # one that cannot be hashed is its caller's error, not the pool's at the first crash
        id_ = spec.id or f"#{self._next_id}"
        if id_ in self._slots:
            raise AlreadyStarted(f"Child {id_!r} is running already.")
        slot = self._slots[id_] = Slot(self, id_, spec)
        if key is not None:
            self._keys[slot] = key
        return slot

    def _forget(self, slot: Slot) -> None:
        self._restarts.forget(slot)
        self._keys.pop(slot, None)
        slot.status = Status.STOPPED
        del self._slots[slot.id]
        if not self._slots and self._empty is not None:
            self._empty.set()


STOPPED_AT_ONCE = 100
"""How many children are asked to stop before the first of them may end: with all of 100,000 on their way at the
same time, the garbage collector alone takes a third of the stop.
"""

_LIVES_ON = {Fate.RESTART, Fate.GIVE_UP}
"""What the pool's own task has to deal with; any other child is forgotten where it ended."""
