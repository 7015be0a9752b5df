"""Which children crash when: schedules that are written by hand, drawn from a seed, or taken from an observed run.

Tests and chaos drills `play` them against a running tree; `replays.py` gives them a tree and a clock of their own.
A schedule is data: as JSON it can be kept beside the failure that it brought to light.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import trio

from ..checks import is_a, is_number
from ..errors import NotFound, NotRunning
from ..events import ChildTerminated, Path, SupervisorGaveUp
from ..exits import Reason
from ..lifecycle import Lifecycle
from .faults import Injected, crash, parts_of
from .trace import Trace

INJECTED = f"{Injected.__module__}.{Injected.__name__}: "
"""How the report of an injected crash begins; its own text follows."""


@dataclass(frozen=True, slots=True)
class Crash:
    """One crash: `at_s` seconds after the beginning, of the child at `path` below the supervisor, with this text.

    Raises: ValueError.
    """

    at_s: float
    path: Path
    error: str

    def __post_init__(self) -> None:
        if not is_number(self.at_s, least=0) or self.at_s == float("inf"):
            raise ValueError(f"A crash is 0 s or more after the beginning, not {self.at_s!r}.")
        parts_of(self.path)
        if not is_a(self.error, str):
            raise ValueError(f"The error of a crash is a text, not {self.error!r}.")


@dataclass(frozen=True, slots=True)
class CrashSchedule:
    """Crashes, in the order of their times; those of one time keep the order they were given in."""

    crashes: tuple[Crash, ...]

    def __post_init__(self) -> None:
        in_order = tuple(sorted(self.crashes, key=lambda crash_: crash_.at_s))
        object.__setattr__(self, "crashes", in_order)

    @classmethod
    def of(cls, *crashes: tuple[float, str | Path, str]) -> Self:
        """Return the schedule of these times, paths and texts.

        Raises: ValueError.
        """
        return cls(tuple(Crash(at_s, parts_of(path), error) for at_s, path, error in crashes))

    @classmethod
    def random(cls, seed: int, paths: Sequence[str | Path], crashes: int, within_s: float) -> Self:
        """Draw a schedule: so many crashes in the first `within_s` seconds, to the millisecond, of any of the
        children. The same arguments give the same schedule, always.

        Raises: ValueError.
        """
        if crashes and not paths:
            raise ValueError("Crashes need the paths of children.")
        draw = random.Random(seed)  # noqa: S311 - chance that can be had again is the point
        return cls.of(
            *(
                (round(draw.uniform(0, within_s), 3), draw.choice(paths), f"crash {number}")
                for number in range(1, crashes + 1)
            )
        )

    @classmethod
    def from_trace(cls, trace: Trace) -> Self:
        """Return what crashed in an observed run: running children that ended of themselves, with an error.

        Times count from the first event. A crash has the time at which its supervisor dealt with it, which is later
        than it was if the supervisor was busy. A supervisor that gave up is a consequence and left out; so are starts
        that failed.
        """
        gave_up: set[Path] = set()
        found: list[tuple[float, str | Path, str]] = []
        for entry in trace:
            match entry.event:
                case SupervisorGaveUp(path=path):
                    gave_up.add(path)
                case ChildTerminated(path=path, reason=Reason.CRASHED, report=report, because=None) if report:
                    if path not in gave_up:
                        found.append((entry.at_s, path[1:], report.error.removeprefix(INJECTED)))
                    gave_up.discard(path)
        return cls.of(*found)

    def to_json(self) -> str:
        """Return the schedule as JSON."""
        return json.dumps(
            {
                "crashes": [
                    {"at_s": one.at_s, "path": list(one.path), "error": one.error} for one in self.crashes
                ]
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the schedule that `to_json` wrote.

        Raises: ValueError.
        """
        try:
            rows: Iterable[dict[str, Any]] = json.loads(text)["crashes"]
            return cls.of(*((row["at_s"], tuple(row["path"]), row["error"]) for row in rows))
        except (KeyError, TypeError) as error:
            raise ValueError(f"This JSON is no crash schedule: {error!r}.") from error


async def play(
    schedule: CrashSchedule,
    supervisor: Lifecycle,
    *,
    make_error: Callable[[str], BaseException] = Injected,
) -> list[Crash]:
    """Crash children as the schedule says, from now on, and return the crashes that found no running child.

    `make_error` makes the exception of a crash from its text, for trees that judge by exception.
    """
    missed = []
    began_s = trio.current_time()
    for one in schedule.crashes:
        await trio.sleep_until(began_s + one.at_s)
        try:
            crash(supervisor, one.path, make_error(one.error))
        except (NotFound, NotRunning):
            missed.append(one)
    return missed
