"""What a child is: its function, and what its supervisor shall do when it ends.

Applications write specs with `child` and `supervisor_child`; the supervisors read them. This file holds
values and their validation only: nothing here starts anything.

The words and defaults are those of https://www.erlang.org/doc/apps/stdlib/supervisor.html
"""

from __future__ import annotations

import contextvars
import inspect
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from types import NoneType
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVarTuple, overload

import trio

from .checks import is_a, is_number, require
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


class OnError(Enum):
    """What follows when a child dies of a certain exception: a restart, its end for good, or the supervisor's."""

    RESTART = "restart"
    STOP = "stop"
    GIVE_UP = "give_up"


class AutoShutdown(Enum):
    """Whether a supervisor ends when its significant children have ended by themselves."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a supervisor does with a child: the same object for all children that are to be treated alike.

    `errors` are rules by exception, of which the first that fits counts; without one, `restart` decides.
    `acknowledges` says that the child's function takes a `task_status`.

    Raises: `BadSpec`.
    """

    restart: Restart = Restart.PERMANENT
    shutdown: float = 5.0
    backoff: Backoff | None = None
    significant: bool = False
    start_timeout_s: float | None = None
    errors: tuple[tuple[type[BaseException], OnError], ...] = ()
    acknowledges: bool = False
    is_supervisor: bool = False

    def __post_init__(self) -> None:
        require(is_a(self.restart, Restart), "A child's restart is one of Restart's members", self.restart)
        require(is_number(self.shutdown, least=0), "A child's shutdown time is 0 s or more", self.shutdown)
        require(
            is_a(self.backoff, (Backoff, NoneType)), "A child's backoff is a Backoff or None", self.backoff
        )
        require(is_a(self.significant, bool), "significant is True or False", self.significant)
        if self.significant and self.restart is Restart.PERMANENT:
            raise BadSpec("A permanent child cannot be significant: it never ends for good.")
        limit_s = self.start_timeout_s
        require(
            limit_s is None or is_number(limit_s, above=0), "A child's start time-out is above 0 s", limit_s
        )
        if limit_s is not None and not self.acknowledges:
            raise BadSpec("A child with a start time-out needs a function that takes a task_status.")
        for kind, rule in self.errors:
            is_rule = is_a(kind, type) and issubclass(kind, Exception) and is_a(rule, OnError)
            require(is_rule, "on_error maps kinds of Exception to OnError's members", {kind: rule})


class ChildSpec(NamedTuple):
    """A child's recipe. Make it with `child`, which checks it, or with `supervisor_child`.

    `context` holds the context variables as they were when the spec was made; each start gets a fresh copy,
    so a restart sees what the first start saw. It is a tuple because pools make one per child, and a frozen
    dataclass takes three times as long to make.
    """

    fn: Callable[..., Awaitable[object]]
    args: tuple[Any, ...]
    id: str | None
    policy: Policy
    context: contextvars.Context

    def __repr__(self) -> str:  # arguments may be secret
        return f"ChildSpec({name_of(self.fn)}, id={self.id!r}, {self.policy})"


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
    on_error: Mapping[type[Exception], OnError] | None = None,
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
    on_error: Mapping[type[Exception], OnError] | None = None,
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
    on_error: Mapping[type[Exception], OnError] | None = None,
) -> ChildSpec:
    """Describe a child that runs `await fn(*args)`. Keyword arguments go through `functools.partial`.

    A function that takes `task_status` is started when it calls `task_status.started(value)`, within
    `start_timeout_s` seconds if given; it may raise `Ignore` before that. Any other function counts as
    started when it is scheduled. Without an `id` a supervisor uses the function's name, and a pool makes one
    up.

    `shutdown` is how many seconds the child has to end when it is stopped. A child that called
    `stop_requested` is asked first and cancelled when its time is over; any other child is cancelled at once
    and has that time to clean up.

    `on_error` decides by exception instead of by `restart`; the first kind that fits counts. Of a group each
    leaf is judged, and the gravest judgement holds: to give up, to restart (also for a leaf that no rule
    names, unless `restart` says otherwise), to stop.

    Raises: `BadSpec`.
    """
    rules = () if on_error is None else rules_of(on_error)
    acknowledges = _takes_task_status(fn)
    policy = policy_of(restart, shutdown, backoff, significant, start_timeout_s, rules, acknowledges)
    return make_spec(fn, args, id, policy)


