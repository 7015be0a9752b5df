"""How often children may crash, and how long to wait before the next try.

Supervisors count every restart in a `Window` and give up when it is exceeded; `Backoff` spaces the tries out.
Both are pure: the caller brings the time and the randomness.

The window is that of `add_restart` in OTP's supervisor.erl: sliding, with an inclusive edge. Backoff is not
in OTP; its jitter follows https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from .errors import BadSpec


@dataclass(frozen=True, slots=True)
class Window:
    """The restarts of the last `period_s` seconds, of which `intensity` are allowed: 0 makes the first crash
    fatal.
    """

    intensity: int
    period_s: float
    restarts: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.intensity < 0:
            raise BadSpec(f"The intensity must be 0 or more restarts, not {self.intensity}.")
        if not self.period_s > 0:
            raise BadSpec(f"The period of the intensity must be above 0 s, not {self.period_s}.")

    def counted(self, now: float) -> Window:
        """Return the window with one more restart at `now`, without those that are older than the period."""
        recent = tuple(at for at in self.restarts if now - at <= self.period_s)
        return replace(self, restarts=(*recent, now))

    @property
    def is_exceeded(self) -> bool:
        """Whether the last counted restart was one too many."""
        return len(self.restarts) > self.intensity


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that grow from `first_s` by `factor` up to `most_s`; `jitter` is the share of a wait that is
    random.

    A child that ran for `most_s` or longer starts again at `first_s`. Waits do not replace the intensity:
    with an intensity of 10 in 60 s and waits of 0.1 s to 5 s, a child that never comes up is tried for about
    25 s.
    """

    first_s: float = 0.1
    factor: float = 2.0
    most_s: float = 5.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if not (0 < self.first_s <= self.most_s < math.inf and self.factor >= 1 and 0 <= self.jitter <= 1):
            raise BadSpec(f"Backoff needs 0 < first_s <= most_s, factor >= 1 and jitter from 0 to 1: {self}.")

    def delay_s(self, failures: int, chance: float) -> float:
        """Return the wait after so many failures in a row (from 1); `chance` is a random number from 0 to
        below 1.
        """
        try:
            wait = min(self.most_s, self.first_s * self.factor ** (failures - 1))
        except OverflowError:
            wait = self.most_s
        return wait * (1 - self.jitter * chance)
