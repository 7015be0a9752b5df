"""Pools, OTP's simple_one_for_one: restarts, counts, and what they keep of their children."""

from __future__ import annotations

import gc
import weakref

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisors import (
    AlreadyPresent,
    AlreadyStarted,
    Backoff,
    DynamicSupervisor,
    GaveUp,
    Reason,
    Restart,
    Strategy,
    Supervisor,
    child,
    supervisor_child,
)

from ..lab import Lab
from .suite import counts, reasons, run_of, traps, which

ALWAYS = 10**9


async def test_simple_one_for_one(autojump_clock: MockClock, lab: Lab) -> None:
    pool = DynamicSupervisor(intensity=2, period_s=3600, observer=lab.events.append)
    async with run_of(pool) as run:
        for name in ("child1", "child2"):
            await pool.start_child(lab.spec(name))
        first, second = lab.live["child1"], lab.live["child2"]
        await lab.crash("child1")
        assert counts(pool) == (2, 2, 0, 2)
        assert lab.live["child1"] is not first
        assert lab.live["child2"] is second

        await lab.crash("child2")
        assert not run.is_over
        await lab.crash("child2")
        assert isinstance(run.error, GaveUp)
        assert run.error.is_shutdown
        assert lab.live == {}


@pytest.mark.parametrize("restart", [Restart.TRANSIENT, Restart.PERMANENT])
async def test_simple_one_for_one_restart_ignore(
    autojump_clock: MockClock, lab: Lab, restart: Restart
) -> None:
    pool = DynamicSupervisor(intensity=10, period_s=3600)
    async with run_of(pool) as run:
        await pool.start_child(lab.spec("child1", restart=restart))
        await lab.crash("child1")
        assert which(pool) == [("child1", "running")]
        lab.ignoring.add("child1")
        await lab.crash("child1")
        assert which(pool) == []
        await pool.stop()
        assert (run.is_over, run.error) == (True, None)
    assert lab.take_log() == "+child1 -child1 +child1 -child1 ?child1"


async def test_simple_one_for_one_shutdown(autojump_clock: MockClock, lab: Lab) -> None:
    pool = DynamicSupervisor(intensity=2, period_s=3600, observer=lab.events.append)
    async with run_of(pool):
        for name, goodbye_s in {"child1": 1, "child2": 1, "child3": 5}.items():
            await pool.start_child(child(traps, goodbye_s, id=name, shutdown=2))
        await pool.stop()
        assert trio.current_time() == 2
    assert reasons(lab) == {
        "child1": Reason.SHUTDOWN,
        "child2": Reason.SHUTDOWN,
        "child3": Reason.KILLED,
    }


async def test_simple_one_for_one_extra(autojump_clock: MockClock, lab: Lab) -> None:
    pool = DynamicSupervisor(intensity=2, period_s=3600)
    async with run_of(pool) as run:
        assert (await pool.start_child(lab.spec("child1"))).value == "CHILD1"
        assert (await pool.start_child(lab.spec("child2"))).value == "CHILD2"
        second = lab.live["child2"]
        await lab.crash("child1")
        assert lab.live["child2"] is second
        assert counts(pool) == (2, 2, 0, 2)
        await lab.crash("child2")
        assert not run.is_over
        await lab.crash("child2")
        assert run.gave_up


async def test_simple_one_for_one_escalation(autojump_clock: MockClock, lab: Lab) -> None:
    pool = DynamicSupervisor(intensity=4, period_s=3600)
    async with run_of(pool) as run:
        for name in ("child1", "child2"):
            await pool.start_child(lab.spec(name))
        lab.failing["child1"] = ALWAYS
        await lab.crash("child1")
        assert run.gave_up
        assert lab.take_log() == "+child1 +child2 -child1" + 4 * " !child1" + " -child2"


class BigData:
    """An argument whose life can be watched."""


