"""Availability by second, recovery after a fault, latencies: the figures of a run.

The runner compares them with a scenario's `Pass`, the report draws them. Definitions, so that nobody has to guess: a
second's availability is the share of the sends begun in it that were answered in time; recovery is how long after the
end of the fault the last send was begun that was not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from .sends import Send


class Second(Struct, frozen=True):
    """The sends begun within one second, which starts at `at_ms`."""

    at_ms: int
    begun: int
    answered: int


class Quantiles(Struct, frozen=True):
    """How long something took, in milliseconds, `count` times."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Figures(Struct, frozen=True):
    """All of a run's. `during` is the availability in the fault, None if nothing was sent in it; `recovery_s` is None
    if the last send of all was still not answered in time.
    """

    seconds: tuple[Second, ...]
    sends: int
    during: float | None
    recovery_s: float | None
    to_sent: Quantiles | None
    to_shown: Quantiles | None


def by_second(sent: Iterable[Send], within_s: float) -> tuple[Second, ...]:
    """Return every second between the first send and the last, also those without one."""
    begun: Counter[int] = Counter()
    answered: Counter[int] = Counter()
    for send in sent:
        second = send.invoked_ms // 1000
        begun[second] += 1
        answered[second] += send.is_answered(within_s)
    if not begun:
        return ()
    every = range(min(begun), max(begun) + 1)
    return tuple(Second(second * 1000, begun[second], answered[second]) for second in every)


def share_answered(sent: Iterable[Send], within_s: float) -> float | None:
    """Return the share that was answered in time; None of none."""
    marks = [send.is_answered(within_s) for send in sent]
    return sum(marks) / len(marks) if marks else None


def recovery_s(sent: Sequence[Send], ended_ms: int, within_s: float) -> float | None:
    """Return how long after `ended_ms` the last send was begun that was not answered in time, 0.0 if there was none
    so late; None if no send after it shows that this is over.
    """
    after = sorted((send for send in sent if send.invoked_ms >= ended_ms), key=lambda send: send.invoked_ms)
    bad = [number for number, send in enumerate(after) if not send.is_answered(within_s)]
    if not bad:
        return 0.0
    if bad[-1] == len(after) - 1:
        return None
    return (after[bad[-1]].invoked_ms - ended_ms) / 1000


def quantiles(values_ms: Iterable[float]) -> Quantiles | None:
    """Return p50, p99 (the smallest value that so many do not exceed) and the most; None of nothing."""
    values = sorted(values_ms)
    if not values:
        return None
    p50, p99 = (values[math.ceil(share * len(values)) - 1] for share in (0.5, 0.99))
    return Quantiles(len(values), p50, p99, values[-1])


def figures(sent: Sequence[Send], fault_ms: tuple[int, int], within_s: float) -> Figures:
    """Return the figures of a run whose fault was from and to these times."""
    began_ms, ended_ms = fault_ms
    return Figures(
        seconds=by_second(sent, within_s),
        sends=len(sent),
        during=share_answered((send for send in sent if began_ms <= send.invoked_ms < ended_ms), within_s),
        recovery_s=recovery_s(sent, ended_ms, within_s),
        to_sent=quantiles(send.sent_ms - send.invoked_ms for send in sent if send.sent_ms is not None),
        to_shown=quantiles(at_ms - send.invoked_ms for send in sent for at_ms in send.shown_ms),
    )
