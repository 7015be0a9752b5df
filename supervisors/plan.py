"""What a supervisor does when a child ends: stay, drop it, or stop and start a group. Pure; `supervisor.py`
acts on it.

Source: `do_restart`, `restart`, `restart_multiple_children` and `do_auto_shutdown` in OTP's supervisor.erl.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import dropwhile

from .exits import Exit, Reason, leaves_of
from .spec import AutoShutdown, OnError, Policy, Restart, Strategy


class Fate(Enum):
    """What becomes of a child that ended by itself."""

    RESTART = "restart"
    KEEP = "keep"
    DROP = "drop"
    GIVE_UP = "give_up"
    ESCALATE = "escalate"


_ORDERLY = {Reason.NORMAL, Reason.SHUTDOWN}
_GRAVEST_FIRST = ((OnError.GIVE_UP, Fate.GIVE_UP), (OnError.RESTART, Fate.RESTART))


def fate(policy: Policy, exit_: Exit) -> Fate:
    """Return what becomes of a child with this policy that ended like this."""
    if exit_.reason is Reason.ESCALATED:
        return Fate.ESCALATE
    for_good = Fate.DROP if policy.restart is Restart.TEMPORARY else Fate.KEEP
    if policy.errors and exit_.reason is Reason.CRASHED and exit_.error is not None:
        judgements = {_judge(policy, leaf) for leaf in leaves_of(exit_.error)}
        return next((what for rule, what in _GRAVEST_FIRST if rule in judgements), for_good)
    if policy.restart is Restart.PERMANENT:
        return Fate.RESTART
    if policy.restart is Restart.TRANSIENT and exit_.reason not in _ORDERLY:
        return Fate.RESTART
    return for_good


def _judge(policy: Policy, leaf: BaseException) -> OnError:
    default = OnError.STOP if policy.restart is Restart.TEMPORARY else OnError.RESTART
    return next((rule for kind, rule in policy.errors if isinstance(leaf, kind)), default)


@dataclass(frozen=True, slots=True)
class Plan:
    """A restart: whom to stop, in this order; which of those to forget; whom to start, in this order."""

    stop: tuple[str, ...]
    drop: tuple[str, ...]
    start: tuple[str, ...]


def restart_plan(strategy: Strategy, children: Iterable[tuple[str, Restart]], failed: str) -> Plan:
    """Plan the restart of `failed`; `children` are all ids with their policies, in start order.

    Temporary siblings are stopped and forgotten. All others of the group start, even those that had been
    stopped.
    """
    match strategy:
        case Strategy.ONE_FOR_ONE:
            return Plan(stop=(), drop=(), start=(failed,))
        case Strategy.ONE_FOR_ALL:
            group = list(children)
        case Strategy.REST_FOR_ONE:
            group = list(dropwhile(lambda entry: entry[0] != failed, children))
    siblings = [(id_, policy) for id_, policy in group if id_ != failed]
    return Plan(
        stop=tuple(id_ for id_, _ in reversed(siblings)),
        drop=tuple(id_ for id_, policy in siblings if policy is Restart.TEMPORARY),
        start=tuple(id_ for id_, policy in group if id_ == failed or policy is not Restart.TEMPORARY),
    )


def ends_supervisor(rule: AutoShutdown, *, is_significant: bool, others_alive: Iterable[bool]) -> bool:
    """Return whether a supervisor ends after a child ended by itself for good.

    `others_alive` says for every other significant child whether it is alive; one that waits for a restart
    is.
    """
    if not is_significant or rule is AutoShutdown.NEVER:
        return False
    return rule is AutoShutdown.ANY_SIGNIFICANT or not any(others_alive)
