"""What supervisors tell their observer. Metrics and logs subscribe here; the framework itself writes no logs.

An observer is called in the task where the thing happened, must not block, and gets each event once, in
order. `path` names the child from the root of the tree down. One that raises has a bug: the supervisor stops
its children in order and ends with that error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .exits import Cause, CrashReport, Reason

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SupervisorStarted:
    """A supervisor runs: all of its children have started. More than `intensity` restarts in `period_s` end it."""

    path: Path
    intensity: int
    period_s: float


@dataclass(frozen=True, slots=True)
class SupervisorStopping:
    """A supervisor begins to stop its children, for good. `because` says why."""

    path: Path
    because: Cause


@dataclass(frozen=True, slots=True)
class SupervisorTerminated:
    """A supervisor has ended, and all of its children are gone."""

    path: Path


@dataclass(frozen=True, slots=True)
class ChildStarting:
    """A child was launched that acknowledges its start, and has not yet."""

    path: Path


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
class ChildStopping:
    """A child is being stopped, and has its shutdown time to end."""

    path: Path
    because: Cause


@dataclass(frozen=True, slots=True)
class ChildTerminated:
    """A child is gone that had started, or was stopped while starting. An exception it ended with is in the
    report; `because` says why it was stopped, if it was.
    """

    path: Path
    reason: Reason
    will_restart: bool
    report: CrashReport | None
    because: Cause | None = None


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
class RestartCounted:
    """A restart of `child` was counted against the intensity of the supervisor at `path`, which had `headroom`
    restarts left then.
    """

    path: Path
    child: str
    headroom: int


@dataclass(frozen=True, slots=True)
class KeyGaveUp:
    """In the pool at `path` the children of one key were restarted too often, and are stopped for good."""

    path: Path
    key: object
    because: Cause


@dataclass(frozen=True, slots=True)
class SupervisorGaveUp:
    """Restarts exceeded the intensity. `path` is the supervisor's; `child` ended once too often."""

    path: Path
    child: str
    intensity: int
    period_s: float
    because: Cause


Event = (
    SupervisorStarted
    | SupervisorStopping
    | SupervisorTerminated
    | ChildStarting
    | ChildStarted
    | ChildIgnored
    | ChildStartFailed
    | ChildStopping
    | ChildTerminated
    | ChildRestarting
    | ChildStuck
    | RestartCounted
    | KeyGaveUp
    | SupervisorGaveUp
)
Observer = Callable[[Event], object]
