"""The requests, specs and flags: what is answered when, and what is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import product
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from supervisors import (
    BRUTAL,
    INFINITY,
    AlreadyPresent,
    AlreadyStarted,
    AutoShutdown,
    BadSpec,
    DynamicSupervisor,
    NotFound,
    NotRunning,
    Policy,
    Restart,
    StillRunning,
    Supervisor,
    child,
    supervisor_child,
)

from ..lab import Lab, Running
from .suite import counts, pending, run_of, which


async def test_child_adm(autojump_clock: MockClock, lab: Lab, running: Running) -> None:
    supervisor = Supervisor([lab.spec("child1")], intensity=2, period_s=3600)
    async with running(supervisor):
        assert which(supervisor) == [("child1", "running")]
        assert counts(supervisor) == (1, 1, 0, 1)
        with pytest.raises(AlreadyStarted):
            await supervisor.start_child(lab.spec("child1"))

        with pytest.raises(NotFound):
            await supervisor.terminate_child("hej")
        await supervisor.terminate_child("child1")
        assert which(supervisor) == [("child1", "stopped")]
        assert counts(supervisor) == (1, 0, 0, 1)
        await supervisor.terminate_child("child1")
        with pytest.raises(AlreadyPresent):
            await supervisor.start_child(lab.spec("child1"))

        assert (await supervisor.restart_child("child1")).is_running
        assert counts(supervisor) == (1, 1, 0, 1)
        with pytest.raises(StillRunning):
            await supervisor.restart_child("child1")
        with pytest.raises(NotFound):
            await supervisor.restart_child("child2")

        with pytest.raises(StillRunning):
            await supervisor.delete_child("child1")
        with pytest.raises(NotFound):
            await supervisor.delete_child("hej")
        await supervisor.terminate_child("child1")
        await supervisor.delete_child("child1")
        with pytest.raises(NotFound):
            await supervisor.restart_child("child1")
        assert which(supervisor) == []
        assert counts(supervisor) == (0, 0, 0, 0)

        await supervisor.start_child(lab.spec("child1"))
        assert which(supervisor) == [("child1", "running")]
    nobody = Supervisor([lab.spec("child1")])
    asked: list[Callable[[], Awaitable[object]]] = [
        lambda: nobody.start_child(lab.spec("child2")),
        lambda: nobody.terminate_child("child1"),
        lambda: nobody.restart_child("child1"),
        lambda: nobody.delete_child("child1"),
    ]
    for ask in asked:
        with pytest.raises(NotRunning):
            await ask()


async def test_child_adm_simple(autojump_clock: MockClock, lab: Lab, running: Running) -> None:
    pool, other = DynamicSupervisor(intensity=2, period_s=3600), DynamicSupervisor()
    with pytest.raises(NotRunning):
        await pool.start_child(lab.spec("child1"))
    async with running(pool), running(other):
        assert which(pool) == []
        assert counts(pool) == (0, 0, 0, 0)
        await pool.start_child(lab.spec("child1"))
        assert counts(pool) == (1, 1, 0, 1)
        await pool.start_child(lab.spec("child2"))
        assert sorted(which(pool)) == [("child1", "running"), ("child2", "running")]
        assert counts(pool) == (2, 2, 0, 2)

        await pool.terminate_child("child1")
        assert "child1" not in lab.live
        assert counts(pool) == (1, 1, 0, 1)
        await other.start_child(lab.spec("stranger"))
        for not_ours in ("child1", "stranger"):
            with pytest.raises(NotFound):
                await pool.terminate_child(not_ours)
        assert sorted(lab.live) == ["child2", "stranger"]
    assert not hasattr(pool, "restart_child")
    assert not hasattr(pool, "delete_child")


async def test_extra_return(autojump_clock: MockClock, lab: Lab, running: Running) -> None:
    supervisor = Supervisor([lab.spec("child1")], intensity=2, period_s=3600)
    async with running(supervisor):
        for request in (supervisor.terminate_child, supervisor.delete_child, supervisor.restart_child):
            with pytest.raises(NotFound):
                await request("hej")
        for request in (supervisor.delete_child, supervisor.restart_child):
            with pytest.raises(StillRunning):
                await request("child1")
        assert counts(supervisor) == (1, 1, 0, 1)

        await supervisor.terminate_child("child1")
        assert counts(supervisor) == (1, 0, 0, 1)
        assert (await supervisor.restart_child("child1")).value == "CHILD1"
        assert counts(supervisor) == (1, 1, 0, 1)

        await supervisor.terminate_child("child1")
        await supervisor.terminate_child("child1")
        await supervisor.delete_child("child1")
        with pytest.raises(NotFound):
            await supervisor.restart_child("child1")
        assert counts(supervisor) == (0, 0, 0, 0)

        assert (await supervisor.start_child(lab.spec("child1"))).value == "CHILD1"
        before = lab.live["child1"]
        await lab.crash("child1")
        assert which(supervisor) == [("child1", "running")]
        assert lab.live["child1"] is not before


GOOD: list[dict[str, Any]] = [
    {"restart": restart, "shutdown": shutdown}
    for restart, shutdown in product(Restart, [BRUTAL, 0.001, 1.0, INFINITY])
]
BAD = [
    pytest.param({"fn": "mfa"}, id="not a function"),
    pytest.param({"restart": "prmanent"}, id="prmanent"),
    pytest.param(
        {"significant": "maybe", "restart": Restart.TEMPORARY}, id="maybe", marks=pending("child_specs")
    ),
    pytest.param({"shutdown": -10}, id="negative shutdown time"),
    pytest.param({"shutdown": float("nan")}, id="shutdown time not a number"),
]


@pytest.mark.parametrize("bad", BAD)
async def test_child_specs(autojump_clock: MockClock, lab: Lab, bad: dict[str, Any]) -> None:
    with pytest.raises((BadSpec, TypeError)):
        child(**{"fn": trio.sleep_forever} | bad)
    supervisor = Supervisor()
    async with run_of(supervisor) as run:
        with pytest.raises(BadSpec):
            await supervisor.start_child("hej")  # type: ignore[arg-type]
        for number, good in enumerate(GOOD):
            await supervisor.start_child(child(trio.sleep_forever, id=f"child{number}", **good))
        assert counts(supervisor) == (len(GOOD), len(GOOD), 0, len(GOOD))
        assert not run.is_over
    with pytest.raises(BadSpec, match="two children with the id 'child'"):
        Supervisor([lab.spec("child", **GOOD[0]), lab.spec("child", **GOOD[1])])


@pytest.mark.parametrize("restart", Restart)
@pytest.mark.parametrize("auto_shutdown", AutoShutdown)
async def test_child_specs_map(
    autojump_clock: MockClock, auto_shutdown: AutoShutdown, restart: Restart
) -> None:
    def make(shutdown: float, is_supervisor: bool, significant: bool) -> Supervisor:
        options: Any = {"restart": restart, "shutdown": shutdown, "significant": significant}
        worker = child(trio.sleep_forever, id="child", **options)
        spec = supervisor_child(Supervisor, id="child", **options) if is_supervisor else worker
        return Supervisor([spec], auto_shutdown=auto_shutdown)

    for shutdown, is_supervisor in product([BRUTAL, 1.0, INFINITY], [False, True]):
        assert counts(make(shutdown, is_supervisor, False)) == (1, 0, is_supervisor, not is_supervisor)
        if restart is Restart.PERMANENT or auto_shutdown is AutoShutdown.NEVER:
            with pytest.raises(BadSpec, match="significant"):
                make(shutdown, is_supervisor, True)
        else:
            assert counts(make(shutdown, is_supervisor, True))[0] == 1
    for bad in ({"restart": "prmanent"}, {"shutdown": -10}, {"significant": True}, {"dummy": 1}):
        with pytest.raises((BadSpec, TypeError)):
            Policy(**bad)


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param({"strategy": "none_for_one"}, id="none_for_one"),
        pytest.param({"intensity": -1}, id="negative intensity"),
        pytest.param({"intensity": float("inf")}, id="infinite intensity"),
        pytest.param({"period_s": 0}, id="no period"),
        pytest.param({"period_s": float("nan")}, id="period not a number"),
        pytest.param({"auto_shutdown": "sometimes"}, id="sometimes"),
        pytest.param({"silly_flag": True}, id="unknown flag"),
    ],
)
def test_sup_flags(flags: dict[str, Any]) -> None:
    with pytest.raises((BadSpec, TypeError)):
        Supervisor(**flags)
