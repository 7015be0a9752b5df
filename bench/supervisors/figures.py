"""What the runs say: medians over the rounds, and ratios of two cases.

`report` asks. A ratio is taken round by round, between processes that ran next to each other, and then its median: a
shared machine's speed drifts from one minute to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from .runs import Result

BYTES = "bytes"
"""The metric of memory; all others are names of phases, in CPU microseconds for each."""

ALLOCATED = "allocated"


@dataclass(frozen=True, slots=True)
class Run:
    """All of it: how and where it ran, a list of results for each round, and those with memory traced."""

    machine: str
    revision: str
    command: str
    erl: str | None
    rounds: Sequence[Sequence[Result]]
    traced: Sequence[Result] = ()

    @property
    def counts(self) -> list[int]:
        """The numbers of children that were measured, ascending."""
        return sorted({result.count for results in self.rounds for result in results})

    def figure(self, label: str, count: int, metric: str) -> float | None:
        """Return the median of a metric; None if that was not measured."""
        return _median([_value(results, label, count, metric) for results in self.rounds])

    def ratio(self, label: str, other: str, count: int, metric: str) -> float | None:
        """Return how many times `other` it is."""
        pairs = [
            (_value(results, label, count, metric), _value(results, other, count, metric))
            for results in self.rounds
        ]
        return _median([one / two if one is not None and two else None for one, two in pairs])

    def growth(self, label: str, metric: str) -> float | None:
        """Return how many times dearer one child is among the most than among the fewest: 1 is linear."""
        counts = [count for count in self.counts if self.figure(label, count, metric) is not None]
        if len(counts) < 2:
            return None
        few, many = (self.figure(label, count, metric) for count in (counts[0], counts[-1]))
        return many / few if few and many is not None else None

    def allocated(self, label: str) -> float | None:
        """Return the bytes allocated per child as the process itself counts them: erl always, Python if traced."""
        if label.startswith("erl"):
            figures = [self.figure(label, count, ALLOCATED) for count in self.counts]
            return next((figure for figure in reversed(figures) if figure is not None), None)
        return next(
            (
                _value([result], label, result.count, ALLOCATED)
                for result in self.traced
                if result.case.label == label
            ),
            None,
        )


def _value(results: Sequence[Result], label: str, count: int, metric: str) -> float | None:
    found = next((r for r in results if r.case.label == label and r.count == count), None)
    if found is None:
        return None
    if metric in (BYTES, ALLOCATED):
        start = found.phases["start"]
        return (start.rss if metric == BYTES else start.allocated) / start.count
    phase = found.phases.get(metric)
    return None if phase is None else phase.us


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
