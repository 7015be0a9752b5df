"""Identities of runs, and monitors: who wants to hear of an end hears it once, before the restart."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisors import (
    ChildStarted,
    Down,
    Event,
    Monitor,
    NotSupervised,
    Pid,
    Reason,
    Supervisor,
    child,
    current_pid,
)

from .lab import Running


async def test_an_end_is_told_to_every_watcher_once_and_before_the_restart(
    autojump_clock: MockClock, running: Running
) -> None:
    log: list[str] = []
    pids: list[Pid] = []
    crash = trio.Event()

    async def work() -> None:
        pids.append(current_pid())
        if len(pids) == 1:
            await crash.wait()
            raise ValueError
        await trio.sleep_forever()

    def observe(event: Event) -> None:
        if isinstance(event, ChildStarted):
            log.append("started")

    async with running(Supervisor([child(work, id="a")], name="top", observer=observe)):
        await wait_all_tasks_blocked()
        for key in "xy":
            pids[0].watch(key, lambda down: log.append(down.reason.value))
        pids[0].watch("z", log.append)
        pids[0].unwatch("z")
        pids[0].unwatch("never there")
        crash.set()
        await wait_all_tasks_blocked()
        assert log == ["started", "crashed", "crashed", "started"]
        assert pids[0] is not pids[1]
        assert (pids[0].path, pids[0].is_alive, pids[1].is_alive) == (("top", "a"), False, True)
        assert repr(pids[0]) == "<Pid top/a crashed>"
        assert repr(pids[1]) == "<Pid top/a alive>"
    assert pids[1].reason is Reason.SHUTDOWN


async def test_a_monitor_tells_many_tasks_and_of_an_end_that_was(autojump_clock: MockClock) -> None:
    pid = Pid(("a",))
    heard: list[Down] = []

    async def listen(monitor: Monitor) -> None:
        heard.append(await monitor.down())

    with Monitor(pid) as first, Monitor(pid) as second:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen, first)
            nursery.start_soon(listen, second)
            with trio.move_on_after(1) as scope:
                await first.down()
            assert scope.cancelled_caught
            pid.end(Reason.NORMAL)
    with Monitor(pid) as late:
        heard.append(await late.down())
    assert heard == [Down(pid, Reason.NORMAL)] * 3


async def test_a_closed_monitor_leaves_nothing_behind() -> None:
    pid = Pid(("a",))
    with Monitor(pid):
        assert len(pid._watchers) == 1
    assert len(pid._watchers) == 0


async def test_only_a_child_has_a_pid() -> None:
    with pytest.raises(NotSupervised):
        current_pid()


def test_a_run_that_serves_nobody_has_no_mailbox() -> None:
    assert Pid(("a",)).mailbox is None
