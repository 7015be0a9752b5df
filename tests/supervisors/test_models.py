"""Models under virtual time: whatever crashes, fails to start, is slow to stop or is asked for, in whatever order.

They hold: no two runs of one id at the same time (the children check it themselves); the last stop is the reverse of
the start order; restarts in a window never exceed the intensity; after the end no task is left.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from supervisors import (
    Backoff,
    ChildSpec,
    ChildStarted,
    ChildTerminated,
    DynamicSupervisor,
    Event,
    GaveUp,
    Restart,
    Status,
    Strategy,
    Supervisor,
    SupervisorError,
    child,
    trap_stop,
)

PERIOD_S = 3.0
Place = Supervisor | DynamicSupervisor


@dataclass
class Life:
    """What the children of one example do, and what they see."""

    failing: dict[str, int] = field(default_factory=dict)
    live: dict[str, trio.Event] = field(default_factory=dict)
    ends: list[str] = field(default_factory=list)
    overlaps: list[str] = field(default_factory=list)
    events: list[tuple[float, Event]] = field(default_factory=list)

    async def work(self, name: str, *, task_status: trio.TaskStatus[None]) -> None:
        if self.failing.get(name):
            self.failing[name] -= 1
            raise OSError(name)
        if name in self.live:  # the supervisor would take an AssertionError here for a crash
            self.overlaps.append(name)
        self.live[name] = trio.Event()
        if name in "bd":  # these listen, and then take all of their time
            trap_stop()
        try:
            await trio.sleep(0.1 if name == "c" else 0)
            task_status.started()
            await self.live[name].wait()
            raise ValueError(name)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.7 if name in "cd" else 0)
            del self.live[name]
            self.ends.append(name)

    def observe(self, event: Event) -> None:
        self.events.append((trio.current_time(), event))

    def check_events(self, intensity: int) -> None:
        crashes = [
            at for at, event in self.events if isinstance(event, ChildTerminated) and event.will_restart
        ]
        for at in crashes:
            assert sum(at - PERIOD_S <= other <= at for other in crashes) <= intensity
        running: set[str] = set()
        for _, event in self.events:
            if isinstance(event, ChildStarted):
                assert event.path[-1] not in running
                running.add(event.path[-1])
            elif isinstance(event, ChildTerminated):
                running.discard(event.path[-1])
        assert not running


def doings(
    place: Place, life: Life, specs: dict[str, ChildSpec]
) -> dict[str, Callable[[str], Awaitable[object]]]:
    async def crash(name: str) -> None:
        if name in life.live:
            life.live[name].set()
        await trio.lowlevel.checkpoint()

    async def fail_starts(name: str) -> None:
        life.failing[name] = 2
        await trio.lowlevel.checkpoint()

    async def sleep(name: str) -> None:
        await trio.sleep(0.4)

    common: dict[str, Callable[[str], Awaitable[object]]] = {
        "crash": crash,
        "fail_starts": fail_starts,
        "terminate": place.terminate_child,
        "add": lambda name: place.start_child(specs[name]),
        "sleep": sleep,
    }
    if isinstance(place, Supervisor):
        common |= {"restart": place.restart_child, "delete": place.delete_child}
    return common


async def live_through(
    place: Place, life: Life, specs: dict[str, ChildSpec], script: list[tuple[str, str, bool]]
) -> None:
    async def do(verb: str, name: str) -> None:
        with suppress(SupervisorError):  # to be refused is an answer, too
            await doings(place, life, specs)[verb](name)

    async with trio.open_nursery() as nursery:
        try:
            await nursery.start(place.run)
        except SupervisorError:
            return
        for verb, name, waits in script:
            if waits:
                await do(verb, name)
            else:
                nursery.start_soon(do, verb, name)
        await trio.sleep(20)
        life.failing.clear()
        await trio.sleep(20)
        running = [info.id for info in place.which_children() if info.status is Status.RUNNING]
        assert sorted(running) == sorted(life.live)
        life.ends.clear()
        await place.stop()
        assert sorted(life.ends) == sorted(running)
        if isinstance(place, Supervisor):
            assert life.ends == running


def play(
    make: Callable[[Life, dict[str, ChildSpec]], Place],
    choices: list[tuple[Restart, bool]],
    script: list[tuple[str, str, bool]],
    intensity: int,
) -> None:
    life = Life()

    async def main() -> None:
        specs = {
            name: child(
                life.work,
                name,
                id=name,
                restart=restart,
                shutdown=0.5,
                backoff=Backoff(first_s=0.3, most_s=1.0) if waits else None,
            )
            for name, (restart, waits) in zip("abcd", choices, strict=True)
        }
        try:
            await live_through(make(life, specs), life, specs, script)
        except* GaveUp:
            pass
        assert (life.live, life.overlaps) == ({}, [])
        assert len(trio.lowlevel.current_task().child_nurseries) == 0

    trio.run(main, clock=MockClock(autojump_threshold=0))
    life.check_events(intensity)


names = st.sampled_from("abcd")
choices = st.lists(st.tuples(st.sampled_from(Restart), st.booleans()), min_size=4, max_size=4)
pool_verbs = ["add", "crash", "fail_starts", "terminate", "sleep"]
pool_scripts = st.lists(st.tuples(st.sampled_from(pool_verbs), names, st.booleans()), max_size=25)
verbs = [*pool_verbs, "restart", "delete"]
scripts = st.lists(st.tuples(st.sampled_from(verbs), names, st.booleans()), max_size=25)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(Strategy), choices, scripts, st.integers(0, 5))
def test_a_supervisor_keeps_its_word(
    strategy: Strategy,
    choices: list[tuple[Restart, bool]],
    script: list[tuple[str, str, bool]],
    intensity: int,
) -> None:
    def make(life: Life, specs: dict[str, ChildSpec]) -> Supervisor:
        first = [specs[name] for name in "abc"]
        return Supervisor(
            first, strategy=strategy, intensity=intensity, period_s=PERIOD_S, observer=life.observe
        )

    play(make, choices, script, intensity)


@settings(max_examples=100, deadline=None)
@given(choices, pool_scripts, st.integers(0, 5))
def test_a_pool_keeps_its_word(
    choices: list[tuple[Restart, bool]], script: list[tuple[str, str, bool]], intensity: int
) -> None:
    def make(life: Life, specs: dict[str, ChildSpec]) -> DynamicSupervisor:
        return DynamicSupervisor(intensity=intensity, period_s=PERIOD_S, observer=life.observe)

    play(make, choices, script, intensity)
