"""How far two clocks are apart, judged from questions and answers between them.

`workers/clock.py` asks. Whoever asks another clock for its time learns it as it was at some moment between question
and answer, so the difference is known to within half of the round trip, and best from the quickest answer (Cristian,
"Probabilistic Clock Synchronization", 1989). Rejected: a mean over the answers, which a slow one spoils.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Offset:
    """Our clock is ahead of the other by `ahead_ms`, give or take `unsure_ms`."""

    ahead_ms: float
    unsure_ms: float


def offset(asked_ms: float, took_ms: float, theirs_ms: float) -> Offset:
    """Return what one answer says: asked when our clock showed `asked_ms`, answered `took_ms` later."""
    return Offset(asked_ms + took_ms / 2 - theirs_ms, took_ms / 2)


def best(offsets: Iterable[Offset], most_ms: float) -> Offset | None:
    """Return the surest of these; None when not even that is sure to within `most_ms`.

    So whoever tolerates `most_ms` of `ahead_ms` never blames a clock that is right, however slow the answers were, and
    never overlooks one that is off by more than twice as much.
    """
    surest = min(offsets, key=lambda one: one.unsure_ms, default=None)
    return surest if surest is not None and surest.unsure_ms <= most_ms else None
