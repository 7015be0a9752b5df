"""What supervisors tell their observer. Metrics and logs subscribe here; the framework itself writes no logs.

An observer is called in the task where the thing happened, must not block, and gets each event once, in
order. `path` names the child from the root of the tree down. One that raises has a bug: the supervisor stops
its children in order and ends with that error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .exits import CrashReport, Reason

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChildStarted:
    """A child runs. `restarts` is how many times it was started before."""

    path: Path
    restarts: int


@dataclass(frozen=True, slots=True)
class ChildIgnored:
    """A child raised `Ignore` instead of starting."""

    path: Path


@dataclass(frozen=True, slots=True)
class ChildStartFailed:
    """A child ended before it acknowledged its start."""

    path: Path
    report: CrashReport


@dataclass(frozen=True, slots=True)
class ChildTerminated:
    """A child is gone that had started, or was stopped while starting. An exception it ended with is in the
    report.
    """

    path: Path
    reason: Reason
    will_restart: bool
    report: CrashReport | None


@dataclass(frozen=True, slots=True)
class ChildRestarting:
    """A child will be started again in `delay_s` seconds, after so many failures in a row."""

    path: Path
    delay_s: float
    failures: int


@dataclass(frozen=True, slots=True)
class ChildStuck:
    """A child was cancelled and its time is over, yet it runs. `frame` is where: file, line and function.

    Its supervisor goes on waiting, since trio has no kill.
    """

    path: Path
    frame: str


@dataclass(frozen=True, slots=True)
class SupervisorGaveUp:
    """Restarts exceeded the intensity. `path` is the supervisor's; `child` ended once too often."""

    path: Path
    child: str
    intensity: int
    period_s: float


Event = (
    ChildStarted
    | ChildIgnored
    | ChildStartFailed
    | ChildTerminated
    | ChildRestarting
    | ChildStuck
    | SupervisorGaveUp
)
Observer = Callable[[Event], object]
