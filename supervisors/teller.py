"""What one supervisor tells: events to its observer, and its last crashes to whoever asks.

Supervisors hold one each and call it at every turn. Events are only made when somebody observes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVarTuple

import trio

from .events import ChildTerminated, Event, Observer, Path
from .exits import CrashReport, Exit, report_crash
from .slot import Slot

Ts = TypeVarTuple("Ts")

REPORTS_KEPT = 16
"""Crash reports kept per supervisor; older ones have been seen by the observer or by nobody."""


class Teller:
    """Tells `observer`. One that raises is told nothing more, and `on_bug` gets its error."""

    __slots__ = ("_on_bug", "_reports", "observer")

    def __init__(self, observer: Observer | None, on_bug: Callable[[BaseException], None]) -> None:
        self.observer = observer
        self._on_bug = on_bug
        self._reports: deque[CrashReport] | None = None

    @property
    def reports(self) -> tuple[CrashReport, ...]:
        """The last crashes, oldest first."""
        return tuple(self._reports or ())

    def emit(self, kind: Callable[[*Ts], Event], *facts: *Ts) -> None:
        """Make an event of these facts, and tell it."""
        if self.observer is None:
            return
        try:
            self.observer(kind(*facts))
        except Exception as error:  # noqa: BLE001 - an observer's bug ends the supervisor, but in order
            self.observer = None
            self._on_bug(error)

    def ended(self, slot: Slot, exit_: Exit, *, will_restart: bool) -> None:
        """Tell that a child's run has ended."""
        report = None if exit_.error is None else self.crashed(slot, exit_.error)
        if self.observer is not None:
            self.emit(ChildTerminated, slot.path, exit_.reason, will_restart, report, slot.because)

    def crashed(self, slot: Slot, error: BaseException) -> CrashReport:
        """Write a crash down."""
        report = report_crash(slot.path, error, trio.current_time())
        if self._reports is None:
            self._reports = deque(maxlen=REPORTS_KEPT)
        self._reports.append(report)
        return report

    def last_crash(self, path: Path) -> str:
        """Return the last words of a child, or an empty string."""
        return next((report.error for report in reversed(self.reports) if report.path == path), "")
