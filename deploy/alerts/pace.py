"""Time in rules: written as in Prometheus, cut to a fraction for those who cannot wait.

With a pace of 60 an hour is a minute. What is scraped every second then has five samples in the shortest window, 5 min.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_UNITS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_LEAST_S: Final = 1


@dataclass(frozen=True, slots=True)
class Pace:
    """How many times faster than real."""

    factor: float = 1.0

    def __call__(self, duration: str) -> str:
        """Return a duration such as `5m` or `3d` at this pace, never under a second."""
        return _text(max(_LEAST_S, round(_seconds(duration) / self.factor)))


def _seconds(duration: str) -> int:
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([dhms])", duration))


def _text(seconds: int) -> str:
    parts = []
    for unit, size in _UNITS.items():
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts)
