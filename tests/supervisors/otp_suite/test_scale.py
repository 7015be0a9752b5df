"""The work of starting and stopping grows with the number of children, not faster.

It is counted in lines of the package that run, which no busy machine changes. What grows inside one built-in
call (a search in a list, say) is not seen.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from trio.testing import MockClock, wait_all_tasks_blocked

import supervisors
from supervisors import DynamicSupervisor, Restart, Supervisor, child

from .suite import counts, run_of, traps

PACKAGE = str(Path(supervisors.__file__).parent)
FEW, MANY = 100, 1000
SLACK = 1.1
"""Ten times the children may take this much more than ten times the lines."""


@contextmanager
def counted_lines() -> Iterator[list[int]]:
    """Count the lines of the package that run in the block; the list holds one number."""
    count = [0]

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        count[0] += event == "line"
        return trace

    before = sys.gettrace()  # coverage's, maybe
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(before)


async def lines_of(work: Callable[[], Awaitable[object]]) -> int:
    with counted_lines() as count:
        await work()
        await wait_all_tasks_blocked()
    return count[0]


def grows_with_the_children(lines: dict[int, int]) -> bool:
    return lines[FEW] > FEW and lines[MANY] < lines[FEW] * MANY / FEW * SLACK


async def test_scale_start_stop_many_children(autojump_clock: MockClock) -> None:
    async def start() -> None:
        for number in range(size):
            await supervisor.start_child(child(traps, 0, id=f"child{number}", shutdown=1))

    async def stop() -> None:
        for number in range(size):
            await supervisor.terminate_child(f"child{number}")

    starts, stops = {}, {}
    for size in (FEW, MANY):
        supervisor = Supervisor(intensity=2, period_s=3600)
        async with run_of(supervisor):
            starts[size] = await lines_of(start)
            assert counts(supervisor) == (size, size, 0, size)
            stops[size] = await lines_of(stop)
            assert counts(supervisor) == (size, 0, 0, size)
    assert grows_with_the_children(starts)
    assert grows_with_the_children(stops)


async def test_simple_one_for_one_scale_many_temporary_children(autojump_clock: MockClock) -> None:
    async def start() -> None:
        for number in range(size):
            spec = child(traps, 0, id=f"child{number}", restart=Restart.TEMPORARY, shutdown=1)
            await pool.start_child(spec)

    async def stop() -> None:
        for number in range(size):
            await pool.terminate_child(f"child{number}")

    starts, stops = {}, {}
    pool = DynamicSupervisor(intensity=2, period_s=3600)
    async with run_of(pool):
        for size in (FEW, MANY):
            starts[size] = await lines_of(start)
            assert counts(pool) == (size, size, 0, size)
            stops[size] = await lines_of(stop)
            assert counts(pool) == (0, 0, 0, 0)
    assert grows_with_the_children(starts)
    assert grows_with_the_children(stops)
