"""Running a tree against a crash schedule, on a clock that jumps, so that the same comes of it each time.

Tests call `replay` outside of any event loop, since it runs its own.

trio runs tasks that are ready together in random order, and its public API has no way to seed that. It has a private
one, made for Hypothesis, which `seeded_scheduling` uses and puts back. The rejected alternative, to sort each trace
by time and path, hides the order of events without making it the same: whether two crashes at one moment are one
group restart or two depends on it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import trio
from trio._core import _run
from trio.testing import MockClock

from ..errors import GaveUp
from ..lifecycle import Lifecycle
from .schedule import CrashSchedule, play
from .trace import Recorder, Trace


def replay(
    make: Callable[[random.Random], Lifecycle], schedule: CrashSchedule, seconds: float, *, seed: int = 0
) -> Trace:
    """Run the supervisor that `make` returns for `seconds` of virtual time, crash its children as the schedule says,
    stop it, and return what happened.

    The times of the schedule count from the start. `make` gets a generator of chance that depends on `seed`: give its
    `random` to every supervisor, and take from it whatever else is left to chance. The order of tasks that are ready
    together depends on `seed`, too. Guaranteed: the same tree, schedule and seed give the same trace, event for
    event, in every process, on one version of trio, as long as no child asks the real world: files, sockets, threads,
    the real time. The trace has the events of the supervisors that have no observer of their own, and of the root.

    Raises: `StartFailed`, and whatever else ends the supervisor, but for `GaveUp`: that is in the trace.
    """
    recorder = Recorder()

    async def main() -> None:
        async def live() -> None:
            with suppress(GaveUp):
                await supervisor.run()
            nursery.cancel_scope.cancel()

        supervisor = make(random.Random(seed))  # noqa: S311 - chance that can be had again is the point
        own, supervisor._teller.observer = supervisor._teller.observer, recorder
        recorder.then = own
        async with trio.open_nursery() as nursery:
            nursery.start_soon(live)
            nursery.start_soon(play, schedule, supervisor)
            await trio.sleep(seconds)
            await supervisor.stop()

    with seeded_scheduling(seed):
        trio.run(main, clock=MockClock(autojump_threshold=0))
    return recorder.trace()


@contextmanager
def seeded_scheduling(seed: int) -> Iterator[None]:
    """Have trio draw the order of tasks that are ready together from `seed`: for the loops run inside."""
    was, state = _run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate()
    _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc] # trio itself sets it, for Hypothesis
    _run._r.seed(seed)
    try:
        yield
    finally:
        _run._ALLOW_DETERMINISTIC_SCHEDULING = was  # type: ignore[misc] # as above
        _run._r.setstate(state)
