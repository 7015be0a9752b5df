"""Children that end by themselves: who is restarted after what, under one_for_one."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from supervisors import Restart, StartFailed, Supervisor, child, supervisor_child

from ..lab import Lab
from .suite import counts, run_of, shutdown_exit, shutdown_exit_with_a_term, which

RUNNING = [("child1", "running")]
STOPPED = [("child1", "stopped")]


async def state_after(
    lab: Lab, restart: Restart, *errors: BaseException | None
) -> list[tuple[list[tuple[str, str]], tuple[int, int, int, int]]]:
    """End a child with each of these in turn, and return what the supervisor says after each end.

    A child that was not restarted is started again by hand.
    """
    said = []
    supervisor = Supervisor(intensity=2, period_s=3600)
    async with run_of(supervisor) as run:
        for error in errors:
            if which(supervisor) == STOPPED:
                await supervisor.restart_child("child1")
            elif which(supervisor) == []:
                await supervisor.start_child(lab.spec("child1", restart=restart))
            before = lab.live["child1"]
            await lab.end("child1", error)
            assert lab.live.get("child1") is not before
            said.append((which(supervisor), counts(supervisor)))
        assert not run.is_over
    return said


async def test_permanent_normal(autojump_clock: MockClock, lab: Lab) -> None:
    assert await state_after(lab, Restart.PERMANENT, None) == [(RUNNING, (1, 1, 0, 1))]


async def test_transient_normal(autojump_clock: MockClock, lab: Lab) -> None:
    assert await state_after(lab, Restart.TRANSIENT, None) == [(STOPPED, (1, 0, 0, 1))]


async def test_temporary_normal(autojump_clock: MockClock, lab: Lab) -> None:
    assert await state_after(lab, Restart.TEMPORARY, None) == [([], (0, 0, 0, 0))]


async def test_permanent_shutdown(autojump_clock: MockClock, lab: Lab) -> None:
    said = await state_after(lab, Restart.PERMANENT, shutdown_exit(), shutdown_exit_with_a_term())
    assert said == [(RUNNING, (1, 1, 0, 1))] * 2


async def test_transient_shutdown(autojump_clock: MockClock, lab: Lab) -> None:
    said = await state_after(lab, Restart.TRANSIENT, shutdown_exit(), shutdown_exit_with_a_term())
    assert said == [(STOPPED, (1, 0, 0, 1))] * 2


async def test_temporary_shutdown(autojump_clock: MockClock, lab: Lab) -> None:
    said = await state_after(lab, Restart.TEMPORARY, shutdown_exit(), shutdown_exit_with_a_term())
    assert said == [([], (0, 0, 0, 0))] * 2


async def test_permanent_abnormal(autojump_clock: MockClock, lab: Lab) -> None:
    said = await state_after(lab, Restart.PERMANENT, ValueError("abnormal"))
    assert said == [(RUNNING, (1, 1, 0, 1))]


async def test_transient_abnormal(autojump_clock: MockClock, lab: Lab) -> None:
    said = await state_after(lab, Restart.TRANSIENT, ValueError("abnormal"))
    assert said == [(RUNNING, (1, 1, 0, 1))]


async def test_temporary_abnormal(autojump_clock: MockClock, lab: Lab) -> None:
    assert await state_after(lab, Restart.TEMPORARY, ValueError("abnormal")) == [([], (0, 0, 0, 0))]


async def test_faulty_application_shutdown(autojump_clock: MockClock, lab: Lab) -> None:
    library: Any = math

    async def server(*, task_status: trio.TaskStatus[None]) -> None:
        library.an_undefined_function("argument1", "argument2")

    def application() -> Supervisor:
        return Supervisor([lab.spec("a"), child(server, id="app_faulty")])

    with pytest.raises(StartFailed) as caught:
        await Supervisor([supervisor_child(application, id="app")], name="node").run()
    assert caught.value.path == ("node", "app")
    inner = caught.value.__cause__
    assert isinstance(inner, StartFailed)
    assert inner.path == ("node", "app", "app_faulty")
    assert isinstance(inner.__cause__, AttributeError)
    assert "an_undefined_function" in str(caught.value)
    assert lab.live == {}
