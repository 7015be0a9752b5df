"""What a dashboard is, as data: rows of panels, each with queries, a unit, thresholds and a sentence of what it says.

Written in `boards/`, read by `build.py` and by tests. A panel's `id` never changes: alerts and people's bookmarks
lead to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

GREEN, YELLOW, ORANGE, RED = "green", "yellow", "orange", "red"
GOOD = "good"  # nothing to see here: green where a number has a colour, invisible behind lines


class Kind(Enum):
    """How a panel shows its series."""

    LINES = "lines over time"
    STACK = "lines over time, on top of each other"
    STEPS = "lines over time that jump: states and small counts"
    NUMBERS = "the latest values, large"
    BARS = "the latest values, as bars with a colour by heat"


@dataclass(frozen=True, slots=True)
class Query:
    """An expression of PromQL, and what its series are called. `at_end` asks for the latest moment alone."""

    expr: str
    legend: str
    at_end: bool = False


@dataclass(frozen=True, slots=True)
class Marks:
    """Thresholds: the colour from each value on, ascending; the first holds below all of them."""

    base: str
    steps: tuple[tuple[float, str], ...]


def rising(*steps: tuple[float, str]) -> Marks:
    """Say from where on it is bad."""
    return Marks(GOOD, steps)


def falling(*steps: tuple[float, str]) -> Marks:
    """Say below what it is bad, the worst first."""
    values, colours = zip(*steps, strict=True)
    return Marks(colours[0], tuple(zip(values, (*colours[1:], GOOD), strict=True)))


@dataclass(frozen=True, slots=True)
class Scale:
    """A value axis: the unit in Grafana's terms (`s`, `percentunit`), hard and soft ends, digits after the point."""

    unit: str
    least: float | None = 0
    most: float | None = None
    soft_most: float | None = None
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class View:
    """A panel. `width` is of 24, `height` in Grafana's rows of 38 pixels; `colours` are by name of a series;
    `empty` is what stands there while there is nothing."""

    id: int
    title: str
    about: str
    scale: Scale
    queries: tuple[Query, ...]
    marks: Marks | None = None
    kind: Kind = Kind.LINES
    width: int = 8
    height: int = 8
    colours: Mapping[str, str] = field(default_factory=dict)
    empty: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a title; their widths are 24 in all, or a multiple of it."""

    title: str
    views: tuple[View, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard. `is_marked` draws where chaos scenarios ran."""

    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]
    is_marked: bool = False

    @property
    def views(self) -> tuple[View, ...]:
        """All panels, in order."""
        return tuple(view for row in self.rows for view in row.views)
