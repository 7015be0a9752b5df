"""Asks Prometheus what a dashboard would ask it, without Grafana: each panel's queries over a range of time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

from .resolve import resolved
from .view import Query

TIMEOUT_S: Final = 30.0


class Refused(Exception):
    """Prometheus did not take a query."""


@dataclass(frozen=True, slots=True)
class Range:
    """A range of time in Unix seconds, how far apart points are, and how often Prometheus scrapes."""

    start_s: float
    end_s: float
    step_s: float
    scraped_s: float

    @property
    def span_s(self) -> float:
        """How long it is."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Series:
    """A line: labels, and points of time and value. A value may be NaN."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def says_something(self) -> bool:
        """Whether any of its values is a number."""
        return any(math.isfinite(value) for _, value in self.points)


def answers(url: str, query: Query, when: Range) -> tuple[Series, ...]:
    """Return the series of a query, from the Prometheus at `url`.

    Raises: `Refused`, with what Prometheus says of the query.
    """
    expr = resolved(query.expr, step_s=when.step_s, span_s=when.span_s, scraped_s=when.scraped_s)
    return tuple(_at_end(url, expr, when.end_s) if query.at_end else _over(url, expr, when))


def _over(url: str, expr: str, when: Range) -> Iterator[Series]:
    page = _get(url, "query_range", query=expr, start=when.start_s, end=when.end_s, step=when.step_s)
    for one in page["result"]:
        yield Series(one["metric"], tuple((float(at), float(value)) for at, value in one["values"]))


def _at_end(url: str, expr: str, at_s: float) -> Iterator[Series]:
    for one in _get(url, "query", query=expr, time=at_s)["result"]:
        at, value = one["value"]
        yield Series(one["metric"], ((float(at), float(value)),))


def _get(url: str, path: str, **question: object) -> Any:
    try:
        with urlopen(f"{url}/api/v1/{path}?{urlencode(question)}", timeout=TIMEOUT_S) as page:  # noqa: S310
            return json.load(page)["data"]
    except HTTPError as error:
        raise Refused(f"{json.load(error)['error']}: {question['query']}") from error
