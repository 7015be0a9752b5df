"""Stopping: shutdown times, killing, and children that end by themselves meanwhile."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import trio
from trio.testing import MockClock

from supervisors import (
    BRUTAL,
    INFINITY,
    ChildSpec,
    DynamicSupervisor,
    Reason,
    Restart,
    Supervisor,
    child,
    supervisor_child,
    trap_stop,
)

from ..lab import Lab
from .suite import reasons, run_of, shutdown_exit, shutdown_exit_with_a_term, traps

HOUR_S = 3600.0
FAR_TOO_LONG_S = 200.0


async def stop_s(lab: Lab, supervisor: Supervisor | DynamicSupervisor, specs: Iterable[ChildSpec]) -> float:
    """Start children, stop their supervisor, and return how long the stop took."""
    async with run_of(supervisor) as run:
        for spec in specs:
            await supervisor.start_child(spec)
        began_s = trio.current_time()
        await supervisor.stop()
        assert (run.is_over, run.error) == (True, None)
        return trio.current_time() - began_s


async def test_sup_stop_infinity(autojump_clock: MockClock, lab: Lab) -> None:
    def patient() -> Supervisor:
        return Supervisor([child(traps, HOUR_S, id="worker inside", shutdown=INFINITY)])

    specs = [
        supervisor_child(patient, id="child1", shutdown=INFINITY),
        child(traps, HOUR_S, id="child2", shutdown=INFINITY),
    ]
    assert await stop_s(lab, Supervisor(observer=lab.events.append), specs) == 2 * HOUR_S
    assert set(reasons(lab).values()) == {Reason.SHUTDOWN}
    assert list(reasons(lab)) == ["child2", "worker inside", "child1"]


async def test_sup_stop_timeout(autojump_clock: MockClock, lab: Lab) -> None:
    specs = [
        child(traps, 0, id="child1", shutdown=1),
        child(traps, FAR_TOO_LONG_S, id="child2", shutdown=1),
    ]
    assert await stop_s(lab, Supervisor(observer=lab.events.append), specs) == 1
    assert reasons(lab) == {"child2": Reason.KILLED, "child1": Reason.SHUTDOWN}


async def test_sup_stop_timeout_dynamic(autojump_clock: MockClock, lab: Lab) -> None:
    specs = [
        child(traps, 0, id="child1", shutdown=1, restart=Restart.TEMPORARY),
        child(traps, FAR_TOO_LONG_S, id="child2", shutdown=1, restart=Restart.TEMPORARY),
    ]
    assert await stop_s(lab, DynamicSupervisor(observer=lab.events.append), specs) == 1
    assert reasons(lab) == {"child1": Reason.SHUTDOWN, "child2": Reason.KILLED}


async def hears(heard: list[str], name: str, *, task_status: trio.TaskStatus[None]) -> None:
    """Note that it was asked to stop, and end."""
    asked = trap_stop()
    task_status.started()
    await asked.wait()
    heard.append(name)


async def test_sup_stop_brutal_kill(autojump_clock: MockClock, lab: Lab) -> None:
    heard: list[str] = []
    specs = [
        child(hears, heard, "child1", id="child1", shutdown=1),
        child(hears, heard, "child2", id="child2", shutdown=BRUTAL),
    ]
    assert await stop_s(lab, Supervisor(observer=lab.events.append), specs) == 0
    assert reasons(lab) == {"child2": Reason.KILLED, "child1": Reason.SHUTDOWN}
    assert heard == ["child1"]


async def test_sup_stop_brutal_kill_dynamic(autojump_clock: MockClock, lab: Lab) -> None:
    heard: list[str] = []
    names = [f"child{number}" for number in range(10)]
    specs = [child(hears, heard, name, id=name, shutdown=BRUTAL, restart=Restart.TEMPORARY) for name in names]
    assert await stop_s(lab, DynamicSupervisor(observer=lab.events.append), specs) == 0
    assert reasons(lab) == dict.fromkeys(names, Reason.KILLED)
    assert heard == []


async def test_sup_stop_race(autojump_clock: MockClock, lab: Lab) -> None:
    by_themselves = {
        "normal": (None, Reason.NORMAL),
        "shutdown": (shutdown_exit(), Reason.SHUTDOWN),
        "shutdown, test": (shutdown_exit_with_a_term(), Reason.SHUTDOWN),
        "other": (ValueError("other"), Reason.CRASHED),
    }
    between = {f"{restart.value} {how}": how for restart in Restart for how in by_themselves}
    supervisor = Supervisor(observer=lab.events.append, intensity=0)
    async with run_of(supervisor) as run:
        await supervisor.start_child(lab.spec("child_a", restart=Restart.TEMPORARY))
        for name in between:
            await supervisor.start_child(lab.spec(name, restart=Restart(name.split()[0])))
        await supervisor.start_child(child(traps, 1, id="child_z", restart=Restart.TEMPORARY, shutdown=2))
        lab.take_log()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.stop)
            await trio.sleep(0.2)  # child_z takes its time, and all others are still to be stopped
            for name, how in between.items():
                lab.end_nowait(name, by_themselves[how][0])
        assert (run.is_over, run.error) == (True, None)
        assert trio.current_time() == 1
    expected = {name: by_themselves[how][1] for name, how in between.items()}
    assert reasons(lab) == expected | {"child_a": Reason.SHUTDOWN, "child_z": Reason.SHUTDOWN}
    assert "+" not in lab.take_log()


@pytest.mark.parametrize("restart", Restart)
async def test_sup_stop_non_shutdown_exit_dynamic(
    autojump_clock: MockClock, lab: Lab, restart: Restart
) -> None:
    errors = {
        "normal": None,
        "shutdown": shutdown_exit(),
        "shutdown, test": shutdown_exit_with_a_term(),
        "other": ValueError("other"),
    }
    specs = [child(traps, 0, error, id=name, restart=restart) for name, error in errors.items()]
    assert await stop_s(lab, DynamicSupervisor(observer=lab.events.append), specs) == 0
    expected = dict.fromkeys(errors, Reason.SHUTDOWN) | {"other": Reason.CRASHED}
    assert reasons(lab) == expected
