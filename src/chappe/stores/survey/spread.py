"""How a number is spread over many things, in memory that grows with the number of different values only."""

from __future__ import annotations

from collections import Counter


class Spread:
    """Median, 99th percentile and greatest of what was added; exact."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, value: int, times: int = 1) -> None:
        """Take note of a value."""
        self._counts[value] += times

    def to_dict(self) -> dict[str, int]:
        """Return `of` how many it is a summary, and `p50`, `p99` and `max`; these are 0 of nothing."""
        return {"of": self._counts.total(), "p50": self._at(0.5), "p99": self._at(0.99), "max": self._at(1.0)}

    def _at(self, share: float) -> int:
        """Return the least value that this share of all is no greater than."""
        left = share * self._counts.total()
        for value, count in sorted(self._counts.items()):
            left -= count
            if left <= 0:
                return value
        return 0
