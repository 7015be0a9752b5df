"""The leaky bucket: how often something may happen, with room for a burst.

The gateway keeps one per device and kind of work, and per address before sign-in. Each amount fills the
bucket, which leaks at a steady rate; what would overflow is refused and told how long to wait. It is two
floats, so a hundred thousand of them are cheap. Source: the "leaky bucket as a meter", ITU-T I.371.
"""

from __future__ import annotations

from typing import Final

_DUST: Final = 1e-6
"""What float rounding may leave over: whoever waited as long as told is let through."""


class LeakyBucket:
    """Allows `burst` at once and `per_s` a second over time."""

    __slots__ = ("_at", "_level", "burst", "per_s")

    def __init__(self, burst: float, per_s: float) -> None:
        if burst <= 0 or per_s <= 0:
            raise ValueError("A bucket needs a burst and a rate above zero.")
        self.burst = burst
        self.per_s = per_s
        self._level = 0.0
        self._at = 0.0

    def take(self, now: float, amount: float = 1) -> float:
        """Take `amount`; return 0 if it was allowed, else the seconds after which the same would be, and take
        nothing.

        Raises: `ValueError` for an amount above the burst, which no waiting allows.
        """
        if amount > self.burst:
            raise ValueError(f"No more than {self.burst} fits into this bucket at once.")
        level = self._leak(now)
        over = level + amount - self.burst
        if over > _DUST:
            return over / self.per_s
        self._level = level + amount
        return 0.0

    def level(self, now: float) -> float:
        """Return how full it is."""
        return self._leak(now)

    def fill(self, now: float, level: float) -> None:
        """Make it at least that full, or full: something was taken elsewhere."""
        self._level = max(self._leak(now), min(level, self.burst))

    def _leak(self, now: float) -> float:
        """Let out what leaked since the last look; a clock that went back leaks nothing."""
        if now > self._at:
            self._level = max(0.0, self._level - (now - self._at) * self.per_s)
            self._at = now
        return self._level
