"""What a child is: its function, and what its supervisor shall do when it ends.

Applications write specs with `child` and `supervisor_child`; the supervisors read them. This file holds
values and their validation only: nothing here starts anything.

The words and defaults are those of https://www.erlang.org/doc/apps/stdlib/supervisor.html
"""

from __future__ import annotations

import contextvars
import inspect
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol, TypeVarTuple, overload

import trio

from .errors import BadSpec
from .intensity import Backoff

Ts = TypeVarTuple("Ts")

BRUTAL: Final = 0.0
"""Shutdown time of a child that is cancelled at once, asked nothing, and reported as killed."""

INFINITY: Final = math.inf
"""Shutdown time of a child that may take as long as it needs; the right one for supervisors."""


class Strategy(Enum):
    """Which children are restarted when one crashes."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


class Restart(Enum):
    """When a child that ended by itself is started again: always, after a crash only, or never."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class AutoShutdown(Enum):
    """Whether a supervisor ends when its significant children have ended by themselves."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """A child's recipe. Make it with `child`, which checks the types of the arguments.

    `context` holds the context variables as they were when the spec was made; each start gets a fresh copy,
    so a restart sees what the first start saw. `acknowledges` says that `fn` takes a `task_status`.
    """

    fn: Callable[..., Awaitable[object]] = field(repr=False)
    args: tuple[Any, ...] = field(default=(), repr=False)
    id: str | None = None
    restart: Restart = Restart.PERMANENT
    shutdown: float = 5.0
    backoff: Backoff | None = None
    significant: bool = False
    start_timeout_s: float | None = None
    acknowledges: bool = False
    is_supervisor: bool = False
    context: contextvars.Context = field(default_factory=contextvars.copy_context, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises: `BadSpec`.
        """
        if not self.shutdown >= 0:
            raise BadSpec(f"Child {self.id!r} needs a shutdown time of 0 s or more, not {self.shutdown!r}.")
        if self.significant and self.restart is Restart.PERMANENT:
            raise BadSpec(f"Child {self.id!r} cannot be significant and permanent: it never ends for good.")
        if self.start_timeout_s is not None:
            if not self.acknowledges:
                raise BadSpec(
                    f"Child {self.id!r} has a start time-out, so its function must take a task_status."
                )
            if not self.start_timeout_s > 0:
                raise BadSpec(f"Child {self.id!r} needs a start time-out above 0 s.")


class _Acknowledging(Protocol[*Ts]):
    """A start function that says when it is ready, as those of `trio.Nursery.start` do."""

    def __call__(self, *args: *Ts, task_status: trio.TaskStatus[Any]) -> Awaitable[object]: ...


@overload
def child(
    fn: Callable[[*Ts], Awaitable[object]],
    *args: *Ts,
    id: str | None = None,
    restart: Restart = Restart.PERMANENT,
    shutdown: float = 5.0,
    backoff: Backoff | None = None,
    significant: bool = False,
    start_timeout_s: float | None = None,
) -> ChildSpec: ...
@overload
def child(
    fn: _Acknowledging[*Ts],
    *args: *Ts,
    id: str | None = None,
    restart: Restart = Restart.PERMANENT,
    shutdown: float = 5.0,
    backoff: Backoff | None = None,
    significant: bool = False,
    start_timeout_s: float | None = None,
) -> ChildSpec: ...
def child(  # noqa: PLR0913 - these are the fields of OTP's child spec
    fn: Callable[..., Awaitable[object]],
    *args: object,
    id: str | None = None,  # noqa: A002 - OTP's word
    restart: Restart = Restart.PERMANENT,
    shutdown: float = 5.0,
    backoff: Backoff | None = None,
    significant: bool = False,
    start_timeout_s: float | None = None,
) -> ChildSpec:
    """Describe a child that runs `await fn(*args)`. Keyword arguments go through `functools.partial`.

    A function that takes `task_status` is started when it calls `task_status.started(value)`, within
    `start_timeout_s` seconds if given; it may raise `Ignore` before that. Any other function counts as
    started when it is scheduled. Without an `id` a supervisor uses the function's name, and a pool makes one
    up.

    `shutdown` is how many seconds the child has to end when it is stopped. A child that called
    `stop_requested` is asked first and cancelled when its time is over; any other child is cancelled at once
    and has that time to clean up.

    Raises: `BadSpec`.
    """
    return ChildSpec(
        fn=fn,
        args=args,
        id=id,
        restart=restart,
        shutdown=shutdown,
        backoff=backoff,
        significant=significant,
        start_timeout_s=start_timeout_s,
        acknowledges=_takes_task_status(fn),
    )


def name_of(fn: Callable[..., object]) -> str:
    """Return the name of a start function, looking through `functools.partial`."""
    while (inner := getattr(fn, "func", None)) is not None:
        fn = inner
    return getattr(fn, "__name__", type(fn).__name__)


def _takes_task_status(fn: Callable[..., object]) -> bool:
    code = getattr(fn, "__code__", None)
    if (
        code is not None
    ):  # functions and methods: `inspect.signature` takes 10 us, too much for a pool's child
        return "task_status" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return "task_status" in inspect.signature(fn).parameters
