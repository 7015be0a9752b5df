"""A child whose restart hangs and fails, again and again: whoever wants it to stop gets in."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from supervisors import (
    BRUTAL,
    AlreadyPresent,
    Backoff,
    ChildSpec,
    DynamicSupervisor,
    StillRestarting,
    Strategy,
    Supervisor,
    child,
)

from ..lab import Lab
from .suite import Door, counts, pending, run_of, which

INTENSITY, PERIOD_S = 8, 10
TURNS = Backoff(first_s=1, most_s=1, jitter=0)
"""Two seconds a turn with the one that the door takes: five restarts in a period, so the loop never ends."""

IN_A_START_S = 1.5
A_TURN_LATER_S = 1.0


def requests_of(case: str) -> pytest.MarkDecorator:
    asked = ["restart_child", "delete_child", "terminate_child", "stop"]
    return pytest.mark.parametrize("request_", [pytest.param("start_child", marks=pending(case)), *asked])


async def ask_while_it_hangs(supervisor: Supervisor, name: str, door: Door, request: str) -> None:
    """Ask for something while a start of `name` hangs, and check the answer."""
    match request:
        case "start_child":
            with pytest.raises(AlreadyPresent):
                await supervisor.start_child(child(door.work, id=name))
        case "restart_child":
            with pytest.raises(StillRestarting):
                await supervisor.restart_child(name)
        case "delete_child":
            with pytest.raises(StillRestarting):
                await supervisor.delete_child(name)
        case "terminate_child":
            await supervisor.terminate_child(name)
            await trio.sleep(100)
            assert dict(which(supervisor))[name] == "stopped"
            door.is_shut = False
            assert (await supervisor.restart_child(name)).is_running
            door.shut_and_crash()
            await trio.sleep(IN_A_START_S)  # it hangs again when the supervisor is stopped


def behind(door: Door, name: str) -> ChildSpec:
    return child(door.work, id=name, shutdown=BRUTAL, backoff=TURNS)


async def stop_at_once(supervisor: Supervisor | DynamicSupervisor) -> None:
    began_s = trio.current_time()
    await supervisor.stop()
    assert trio.current_time() == began_s


@requests_of("hanging_restart_loop")
async def test_hanging_restart_loop(autojump_clock: MockClock, request_: str) -> None:
    door = Door()
    supervisor = Supervisor([behind(door, "child1")], intensity=INTENSITY, period_s=PERIOD_S)
    async with run_of(supervisor) as run:
        door.shut_and_crash()
        await trio.sleep(IN_A_START_S)
        await ask_while_it_hangs(supervisor, "child1", door, request_)
        if request_ in ("restart_child", "delete_child"):
            await trio.sleep(A_TURN_LATER_S / 2)
            assert which(supervisor) == [("child1", "restarting")]
            assert counts(supervisor) == (1, 0, 0, 1)
        assert not run.is_over
        await stop_at_once(supervisor)
        assert (run.is_over, run.error) == (True, None)


@requests_of("hanging_restart_loop_rest_for_one")
async def test_hanging_restart_loop_rest_for_one(autojump_clock: MockClock, lab: Lab, request_: str) -> None:
    door = Door()
    specs = [lab.spec("child1", shutdown=BRUTAL), behind(door, "child2"), lab.spec("child3", shutdown=BRUTAL)]
    supervisor = Supervisor(specs, strategy=Strategy.REST_FOR_ONE, intensity=INTENSITY, period_s=PERIOD_S)
    async with run_of(supervisor) as run:
        door.shut_and_crash()
        await trio.sleep(IN_A_START_S)
        await ask_while_it_hangs(supervisor, "child2", door, request_)
        if request_ in ("restart_child", "delete_child"):
            await trio.sleep(A_TURN_LATER_S / 2)
            assert which(supervisor) == [
                ("child3", "stopped"),
                ("child2", "restarting"),
                ("child1", "running"),
            ]
            assert counts(supervisor) == (3, 1, 0, 3)
        assert not run.is_over
        await stop_at_once(supervisor)
        assert (run.is_over, run.error) == (True, None)
        assert lab.take_log() == "+child1 +child3 -child3 -child1"


async def test_hanging_restart_loop_simple(autojump_clock: MockClock) -> None:
    door = Door()
    pool = DynamicSupervisor(intensity=INTENSITY, period_s=PERIOD_S)
    async with run_of(pool) as run:
        await pool.start_child(behind(door, "child1"))
        door.shut_and_crash()
        await trio.sleep(IN_A_START_S + A_TURN_LATER_S)
        assert which(pool) == [("child1", "restarting")]
        assert counts(pool) == (1, 0, 0, 1)
        await trio.sleep(1)
        began_s = trio.current_time()
        await pool.terminate_child("child1")  # while its start hangs
        assert trio.current_time() == began_s
        assert which(pool) == []

        door.is_shut = False
        await pool.start_child(behind(door, "child1"))
        door.shut_and_crash()
        await trio.sleep(IN_A_START_S)
        assert not run.is_over
        await stop_at_once(pool)
        assert (run.is_over, run.error) == (True, None)
