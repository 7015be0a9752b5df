"""A child that hangs on order: nothing of it goes on, nothing is lost, and whoever stops it is told."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisors import ChildStuck, NotRunning, Reason, Restart, Status, Supervisor, child
from supervisors.testing import hang, wait_until

from .lab import Lab, Running


async def test_a_child_hangs_until_it_is_let_go(autojump_clock: MockClock, running: Running) -> None:
    send, receive = trio.open_memory_channel[int](10)
    seen: list[tuple[float, int]] = []

    async def reader() -> None:
        while True:
            item = await receive.receive()
            seen.append((trio.current_time() - start_s, item))

    supervisor = Supervisor([child(reader, id="reader")])
    async with running(supervisor):
        start_s = trio.current_time()
        await wait_all_tasks_blocked()
        until = trio.Event()
        pid = hang(supervisor, "reader", until)
        for item in range(3):
            await send.send(item)
        await trio.sleep(5)
        assert (pid.is_alive, seen) == (True, [])
        until.set()
        await wait_all_tasks_blocked()
        assert seen == [(5.0, 0), (5.0, 1), (5.0, 2)]
        await send.send(3)
        await wait_all_tasks_blocked()
        assert seen[3:] == [(5.0, 3)]
        assert pid.is_alive


@pytest.mark.parametrize("ends", ["returns", "raises"])
async def test_a_child_may_end_in_the_step_in_which_it_is_let_go(
    autojump_clock: MockClock, running: Running, ends: str
) -> None:
    async def short() -> None:
        await trio.sleep(1)  # wakes up by a deadline of its own
        if ends == "raises":
            raise OSError("late")

    supervisor = Supervisor([child(short, id="short", restart=Restart.TEMPORARY)])
    async with running(supervisor):
        await wait_all_tasks_blocked()
        until = trio.Event()
        pid = hang(supervisor, "short", until)
        await trio.sleep(9)
        assert pid.is_alive
        until.set()
        await wait_all_tasks_blocked()
        assert pid.reason is (Reason.CRASHED if ends == "raises" else Reason.NORMAL)


async def test_a_child_that_hangs_cannot_be_stopped_and_that_is_told(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    supervisor = Supervisor(lab.specs("ab", shutdown=2), observer=lab.events.append)
    async with running(supervisor) as nursery:
        until = trio.Event()
        hang(supervisor, "b", until)
        nursery.start_soon(supervisor.terminate_child, "b")
        await trio.sleep(10)
        [stuck] = lab.seen(ChildStuck)
        assert stuck.path == ("supervisor", "b")
        assert "hanging.py" in stuck.frame
        assert lab.take_log() == "+a +b"
        until.set()
        await wait_until(supervisor, "b", Status.STOPPED)
        assert lab.take_log() == "-b"


async def test_a_child_that_does_not_run_cannot_hang(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    supervisor = Supervisor(lab.specs("a"))
    with pytest.raises(NotRunning, match=r"supervisor/a cannot hang: no run of it has begun \(stopped\)"):
        hang(supervisor, "a", trio.Event())