@dataclass(frozen=True, slots=True)
class Template(Generic[*Ts]):
    """A spec that lacks its arguments: called with them, it is a child's spec. Make it with `template`."""

    _spec: ChildSpec

    def __call__(self, *args: *Ts) -> ChildSpec:
        """Return the spec of a child with these arguments."""
        fn, _, id_, policy, context = self._spec
        return ChildSpec(fn, args, id_, policy, context)


@overload
def template(
    fn: Callable[[*Ts], Awaitable[object]],
    *,
    restart: Restart = Restart.TEMPORARY,
    shutdown: float = 5.0,
    backoff: Backoff | None = None,
    start_timeout_s: float | None = None,
    on_error: Mapping[type[Exception], OnError] | None = None,
) -> Template[*Ts]: ...
@overload
def template(
    fn: _Acknowledging[*Ts],
    *,
    restart: Restart = Restart.TEMPORARY,
    shutdown: float = 5.0,
    backoff: Backoff | None = None,
    start_timeout_s: float | None = None,
    on_error: Mapping[type[Exception], OnError] | None = None,
) -> Template[*Ts]: ...
def template(fn: Callable[..., Awaitable[object]], **options: Any) -> Template[*tuple[Any, ...]]:
    """Describe the many children of a pool that differ by their arguments, as OTP's simple_one_for_one does.

    `template(fn, ...)(*args)` is `child(fn, *args, ...)`, checked once and four times as fast. The context
    variables are those of the moment when the template was made. Such children are temporary unless said
    otherwise.

    Raises: `BadSpec`.
    """
    options.setdefault("restart", Restart.TEMPORARY)
    return Template(child(fn, **options))


def rules_of(on_error: Mapping[type[Exception], OnError]) -> tuple[tuple[type[Exception], OnError], ...]:
    """Return rules by exception as a policy has them.

    Raises: `BadSpec`.
    """
    require(is_a(on_error, Mapping), "on_error maps kinds of Exception to OnError's members", on_error)
    return tuple(on_error.items())


def policy_of(*fields: Any) -> Policy:
    """Return the policy with these fields, in their order; the same one for the same fields.

    Raises: `BadSpec`.
    """
    try:
        return _cached_policy(*fields)
    except TypeError:  # a field that cannot be hashed is of a wrong type: let the policy say which
        return Policy(*fields)


_cached_policy = lru_cache(maxsize=256, typed=True)(Policy)  # typed: True would pass for 1


def make_spec(
    fn: Callable[..., Awaitable[object]], args: tuple[Any, ...], id_: str | None, policy: Policy
) -> ChildSpec:
    """Put a spec together in the present context.

    Raises: `BadSpec`.
    """
    if id_ is not None and (not is_a(id_, str) or not id_):
        raise BadSpec(f"A child's id is a string that is not empty, not {id_!r}.")
    return ChildSpec(fn, args, id_, policy, contextvars.copy_context())


def name_of(fn: Callable[..., object]) -> str:
    """Return the name of a start function, looking through `functools.partial`."""
    while (inner := getattr(fn, "func", None)) is not None:
        fn = inner
    return getattr(fn, "__name__", type(fn).__name__)


def _takes_task_status(fn: object) -> bool:
    code = getattr(fn, "__code__", None)
    if code is not None:  # `inspect.signature` takes 10 us, too much for a pool's child
        names = code.co_varnames
        return "task_status" in names and (
            names.index("task_status") < code.co_argcount + code.co_kwonlyargcount
        )
    if inspect.isawaitable(fn):
        if inspect.iscoroutine(fn):
            fn.close()  # else Python warns that nobody awaited it
        raise BadSpec("child() wants the function and its arguments, as in child(work, 1), not work(1).")
    if not callable(fn):
        raise BadSpec(f"A child needs an async function, not {fn!r}.")
    return "task_status" in inspect.signature(fn).parameters