async def hold(data: BigData, *, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()
    await trio.sleep(1)


def lives(ghost: weakref.ref[BigData]) -> bool:
    gc.collect()
    return ghost() is not None


async def test_simple_one_for_one_corruption(autojump_clock: MockClock, lab: Lab) -> None:
    pool = DynamicSupervisor(intensity=2, period_s=3600)
    async with run_of(pool):
        await pool.start_child(lab.spec("child1", restart=Restart.TEMPORARY))
        await lab.crash("child1")  # what is kept of children must not change after the first has died
        data = BigData()
        ghost = weakref.ref(data)
        await pool.start_child(child(hold, data, restart=Restart.TEMPORARY))
        del data
        assert lives(ghost)
        await trio.sleep(2)
        assert not lives(ghost)
        assert counts(pool) == (0, 0, 0, 0)


async def is_argument_kept(supervisor: Supervisor | DynamicSupervisor, restart: Restart) -> bool:
    """Return whether a supervisor still has a child's argument after the child has ended normally."""
    async with run_of(supervisor):
        data = BigData()
        ghost = weakref.ref(data)
        await supervisor.start_child(child(hold, data, id="child", restart=restart))
        del data
        await trio.sleep(1.5)
        return lives(ghost)


async def test_do_not_save_start_parameters_for_temporary_children(autojump_clock: MockClock) -> None:
    for strategy in Strategy:
        kept = {
            restart: await is_argument_kept(Supervisor(strategy=strategy), restart) for restart in Restart
        }
        assert kept == {Restart.PERMANENT: True, Restart.TRANSIENT: True, Restart.TEMPORARY: False}
    pools = {restart: await is_argument_kept(DynamicSupervisor(), restart) for restart in Restart}
    assert pools == {Restart.PERMANENT: True, Restart.TRANSIENT: False, Restart.TEMPORARY: False}


@pytest.mark.parametrize("how", ["kill", "normal", "abnormal", "supervisor"])
@pytest.mark.parametrize("strategy", Strategy)
async def test_do_not_save_child_specs_for_temporary_children(
    autojump_clock: MockClock, lab: Lab, strategy: Strategy, how: str
) -> None:
    async def start_and_end(name: str, restart: Restart) -> None:
        await supervisor.start_child(lab.spec(name, restart=restart))
        if how == "supervisor":
            await supervisor.terminate_child(name)
        else:
            errors = {"kill": RuntimeError("killed"), "abnormal": ValueError("abnormal"), "normal": None}
            await lab.end(name, errors[how])

    supervisor = Supervisor(strategy=strategy, intensity=2, period_s=3600)
    async with run_of(supervisor):
        for name, restart in {"child1": Restart.PERMANENT, "child2": Restart.TRANSIENT}.items():
            await start_and_end(name, restart)
            is_stopped = how == "supervisor" or (how == "normal" and restart is Restart.TRANSIENT)
            with pytest.raises(AlreadyPresent if is_stopped else AlreadyStarted):
                await supervisor.start_child(lab.spec(name, restart=restart))
            if is_stopped:
                await supervisor.restart_child(name)
        await start_and_end("child3", Restart.TEMPORARY)
        await supervisor.start_child(lab.spec("child3", restart=Restart.TEMPORARY))


async def test_count_children(autojump_clock: MockClock, lab: Lab) -> None:
    pool = DynamicSupervisor(intensity=2, period_s=3600)
    async with run_of(pool):
        for size in (1000, 2000):
            for number in range(size - 1000, size):
                await pool.start_child(lab.spec(f"child{number}", restart=Restart.TEMPORARY))
            assert counts(pool) == (size, size, 0, size)
            children = which(pool)
            assert len(children) == size
            assert (which(pool), counts(pool)) == (children, (size, size, 0, size))
        for name in list(lab.live):
            lab.end_nowait(name, RuntimeError("killed"))
        await wait_all_tasks_blocked()
        assert (counts(pool), which(pool)) == ((0, 0, 0, 0), [])


async def test_count_children_supervisor(autojump_clock: MockClock) -> None:
    pool = DynamicSupervisor(intensity=2, period_s=3600)
    async with run_of(pool):
        inner: list[Supervisor] = []
        for size in (1000, 2000):
            for number in range(size - 1000, size):
                spec = supervisor_child(Supervisor, id=f"child{number}", restart=Restart.TEMPORARY)
                inner.append((await pool.start_child(spec)).value)
            assert counts(pool) == (size, size, size, 0)
            assert len(pool.which_children()) == size
            assert all(info.is_supervisor for info in pool.which_children())
        for supervisor in inner:
            await supervisor.stop()
        await wait_all_tasks_blocked()
        assert (counts(pool), which(pool)) == ((0, 0, 0, 0), [])


async def test_count_restarting_children(autojump_clock: MockClock, lab: Lab) -> None:
    names = ["child1", "child2", "child3"]
    pool = DynamicSupervisor(intensity=20, period_s=10)
    async with run_of(pool):
        for active, name in enumerate(names, start=1):
            await pool.start_child(lab.spec(name, backoff=Backoff(first_s=2, most_s=2, jitter=0)))
            assert counts(pool) == (active, active, 0, active)
        for name in names:
            await lab.crash(name)
        assert counts(pool) == (3, 0, 0, 3)
        await trio.sleep(2.1)
        assert counts(pool) == (3, 3, 0, 3)

        lab.failing = {"child1": ALWAYS, "child2": ALWAYS}
        await lab.crash("child1")
        await lab.crash("child2")
        await trio.sleep(3)
        assert counts(pool) == (3, 1, 0, 3)
        lab.failing.clear()
        await trio.sleep(4)
        assert counts(pool) == (3, 3, 0, 3)
        for left, name in zip([2, 1, 0], names, strict=True):
            await pool.terminate_child(name)
            assert counts(pool) == (left, left, 0, left)
