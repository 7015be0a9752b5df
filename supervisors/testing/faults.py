"""Making children crash, and waiting for what their supervisors make of it.

Tests call these from outside the tree. Waiting is by events: every event of the tree is a reason to look again, and
nothing is polled, so a clock that jumps is as good as a real one.

Paths begin below the supervisor that is passed: "web/conn-3", or a tuple where an id has a slash in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import trio

from ..checks import is_a
from ..errors import NotFound, NotRunning
from ..events import Event, Observer, Path, SupervisorGaveUp
from ..lifecycle import Lifecycle
from ..pid import Pid
from ..slot import Slot
from ..tree import Status

WITHIN_S = 60.0
"""How long a wait lasts unless it says otherwise: beyond usual backoffs, and over at once on a clock that jumps."""


class Injected(Exception):
    """The error of a child that a test made crash."""

    __module__ = "supervisors.testing"  # where it is to be imported from; reports name it


class DidNotHappen(AssertionError):
    """What was waited for has not come in time, or cannot come any more."""


def crash(supervisor: Lifecycle, path: str | Path, error: BaseException | None = None) -> Pid:
    """Make a child end with `error`, as if its own code had raised it where it waits; return the run this ends.

    Without a checkpoint: the child dies when it next runs. One that shields itself dies when it is through, and one
    that raises another error on its way out ends with that. Of a nested supervisor all children are stopped first.

    Raises: `NotFound`; `NotRunning`, if the child is not running.
    """
    slot = slot_at(supervisor, path)
    if not slot.is_alive:
        raise NotRunning(f"{'/'.join(slot.path)} cannot crash: no run of it is alive ({slot.status.value}).")
    pid = slot.pid()
    slot.crash(Injected("ordered by a test") if error is None else error)
    return pid


async def wait_restarted(
    supervisor: Lifecycle, path: str | Path, *, after: Pid | None = None, within_s: float = WITHIN_S
) -> Pid:
    """Wait until a child runs again, and return the identity of its new run.

    That is any run but `after`, which is best taken from `crash`; without it, any but the one alive at the call.

    Raises: `NotFound`, if there is no such child at the call; `DidNotHappen`.
    """
    slot = slot_at(supervisor, path)
    old = slot.pid() if after is None and slot.is_alive else after

    def is_new(slot: Slot) -> bool:
        return slot.status is Status.RUNNING and slot.is_alive and slot.pid() is not old

    return (await _wait(supervisor, path, is_new, "run again", within_s)).pid()


async def wait_until(
    supervisor: Lifecycle, path: str | Path, status: Status, *, within_s: float = WITHIN_S
) -> None:
    """Wait until a child is there and has this status; at once if it has. One that lasts no checkpoint may be
    missed.

    Raises: `DidNotHappen`.
    """

    def is_so(slot: Slot) -> bool:  # one that has just died is "running" until its supervisor has seen it
        return slot.status is status and (slot.is_alive or status is not Status.RUNNING)

    await _wait(supervisor, path, is_so, f"become {status.value}", within_s)


def slot_at(supervisor: Lifecycle, path: str | Path) -> Slot:
    """Return the slot at a path below a supervisor.

    Raises: `NotFound`.
    """
    return supervisor._slot_at(parts_of(path))


def parts_of(path: str | Path) -> Path:
    """Return a path as ids.

    Raises: ValueError.
    """
    parts = tuple(path.split("/")) if isinstance(path, str) else tuple(path)
    if not parts or not all(is_a(part, str) and part for part in parts):
        raise ValueError(f"A child's path is ids with slashes between, or a tuple of ids, not {path!r}.")
    return parts


async def _wait(
    root: Lifecycle, path: str | Path, is_so: Callable[[Slot], bool], what: str, within_s: float
) -> Slot:
    parts = parts_of(path)
    gave_up: list[SupervisorGaveUp] = []
    await trio.lowlevel.checkpoint()
    with trio.move_on_after(within_s):
        while True:
            slot = _slot_or_none(root, parts)
            if slot is not None and is_so(slot):
                return slot
            if root._has_run and root._nursery is None:
                break
            await _next_event(root, gave_up)
    name = "/".join((root.name, *parts))
    if root._has_run and root._nursery is None:
        why = f"{root.name} has ended"
    else:
        slot = _slot_or_none(root, parts)
        status = "not there" if slot is None else slot.status.value
        why = f"after {within_s:g} s it is {status}"
    reasons = "".join(f"; {'/'.join(event.path)} gave up because {event.because}" for event in gave_up)
    raise DidNotHappen(f"{name} did not {what}: {why}{reasons}.")


def _slot_or_none(root: Lifecycle, parts: Path) -> Slot | None:
    try:
        return root._slot_at(parts)
    except NotFound:  # its supervisor may be away, or it may still come
        return None


async def _next_event(root: Lifecycle, gave_up: list[SupervisorGaveUp]) -> None:
    """Wait for an event of any supervisor in the tree. Those that start meanwhile may have an observer of their
    own; the supervisor above then tells that they start.
    """
    woken = trio.Event()

    def hear(event: Event) -> None:
        if isinstance(event, SupervisorGaveUp):
            gave_up.append(event)
        woken.set()

    taps = {_tap(place) for place in _places(root)}
    for tap in taps:
        tap.listeners.append(hear)
    try:
        await woken.wait()
    finally:
        for tap in taps:
            tap.listeners.remove(hear)


def _places(place: Lifecycle) -> Iterator[Lifecycle]:
    yield place
    for slot in place._slots.values():
        for inner in slot.nested:
            if isinstance(inner, Lifecycle):
                yield from _places(inner)


class _Tap:
    """An observer before a supervisor's own. It stays: supervisors inside may have taken it over as theirs."""

    def __init__(self, own: Observer | None) -> None:
        self.own = own
        self.listeners: list[Observer] = []

    def __call__(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)
        if self.own is not None:
            self.own(event)


def _tap(place: Lifecycle) -> _Tap:
    teller = place._teller
    if not isinstance(teller.observer, _Tap):
        teller.observer = _Tap(teller.observer)
    return teller.observer
