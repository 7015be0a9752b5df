"""What can go wrong, from the caller's point of view. Raised by the supervisors and by `child`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .exits import Cause


class SupervisorError(Exception):
    """The root of them all."""


class BadSpec(SupervisorError, ValueError):
    """A child spec or a supervisor's settings cannot work; nothing was started."""


class NotRunning(SupervisorError):
    """The supervisor has not started yet, is stopping, or has ended."""


class NotSupervised(SupervisorError):
    """Only a supervised child, or a task it started, can do this."""


class AlreadyRan(SupervisorError):
    """A supervisor instance runs once; make a new one."""


class NotFound(SupervisorError):
    """No child has this id."""


class AlreadyStarted(SupervisorError):
    """A child of this id is there and running."""


class AlreadyPresent(SupervisorError):
    """A child of this id is there, but stopped or between two starts: restart it, terminate it or delete it."""


class StillRunning(SupervisorError):
    """The child runs; terminate it first."""


class StillRestarting(SupervisorError):
    """The child waits for its next restart; terminate it first."""


class TooManyChildren(SupervisorError):
    """The pool is full."""


class StartFailed(SupervisorError):
    """A child did not start. `__cause__` says why; it is None when the child was stopped while it started."""

    def __init__(self, path: tuple[str, ...], cause: BaseException | None) -> None:
        why = "it was stopped before it was ready" if cause is None else f"{type(cause).__name__}: {cause}"
        super().__init__(f"Child {'/'.join(path)} did not start: {why}")
        self.path = path


class StartTimedOut(SupervisorError):
    """A child did not acknowledge its start in time, and was cancelled."""


class NeverAcknowledged(SupervisorError):
    """A child returned without calling `task_status.started()`."""


class GaveUp(SupervisorError):
    """A supervisor saw more crashes than its intensity allows, and stopped all of its children.

    `is_shutdown` says how a supervisor above takes it: as OTP's exit reason `shutdown`, which is no crash to
    a transient child, or as a crash. `because` is the end of the child that was one too many.
    """

    def __init__(
        self, text: str, *, path: tuple[str, ...], is_shutdown: bool, because: Cause | None = None
    ) -> None:
        super().__init__(text)
        self.path = path
        self.is_shutdown = is_shutdown
        self.because = because


class Ignore(Exception):
    """Raised by a start function before it acknowledges: there is nothing to do, and that is no error."""
