"""Why a child ended: the reason that decides its fate, a report that outlives the exception, and the chain of
causes behind a stop.

Slots make an `Exit` when a child's task ends and supervisors read it once. Groups are judged leaf by leaf,
since trio wraps whatever leaves a nursery. Reports and causes are text, because exceptions hold frames and
frames hold everything.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import trio

from .errors import GaveUp, Ignore

REPORT_CHARS = 4_000
"""The end of a traceback that a report keeps: it names the error, and ten frames fit."""

ERROR_CHARS = 500
"""The start of an error's own words that a report keeps: a log line."""


class Reason(Enum):
    """Why a child ended. `ESCALATED` is KeyboardInterrupt, SystemExit and their like: they end the whole
    tree.
    """

    NORMAL = "normal"
    SHUTDOWN = "shutdown"
    KILLED = "killed"
    CRASHED = "crashed"
    IGNORED = "ignored"
    ESCALATED = "escalated"


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of one run of a child. The error is held until the supervisor has read it, no longer."""

    reason: Reason
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class CrashReport:
    """A crash as text. `at_s` is in seconds of `trio.current_time()`."""

    path: tuple[str, ...]
    at_s: float
    error: str
    text: str


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a child was stopped that had done nothing wrong: what happened, and what that came of.

    As text it is one line, as in "stopped by rest_for_one because app/db crashed with OSError: disk full". Chains
    are no longer than the tree is deep.
    """

    text: str
    because: Cause | None = None

    def __str__(self) -> str:
        return self.text if self.because is None else f"{self.text} because {self.because}"


def cause_of(path: tuple[str, ...], exit_: Exit) -> Cause:
    """Return what the end of a child is as a cause of other things."""
    name = "/".join(path)
    if exit_.error is None:
        return Cause(f"{name} ended ({exit_.reason.value})")
    gave_up = next((leaf for leaf in leaves_of(exit_.error) if isinstance(leaf, GaveUp)), None)
    if gave_up is not None:
        return Cause(f"{name} gave up", gave_up.because)
    return Cause(f"{name} crashed with {words_of(exit_.error)}")


def reason_of(error: BaseException) -> Reason:
    """Return the reason that an exception stands for."""
    leaves = list(leaves_of(error))
    if not all(isinstance(leaf, Exception | trio.Cancelled) for leaf in leaves):
        return Reason.ESCALATED
    if all(isinstance(leaf, Ignore) for leaf in leaves):
        return Reason.IGNORED
    if all(isinstance(leaf, GaveUp) and leaf.is_shutdown for leaf in leaves):
        return Reason.SHUTDOWN
    # A Cancelled that gets here is of no scope of ours: somebody raised a stored one, a bug like any other.
    return Reason.CRASHED


def report_crash(path: tuple[str, ...], error: BaseException, now: float) -> CrashReport:
    """Write an exception down."""
    summary = traceback.TracebackException.from_exception(error)
    words = "".join(summary.format_exception_only()).strip()
    return CrashReport(path, now, words[:ERROR_CHARS], "".join(summary.format())[-REPORT_CHARS:])


def words_of(error: BaseException) -> str:
    """Return the kind of an exception and its own words."""
    return "".join(traceback.format_exception_only(error)).strip()[:ERROR_CHARS]


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions in a group and the groups in it; of any other exception itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves_of(inner)
    else:
        yield error
