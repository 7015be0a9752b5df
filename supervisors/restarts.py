"""The restarts of one supervisor: those that count against its intensity, and those that wait for their time.

Supervisors count here before each attempt and ask what is due; to stop and to start is their work. The arithmetic
is in `intensity.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import trio

from .errors import GaveUp
from .events import ChildRestarting, Path, RestartCounted, SupervisorGaveUp
from .exits import Cause, Exit, cause_of
from .flags import Flags
from .intensity import Window
from .slot import Slot
from .teller import Teller
from .tree import Status


@dataclass(frozen=True, slots=True)
class Retry:
    """A restart that waits. `is_counted` says that the crash it answers is in the window already."""

    due_s: float
    is_counted: bool


class HasPath(Protocol):
    """The supervisor whose restarts these are."""

    @property
    def path(self) -> Path: ...


class Restarts:
    """Counts against `flags`, tells `teller`; `random` feeds the jitter of backoffs."""

    __slots__ = ("_flags", "_random", "_supervisor", "_teller", "_waiting", "_window")

    def __init__(
        self, supervisor: HasPath, flags: Flags, teller: Teller, random: Callable[[], float]
    ) -> None:
        self._supervisor = supervisor
        self._flags = flags
        self._teller = teller
        self._random = random
        self._window = Window(flags.intensity, flags.period_s)
        self._waiting: dict[Slot, Retry] = {}

    def headroom(self, now: float) -> int:
        """Return how many more restarts would be allowed now."""
        return self._window.headroom(now)

    # Counting

    def count(self, slot: Slot, exit_: Exit | None) -> None:
        """Count a restart of `slot`, which ended with `exit_` or, if that is None, failed to start.

        Raises: `GaveUp`.
        """
        why = self.one_too_many(slot)
        if why:
            raise self.gave_up(slot, exit_, why)
        if exit_ is not None:
            self._teller.ended(slot, exit_, will_restart=True)

    def one_too_many(self, slot: Slot) -> str:
        """Count a restart; return why it was one too many, or an empty string."""
        now = trio.current_time()
        self._window = self._window.counted(now)
        self._teller.emit(RestartCounted, self._supervisor.path, slot.id, self._window.headroom(now))
        intensity, period_s = self._flags.intensity, self._flags.period_s
        if self._window.is_exceeded:
            return f"after {intensity} restarts in {period_s:g} s: {slot.id} ended again"
        if self.fails_for_ever(slot):
            return f"since {slot.id} failed {slot.failures} times in a row"
        return ""

    def fails_for_ever(self, slot: Slot) -> bool:
        """Return whether a child has failed more often in a row than the cap allows."""
        return self._flags.max_failures is not None and slot.failures > self._flags.max_failures

    def gave_up(self, slot: Slot, exit_: Exit | None, why: str) -> GaveUp:
        """Tell that the supervisor gives up on account of this child; return the error to end it with."""
        if exit_ is not None:
            self._teller.ended(slot, exit_, will_restart=False)
        slot.status = Status.STOPPED
        path, because = self._supervisor.path, self.cause_of(slot, exit_)
        self._teller.emit(
            SupervisorGaveUp, path, slot.id, self._flags.intensity, self._flags.period_s, because
        )
        text = f"Supervisor {'/'.join(path)} gave up {why} ({self._teller.last_crash(slot.path) or 'done'})."
        is_shutdown = self._flags.on_give_up == "shutdown"
        error = GaveUp(text, path=path, is_shutdown=is_shutdown, because=because)
        error.__cause__ = None if exit_ is None else exit_.error
        return error

    def cause_of(self, slot: Slot, exit_: Exit | None) -> Cause:
        """Return what the end of a child, or that it did not start, is as a cause of other things."""
        if exit_ is not None:
            return cause_of(slot.path, exit_)
        return Cause(f"{'/'.join(slot.path)} did not start: {self._teller.last_crash(slot.path)}")

    # Waiting

    def ran(self, slot: Slot) -> None:
        """Count the end of a run among its child's failures in a row."""
        backoff = slot.spec.policy.backoff
        slot.note_failure(self._flags.period_s if backoff is None else backoff.most_s)

    def plan(self, slot: Slot, *, is_counted: bool) -> None:
        """Let `slot` wait for its next start, as its backoff says; without one it is due at once."""
        backoff = slot.spec.policy.backoff
        delay_s = 0.0 if backoff is None else backoff.delay_s(slot.failures, self._random())
        slot.status = Status.RESTARTING
        self._waiting[slot] = Retry(trio.current_time() + delay_s, is_counted)
        self._teller.emit(ChildRestarting, slot.path, delay_s, slot.failures)

    def forget(self, slot: Slot) -> None:
        """Drop the restart of a child, if one waits."""
        self._waiting.pop(slot, None)

    def next_due_s(self) -> float:
        """Return when the first of those that wait is due; infinity if none waits."""
        return min((retry.due_s for retry in self._waiting.values()), default=float("inf"))

    def due(self, now: float) -> list[tuple[Slot, Retry]]:
        """Return those that are due, in order, without taking them."""
        waiting = sorted(self._waiting.items(), key=lambda item: item[1].due_s)
        return [(slot, retry) for slot, retry in waiting if retry.due_s <= now]

    def take(self, slot: Slot, retry: Retry) -> bool:
        """Take a restart if it still waits, and return whether it does."""
        if self._waiting.get(slot) is not retry:
            return False
        del self._waiting[slot]
        return True
