"""Turns the phases into the Markdown that is printed and kept in docs/capacity.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from ..report import aligned
from ..traffic import Phase

BEGIN: Final = "<!-- results: written by `python -m bench.stores --write-docs`, do not edit -->"
END: Final = "<!-- results end -->"
ROWS_PER_MESSAGE: Final = 2
"""One of the chat log and one of the reader's inbox."""
GOAL_ROW_US: Final = 45.0
_HEAD: Final = (
    "stores",
    "workers",
    "in flight",
    "delivered/s",
    "p50 ms",
    "p99 ms",
    "gateway us",
    "lost",
    "twice",
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One phase of one setup; `cpu_s` is what gateway and servers used in its window."""

    stores: str
    workers: int
    phase: Phase
    cpu_s: Mapping[str, float]

    def us(self, name: str) -> float:
        """Return somebody's CPU per delivered message, in microseconds."""
        return self.cpu_s[name] / self.phase.delivered * 1e6

    @property
    def servers_us(self) -> dict[str, float]:
        """The servers' CPU per delivered message by kind of server: a ring's nodes together."""
        names = [name for name in self.cpu_s if name != "gateway"]
        kinds = {kind: list(group) for kind, group in groupby(names, key=lambda name: name.partition("-")[0])}
        return {kind: sum(map(self.us, group)) for kind, group in kinds.items()}


@dataclass(frozen=True, slots=True)
class DriverCost:
    """What the driver and the bridge to it cost in the gateway: CPU per stored row, by whose thread it is."""

    in_flight: int
    driver_us: float
    loop_us: float

    @property
    def whole_us(self) -> float:
        """Both together."""
        return self.driver_us + self.loop_us


def table(measured: Sequence[Measured]) -> str:
    """Return all phases as a table."""
    kinds = list(dict.fromkeys(kind for one in measured for kind in one.servers_us))
    head = [*_HEAD[:7], *(f"{kind} us" for kind in kinds), *_HEAD[7:]]
    rows = [
        [
            one.stores,
            str(one.workers),
            str(one.phase.in_flight),
            f"{one.phase.per_s:,.0f}",
            f"{one.phase.delivered_p50_ms:.0f}",
            f"{one.phase.delivered_p99_ms:.0f}",
            f"{one.us('gateway'):.0f}",
            *(f"{one.servers_us[kind]:.0f}" if kind in one.servers_us else "" for kind in kinds),
            str(one.phase.lost),
            str(one.phase.twice),
        ]
        for one in measured
    ]
    return aligned(head, rows, right=range(1, len(head)))


def driver(cost: DriverCost) -> str:
    """Return a sentence about the goal."""
    met = "met" if cost.whole_us <= GOAL_ROW_US else "missed"
    return (
        f"Goal {met}: driver and bridge cost the gateway {cost.whole_us:.0f} us of CPU per stored row at "
        f"{cost.in_flight} in flight ({cost.driver_us:.0f} in the driver's threads, {cost.loop_us:.0f} in the event "
        f"loop; goal: at most {GOAL_ROW_US:.0f})."
    )
