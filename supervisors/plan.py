"""What a supervisor does when a child ends: stay, drop it, or stop and start a group. Pure; `supervisor.py`
acts on it.

Source: `do_restart`, `restart`, `restart_multiple_children` and `do_auto_shutdown` in OTP's supervisor.erl.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from .exits import Reason
from .spec import AutoShutdown, Restart, Strategy


class Fate(Enum):
    """What becomes of a child that ended by itself."""

    RESTART = "restart"
    KEEP = "keep"
    DROP = "drop"
    ESCALATE = "escalate"


_ORDERLY = {Reason.NORMAL, Reason.SHUTDOWN}


def fate(restart: Restart, reason: Reason) -> Fate:
    """Return what becomes of a child with this restart policy that ended for this reason."""
    if reason is Reason.ESCALATED:
        return Fate.ESCALATE
    if restart is Restart.TEMPORARY:
        return Fate.DROP
    if restart is Restart.TRANSIENT and reason in _ORDERLY:
        return Fate.KEEP
    return Fate.RESTART


@dataclass(frozen=True, slots=True)
class Plan:
    """A restart: whom to stop, in this order; which of those to forget; whom to start, in this order."""

    stop: tuple[str, ...]
    drop: tuple[str, ...]
    start: tuple[str, ...]


def restart_plan(strategy: Strategy, children: Sequence[tuple[str, Restart]], failed: str) -> Plan:
    """Plan the restart of `failed`; `children` are all ids with their policies, in start order.

    Temporary siblings are stopped and forgotten. All others of the group start, even those that had been
    stopped.
    """
    match strategy:
        case Strategy.ONE_FOR_ONE:
            group = [(id_, policy) for id_, policy in children if id_ == failed]
        case Strategy.ONE_FOR_ALL:
            group = list(children)
        case Strategy.REST_FOR_ONE:
            first = next(index for index, (id_, _) in enumerate(children) if id_ == failed)
            group = list(children[first:])
    siblings = [(id_, policy) for id_, policy in group if id_ != failed]
    drop = tuple(id_ for id_, policy in siblings if policy is Restart.TEMPORARY)
    return Plan(
        stop=tuple(id_ for id_, _ in reversed(siblings)),
        drop=drop,
        start=tuple(id_ for id_, _ in group if id_ not in drop),
    )


def ends_supervisor(rule: AutoShutdown, *, is_significant: bool, others_alive: Iterable[bool]) -> bool:
    """Return whether a supervisor ends after a child ended by itself for good.

    `others_alive` says for every other significant child whether it is alive; one that waits for a restart
    is.
    """
    if not is_significant or rule is AutoShutdown.NEVER:
        return False
    return rule is AutoShutdown.ANY_SIGNIFICANT or not any(others_alive)
