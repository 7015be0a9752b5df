"""The trio side: one case in a process of its own, from empty to empty. `runs` starts it and watches it.

After each phase it writes a line `<phase> <count> <bytes allocated>` and blocks until it is answered; the CPU time
since the line before, over the count, is the phase's figure. The bytes are 0 unless memory is traced. `pool.erl` does
the same phases on Erlang.
"""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import trio

from supervisors import ChildTerminated, DynamicSupervisor, Event, Supervisor, child

CRASHES: Final = 100
"""Few, since OTP's log drops what is above 500 reports in a second, and a gen_server's crash makes three."""

WARM_UP: Final = 20
TERMINATED: Final = 500
INTENSITY: Final = 10**6

Mark = Callable[[str, int], None]


def main() -> None:
    """Run the case that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=sorted(CASES))
    parser.add_argument("count", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--no-gc", action="store_true")
    parser.add_argument("--trace", action="store_true")
    options = parser.parse_args()
    logging.basicConfig(filename=options.folder / "log", format="%(asctime)s %(levelname)s %(message)s")
    if options.no_gc:
        gc.disable()
    if options.trace:
        tracemalloc.start()
    trio.run(_measured, CASES[options.case], options.count)


async def _measured(case: Callable[[Mark, int], Awaitable[None]], count: int) -> None:
    gc.collect()
    for _ in range(5):  # what a mark itself costs
        mark("nothing", 1)
    await case(mark, count)


def mark(phase: str, count: int) -> None:
    """End a phase: tell, and wait until its figures have been taken."""
    sys.stdout.write(f"{phase} {count} {tracemalloc.get_traced_memory()[0]}\n")
    sys.stdout.flush()
    if not sys.stdin.readline():
        sys.exit("nobody measures")


# Bare tasks


async def idle() -> None:
    """What every child and task does: nothing, for ever."""
    await trio.sleep_forever()


async def idle_in_scope() -> None:
    """The same, in a cancel scope of its own."""
    with trio.CancelScope():
        await trio.sleep_forever()


async def idle_acknowledged(*, task_status: trio.TaskStatus[None]) -> None:
    """The same, and it says when it has started."""
    task_status.started()
    await trio.sleep_forever()


async def bare_tasks(fn: Callable[[], Awaitable[None]], mark: Mark, count: int) -> None:
    """Start tasks, then cancel all."""
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(fn)
        await _all_ran()
        mark("start", count)
        nursery.cancel_scope.cancel()
    mark("stop", count)


async def acknowledged_tasks(mark: Mark, count: int) -> None:
    """Start tasks that say when they run, one after the other, then cancel all."""
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            await nursery.start(idle_acknowledged)
        mark("start", count)
        nursery.cancel_scope.cancel()
    mark("stop", count)


async def _all_ran() -> None:
    # Two, because this task may come first in its round.
    await trio.lowlevel.checkpoint()
    await trio.lowlevel.checkpoint()


# Supervised children


async def pool_of(fill: Callable[[DynamicSupervisor, int], Awaitable[None]], mark: Mark, count: int) -> None:
    """Fill a pool, exercise it, let a tenth as many again crash at the same time, stop it."""
    async with trio.open_nursery() as nursery:
        pool = DynamicSupervisor(intensity=INTENSITY)
        await nursery.start(pool.run)
        mark("boot", 1)
        await fill(pool, count)
        mark("start", count)
        await _exercise(pool, mark, count)
        await _storm(pool, mark, max(1, count // 10))
        await pool.stop()
    mark("stop", count)


async def observed_pool(mark: Mark, count: int) -> None:
    """Fill and exercise a pool with an observer that writes crashes to a log."""
    async with trio.open_nursery() as nursery:
        pool = DynamicSupervisor(intensity=INTENSITY, observer=_log)
        await nursery.start(pool.run)
        mark("boot", 1)
        await fill_ready(pool, count)
        mark("start", count)
        await _exercise(pool, mark, count)
        await pool.stop()
    mark("stop", count)


async def fill_ready(pool: DynamicSupervisor, count: int) -> None:
    """Start all from one spec."""
    spec = child(idle)
    for _ in range(count):
        pool.start_child_nowait(spec)
    await _all_ran()


async def fill_fresh(pool: DynamicSupervisor, count: int) -> None:
    """Make a spec for each start, as one with arguments of its own needs."""
    for _ in range(count):
        pool.start_child_nowait(child(idle))
    await _all_ran()


async def fill_acknowledged(pool: DynamicSupervisor, count: int) -> None:
    """Start children that say when they run, one after the other."""
    spec = child(idle_acknowledged)
    for _ in range(count):
        await pool.start_child(spec)


async def ordered(mark: Mark, count: int) -> None:
    """Boot a supervisor with all its children, making their specs included; it has the observer of the pool."""
    async with trio.open_nursery() as nursery:
        specs = (child(idle, id=f"#{number}") for number in range(count))
        supervisor = Supervisor(specs, intensity=INTENSITY, observer=_log)
        await nursery.start(supervisor.run)
        await _all_ran()
        mark("start", count)
        await _exercise(supervisor, mark, count)
        await supervisor.stop()
    mark("stop", count)


async def _exercise(supervisor: DynamicSupervisor | Supervisor, mark: Mark, count: int) -> None:
    assert supervisor.count_children().active == count
    mark("counted", 1)
    supervisor.snapshot()
    mark("snapshot", count)
    supervisor.which_children()
    mark("which_children", count)
    supervisor.count_children()
    mark("count_children", count)
    more = [child(idle, id=f"more {number}") for number in range(TERMINATED)]
    for spec in more:
        await supervisor.start_child(spec)
    mark("start_one", TERMINATED)
    for spec in more:
        assert spec.id is not None
        await supervisor.terminate_child(spec.id)
    mark("terminate", TERMINATED)
    fragile = Fragile()
    await supervisor.start_child(child(fragile.run))
    await _all_ran()
    await fragile.crash(WARM_UP)
    mark("warm_up", WARM_UP)
    await fragile.crash(CRASHES)
    mark("crash", CRASHES)


async def _storm(pool: DynamicSupervisor, mark: Mark, count: int) -> None:
    children = [Fragile() for _ in range(count)]
    for fragile in children:
        pool.start_child_nowait(child(fragile.run))
    await _all_ran()
    mark("before_storm", count)
    for fragile in children:
        fragile.fall()
    for fragile in children:
        await fragile.up.wait()
    mark("storm", count)


class Fragile:
    """A child that crashes when it is told to, and tells when it runs again."""

    def __init__(self) -> None:
        self.up = trio.Event()
        self._fall = trio.Event()

    async def run(self) -> None:
        """Be the child."""
        self._fall = trio.Event()
        self.up.set()
        await self._fall.wait()
        raise RuntimeError("crash")

    def fall(self) -> None:
        """Crash; `up` is set when it runs again."""
        self.up = trio.Event()
        self._fall.set()

    async def crash(self, times: int) -> None:
        """Crash so many times, each when it runs again after the one before."""
        for _ in range(times):
            self.fall()
            await self.up.wait()


def _log(event: Event) -> None:
    if isinstance(event, ChildTerminated) and event.report is not None:
        logging.error("Child %s ended: %s", "/".join(event.path), event.report.text)


CASES: Final[dict[str, Callable[[Mark, int], Awaitable[None]]]] = {
    "task": partial(bare_tasks, idle),
    "scope": partial(bare_tasks, idle_in_scope),
    "task_started": acknowledged_tasks,
    "pool": partial(pool_of, fill_ready),
    "pool_fresh": partial(pool_of, fill_fresh),
    "pool_observed": observed_pool,
    "pool_started": partial(pool_of, fill_acknowledged),
    "ordered": ordered,
}


if __name__ == "__main__":
    main()
