"""Why a child ended: the reason that decides its fate, and a report that outlives the exception.

Slots make an `Exit` when a child's task ends and supervisors read it once. Groups are judged leaf by leaf,
since trio wraps whatever leaves a nursery. Reports are text, because exceptions hold frames and frames hold
everything.
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


def reason_of(error: BaseException) -> Reason:
    """Return the reason that an exception stands for."""
    leaves = list(_leaves(error))
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
    text = "".join(traceback.format_exception(error))
    words = "".join(traceback.format_exception_only(error)).strip()
    return CrashReport(path, now, words[:ERROR_CHARS], text[-REPORT_CHARS:])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
