"""Cases apart: a child that does not hear, and names that are to be free after a restart."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisors import ChildStuck, StartFailed, Strategy, Supervisor, child

from ..lab import Lab, Running
from .suite import Names, counts, which

DEAF_S = 60.0


async def test_child_unlink(autojump_clock: MockClock, lab: Lab, running: Running) -> None:
    async def naughty_child(*, task_status: trio.TaskStatus[None]) -> None:
        with trio.CancelScope(shield=True):
            task_status.started()
            await trio.sleep(DEAF_S)

    supervisor = Supervisor(observer=lab.events.append)
    async with running(supervisor) as nursery:
        await supervisor.start_child(child(naughty_child, shutdown=1))
        nursery.start_soon(supervisor.terminate_child, "naughty_child")
        await wait_all_tasks_blocked()
        await supervisor.start_child(lab.spec("foo"))
        assert trio.current_time() == DEAF_S
        assert which(supervisor) == [("foo", "running"), ("naughty_child", "stopped")]
        [stuck] = lab.seen(ChildStuck)
        assert "naughty_child" in stuck.frame


@pytest.mark.parametrize("how", ["kill_supervisor", "kill_worker", "exit_worker", "restart_worker"])
async def test_simple_global_supervisor(autojump_clock: MockClock, running: Running, how: str) -> None:
    names = Names()
    sup2 = Supervisor()
    supervisor_bug, worker_end = trio.Event(), trio.Event()
    worker_errors = {"kill_worker": RuntimeError("killed"), "exit_worker": None}

    async def server(*, task_status: trio.TaskStatus[None]) -> None:
        nonlocal worker_end
        names.register("server")
        worker_end = trio.Event()
        task_status.started()
        await worker_end.wait()
        if (error := worker_errors[how]) is not None:
            raise error

    async def middle(*, task_status: trio.TaskStatus[None]) -> None:
        nonlocal sup2, supervisor_bug
        names.register("sup2")
        supervisor_bug = trio.Event()
        sup2 = Supervisor(
            [child(server, shutdown=2)], strategy=Strategy.ONE_FOR_ALL, intensity=3, period_s=60
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(sup2.run)
            task_status.started()
            await supervisor_bug.wait()
            raise RuntimeError("killed")

    top = Supervisor([child(middle, shutdown=2)], strategy=Strategy.ONE_FOR_ALL, intensity=3, period_s=60)
    async with running(top):
        before = dict(names.holders)
        assert sorted(before) == ["server", "sup2"]
        if how == "kill_supervisor":
            supervisor_bug.set()
        elif how == "restart_worker":
            await sup2.terminate_child("server")
            assert sorted(names.holders) == ["sup2"]
            await sup2.restart_child("server")
        else:
            worker_end.set()
        await wait_all_tasks_blocked()
        changed = {name for name, pid in names.holders.items() if pid is not before[name]}
        assert changed == ({"server", "sup2"} if how == "kill_supervisor" else {"server"})
        assert all(pid.is_alive for pid in names.holders.values())
    assert names.holders == {}


async def test_already_started_outside_supervisor(autojump_clock: MockClock, running: Running) -> None:
    names = Names()

    async def registered(*, task_status: trio.TaskStatus[None]) -> None:
        names.register("registered_name")
        task_status.started()
        await trio.sleep_forever()

    elsewhere, supervisor = Supervisor([child(registered)], name="elsewhere"), Supervisor()
    async with running(elsewhere), running(supervisor):
        with pytest.raises(StartFailed, match="registered_name is taken by elsewhere/registered"):
            await supervisor.start_child(child(registered))
        assert counts(supervisor) == (0, 0, 0, 0)
        assert names.holders["registered_name"].is_alive
