"""Plots as inline SVG: sends by second, how long each took, which alerts fired. No library, no script, no network.

`page.py` puts them into a run's page. Colours are classes of its style sheet, so that they follow a dark screen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from ..analysis.figures import Second
from ..outcome import Firing

WIDTH: Final = 960
HEIGHT: Final = 220
LEFT: Final = 56
BOTTOM: Final = 30
TOP: Final = 14
RIGHT: Final = 12
TICKS: Final = 6


@dataclass(frozen=True)
class Frame:
    """The axes of a plot: times from and to (UTC milliseconds), and the fault within."""

    from_ms: int
    to_ms: int
    fault_ms: tuple[int, int]

    def x(self, at_ms: float) -> float:
        """Return where a time is."""
        share = (at_ms - self.from_ms) / max(1, self.to_ms - self.from_ms)
        return LEFT + share * (WIDTH - LEFT - RIGHT)


def stacked(frame: Frame, seconds: Sequence[Second]) -> str:
    """Return bars of the sends begun in each second: answered in time, and not."""
    most = max((second.begun for second in seconds), default=1) or 1
    top = _nice(most)
    bars = []
    for second in seconds:
        x, width = frame.x(second.at_ms), max(1.0, frame.x(second.at_ms + 1000) - frame.x(second.at_ms) - 1)
        good, bad = second.answered, second.begun - second.answered
        y = _y(good / top)
        bars.append(_rect("good", x, y, width, _y(0) - y))
        if bad:
            bars.append(_rect("bad", x, _y((good + bad) / top), width, y - _y((good + bad) / top)))
    return _svg(frame, "sends begun in each second", _linear(top), bars)


def latencies(frame: Frame, points: Sequence[tuple[int, float]]) -> str:
    """Return a dot for each message: when it was begun (UTC milliseconds), and how long it took (milliseconds)."""
    most = max((took for _, took in points), default=100.0)
    decades = max(3, math.ceil(math.log10(max(10.0, most))))
    dots = [
        f'<circle class="dot" cx="{frame.x(at_ms):.1f}" cy="{_y(math.log10(max(1.0, took)) / decades):.1f}" r="2"/>'
        for at_ms, took in points
    ]
    labels = [(power / decades, _duration(10**power)) for power in range(decades + 1)]
    return _svg(frame, "from send to answer, each message", labels, dots)


def lanes(frame: Frame, alerts: Sequence[Firing]) -> str:
    """Return a lane for each alert, with a bar for each time that it fired."""
    names = list(dict.fromkeys(one.alert for one in alerts))
    height = (_y(0) - _y(1)) / len(names)
    bars = []
    for one in alerts:
        y = TOP + names.index(one.alert) * height
        ends_ms = (one.from_ms, frame.to_ms if one.to_ms is None else one.to_ms)
        begin, end = (frame.x(max(frame.from_ms, min(at_ms, frame.to_ms))) for at_ms in ends_ms)
        bars.append(_rect("alert", begin, y + 2, max(2.0, end - begin), height - 4))
    for number, name in enumerate(names):
        y = TOP + (number + 0.5) * height + 4
        bars.append(f'<text class="alerttext" x="{LEFT + 4}" y="{y:.1f}">{escape(name)}</text>')
    return _svg(frame, "alerts that fired", [], bars)


def _svg(frame: Frame, title: str, labels: Sequence[tuple[float, str]], inner: Sequence[str]) -> str:
    began, ended = frame.x(frame.fault_ms[0]), frame.x(frame.fault_ms[1])
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        _rect("fault", began, TOP, max(2.0, ended - began), HEIGHT - TOP - BOTTOM),
        f'<text class="faulttext" x="{began + 4:.1f}" y="{TOP + 12}">fault</text>',
    ]
    for share, label in labels:
        y = _y(share)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="label" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    length_s = (frame.to_ms - frame.from_ms) / 1000
    step = _nice(length_s / TICKS)
    for number in range(int(length_s / step) + 1):
        x = frame.x(frame.from_ms + number * step * 1000)
        parts.append(
            f'<text class="label" x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="middle">{number * step:g} s</text>'
        )
    return "\n".join([*parts, *inner, "</svg>"])


def _rect(kind: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)


def _nice(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20 ... that is not less."""
    power: float = 10 ** math.floor(math.log10(max(least, 1.0)))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)


def _linear(top: float) -> list[tuple[float, str]]:
    number: Callable[[float], str] = "{:g}".format
    return [(0.0, "0"), (0.5, number(top / 2)), (1.0, number(top))]


def _duration(ms: float) -> str:
    return f"{ms:g} ms" if ms < 1000 else f"{ms / 1000:g} s"
