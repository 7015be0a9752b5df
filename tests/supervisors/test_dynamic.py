"""The pool: its bounds, its restarts, and that it forgets."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisors import (
    AlreadyStarted,
    Backoff,
    BadSpec,
    ChildStarted,
    ChildStartFailed,
    ChildStarting,
    ChildTerminated,
    DynamicSupervisor,
    GaveUp,
    NotFound,
    NotRunning,
    Restart,
    StartFailed,
    Status,
    TooManyChildren,
    child,
    stop_requested,
)

from .lab import Lab, Running


async def test_a_full_pool_refuses_and_a_restarting_child_keeps_its_place(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    pool = DynamicSupervisor(max_children=2)
    async with running(pool):
        await pool.start_child(lab.spec("a", backoff=Backoff(first_s=5, most_s=5)))
        await pool.start_child(lab.spec("b", restart=Restart.TEMPORARY))
        await lab.crash("a")
        with pytest.raises(TooManyChildren):
            await pool.start_child(lab.spec("c"))
        await lab.crash("b")
        await pool.start_child(lab.spec("c"))
        assert {info.id: info.status for info in pool.which_children()} == {
            "c": Status.RUNNING,
            "a": Status.RESTARTING,
        }


async def test_starts_run_side_by_side(autojump_clock: MockClock, running: Running) -> None:
    async def slow(*, task_status: trio.TaskStatus[float]) -> None:
        await trio.sleep(3)
        task_status.started(trio.current_time())
        await trio.sleep_forever()

    pool = DynamicSupervisor()
    async with running(pool) as nursery:
        for _ in range(5):
            nursery.start_soon(pool.start_child, child(slow))
        assert (await pool.start_child(child(slow))).value == 3.0


@pytest.mark.parametrize("restart", Restart)
async def test_who_finished_is_forgotten_unless_permanent(
    autojump_clock: MockClock, lab: Lab, running: Running, restart: Restart
) -> None:
    pool = DynamicSupervisor()
    async with running(pool):
        await pool.start_child(lab.spec("a", restart=restart))
        await lab.end("a")
        assert pool.count_children().specs == (restart is Restart.PERMANENT)


async def test_a_first_start_that_fails_is_forgotten(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    lab.failing["a"] = 1
    pool = DynamicSupervisor(intensity=0, observer=lab.events.append)
    async with running(pool):
        with pytest.raises(StartFailed, match="a cannot start"):
            await pool.start_child(lab.spec("a"))
        assert pool.count_children().specs == 0
        await pool.start_child(lab.spec("a"))
        kinds = [ChildStarting, ChildStartFailed, ChildStarting, ChildStarted]
        assert [type(event) for event in lab.events[1:]] == kinds


async def test_failed_restarts_are_tried_again_and_counted(autojump_clock: MockClock, lab: Lab) -> None:
    pool = DynamicSupervisor(intensity=3)
    with pytest.raises(BaseExceptionGroup) as caught:  # noqa: PT012 - a nursery is one statement
        async with trio.open_nursery() as nursery:
            await nursery.start(pool.run)
            await pool.start_child(lab.spec("a"))
            await pool.start_child(lab.spec("b"))
            lab.failing["a"] = 2
            await lab.crash("a")
            assert lab.take_log() == "+a +b -a !a !a +a"
            await lab.crash("b")
    assert isinstance(caught.value.exceptions[0], GaveUp)
    assert lab.live == {}


async def test_terminate_child(autojump_clock: MockClock, lab: Lab, running: Running) -> None:
    lab.goodbye_s["a"] = 2
    pool = DynamicSupervisor(observer=lab.events.append)
    async with running(pool) as nursery:
        await pool.start_child(lab.spec("a"))
        await pool.start_child(lab.spec("b", backoff=Backoff()))
        nursery.start_soon(pool.terminate_child, "a")
        await pool.terminate_child("a")
        assert (trio.current_time(), list(lab.live)) == (2, ["b"])
        await lab.crash("b")
        await pool.terminate_child("b")
        await trio.sleep(10)
        assert lab.take_log() == "+a +b -a -b"
        with pytest.raises(NotFound):
            await pool.terminate_child("b")
    assert [event.path[-1] for event in lab.seen(ChildTerminated)] == ["a", "b"]


async def test_a_caller_that_gives_up_does_not_take_the_child_with_it(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    async def slow(*, task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep(10)
        task_status.started()
        await trio.sleep_forever()

    pool = DynamicSupervisor(observer=lab.events.append)
    async with running(pool):
        with trio.move_on_after(1) as scope:
            await pool.start_child(child(slow, id="a"))
        assert scope.cancelled_caught
        assert pool.which_children()[0].status is Status.STARTING
        await trio.sleep(20)
        assert lab.seen(ChildStarted) == [ChildStarted(("pool", "a"), 0)]
        with trio.move_on_after(0):
            await pool.start_child(child(slow, id="b"))
        assert pool.count_children().specs == 1


async def test_stopping_the_pool_ends_a_start_that_waits(autojump_clock: MockClock) -> None:
    async def never_ready(*, task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep_forever()

    async def start() -> None:
        with pytest.raises(StartFailed, match="stopped before it was ready"):
            await pool.start_child(child(never_ready))
        outcome.append("refused")

    outcome: list[str] = []
    pool = DynamicSupervisor()
    async with trio.open_nursery() as nursery:
        await nursery.start(pool.run)
        nursery.start_soon(start)
        await wait_all_tasks_blocked()
        await pool.stop()
        with pytest.raises(NotRunning):
            pool.start_child_nowait(child(trio.sleep_forever))
    assert outcome == ["refused"]


async def test_nowait_starts_at_once_and_only_who_does_not_acknowledge(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    pool = DynamicSupervisor()
    async with running(pool):
        assert [pool.start_child_nowait(child(trio.sleep_forever)) for _ in range(2)] == ["#1", "#2"]
        with pytest.raises(BadSpec):
            pool.start_child_nowait(lab.spec("a"))
        with pytest.raises(AlreadyStarted):
            pool.start_child_nowait(child(trio.sleep_forever, id="#1"))


async def test_each_child_of_a_pool_has_its_own_time_to_stop(
    autojump_clock: MockClock, running: Running
) -> None:
    ends: dict[str, float] = {}

    async def listens(name: str) -> None:
        try:
            await stop_requested()
            await trio.sleep(100)
        finally:
            ends[name] = trio.current_time()

    pool = DynamicSupervisor()
    async with running(pool):
        for name, shutdown in {"none": 0.0, "short": 1.0, "long": 7.0}.items():
            await pool.start_child(child(listens, name, shutdown=shutdown))
        await wait_all_tasks_blocked()
    assert ends == {"none": 0.0, "short": 1.0, "long": 7.0}
