"""How often children may crash, and how long to wait before the next try.

Supervisors count every restart in a `Window` and give up when it is exceeded; `Backoff` spaces the tries out.
Both are pure: the caller brings the time and the randomness.

The window is that of `add_restart` in OTP's supervisor.erl: sliding, with an inclusive edge. Backoff is not
in OTP; its jitter follows https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Hashable
from dataclasses import dataclass

from .checks import is_count, is_number, require
from .errors import BadSpec


@dataclass(frozen=True, slots=True)
class Window:
    """The restarts of the last `period_s` seconds, oldest first, of which `intensity` are allowed: 0 makes the
    first crash fatal.

    Raises: `BadSpec`.
    """

    intensity: int
    period_s: float
    restarts: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        require(is_count(self.intensity, least=0), "The intensity is 0 or more restarts", self.intensity)
        require(is_number(self.period_s, above=0), "The period of the intensity is above 0 s", self.period_s)

    def counted(self, now: float) -> Window:
        """Return the window with one more restart at `now`, without those that are older than the period."""
        return Window(self.intensity, self.period_s, (*self._recent(now), now))

    def headroom(self, now: float) -> int:
        """Return how many more restarts would be allowed at `now`."""
        return max(0, self.intensity - len(self._recent(now)))

    @property
    def is_exceeded(self) -> bool:
        """Whether the last counted restart was one too many."""
        return len(self.restarts) > self.intensity

    def _recent(self, now: float) -> tuple[float, ...]:
        first = bisect_left(self.restarts, True, key=lambda at: now - at <= self.period_s)
        return self.restarts[first:]


class KeyedWindows:
    """A window per key, of which only those are kept that saw a restart in the last period."""

    __slots__ = ("_fresh", "_windows")

    def __init__(self, intensity: int, period_s: float) -> None:
        self._fresh = Window(intensity, period_s)
        self._windows: dict[Hashable, Window] = {}

    def count(self, key: Hashable, now: float) -> bool:
        """Count a restart under a key; return whether it was one too many, and then forget the key."""
        window = self._windows.pop(key, self._fresh).counted(now)
        if not window.is_exceeded:
            self._windows[key] = window  # at the end: the dict is in the order of the last restarts
        while self._windows:
            oldest = next(iter(self._windows))
            if now - self._windows[oldest].restarts[-1] <= window.period_s:
                break
            del self._windows[oldest]
        return window.is_exceeded


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that grow from `first_s` by `factor` up to `most_s`; `jitter` is the share of a wait that is
    random.

    A child that ran for `most_s` or longer starts again at `first_s`. Waits do not replace the intensity:
    with an intensity of 10 in 60 s and waits of 0.1 s to 5 s, a child that never comes up is tried for about
    25 s.

    Raises: `BadSpec`.
    """

    first_s: float = 0.1
    factor: float = 2.0
    most_s: float = 5.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        are_numbers = all(is_number(value) for value in (self.first_s, self.factor, self.most_s, self.jitter))
        if not (
            are_numbers
            and 0 < self.first_s <= self.most_s < math.inf
            and self.factor >= 1
            and 0 <= self.jitter <= 1
        ):
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
