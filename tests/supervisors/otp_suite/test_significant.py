"""Significant children: whose end ends the supervisor, and whose does not."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from supervisors import (
    AutoShutdown,
    BadSpec,
    DynamicSupervisor,
    Reason,
    Restart,
    Strategy,
    Supervisor,
    supervisor_child,
)

from ..lab import Lab
from .suite import Run, counts, reasons, run_of, which

ANY, ALL = AutoShutdown.ANY_SIGNIFICANT, AutoShutdown.ALL_SIGNIFICANT
KILLED, ABNORMAL = RuntimeError("killed"), ValueError("abnormal")


async def lives_on(run: Run) -> bool:
    await trio.sleep(1)
    return not run.is_over


def significant_siblings(lab: Lab, restart: Restart, rule: AutoShutdown) -> Supervisor:
    """Return a supervisor of child1 and child2, which are significant, and child3, which is not."""
    specs = [lab.spec(f"child{n}", restart=restart, significant=n < 3) for n in (1, 2, 3)]
    return Supervisor(specs, intensity=5, auto_shutdown=rule)


@pytest.mark.parametrize("rule", AutoShutdown)
async def test_nonsignificant_temporary(autojump_clock: MockClock, lab: Lab, rule: AutoShutdown) -> None:
    supervisor = Supervisor(auto_shutdown=rule)
    async with run_of(supervisor) as run:
        await supervisor.start_child(lab.spec("child1", restart=Restart.TEMPORARY))
        await supervisor.terminate_child("child1")
        assert await lives_on(run)
        for error in (KILLED, ABNORMAL, None):
            await supervisor.start_child(lab.spec("child1", restart=Restart.TEMPORARY))
            await lab.end("child1", error)
            assert lab.live == {}
            assert await lives_on(run)


@pytest.mark.parametrize("rule", AutoShutdown)
async def test_nonsignificant_transient(autojump_clock: MockClock, lab: Lab, rule: AutoShutdown) -> None:
    supervisor = Supervisor(intensity=5, auto_shutdown=rule)
    async with run_of(supervisor) as run:
        await supervisor.start_child(lab.spec("child1", restart=Restart.TRANSIENT))
        await supervisor.terminate_child("child1")
        assert await lives_on(run)
        await supervisor.restart_child("child1")
        for error in (KILLED, ABNORMAL):
            await lab.end("child1", error)
            assert which(supervisor) == [("child1", "running")]
            assert await lives_on(run)
        await lab.end("child1")
        assert which(supervisor) == [("child1", "stopped")]
        assert await lives_on(run)


@pytest.mark.parametrize("error", [KILLED, ABNORMAL, None])
async def test_significant_temporary(
    autojump_clock: MockClock, lab: Lab, error: BaseException | None
) -> None:
    supervisor = significant_siblings(lab, Restart.TEMPORARY, ANY)
    async with run_of(supervisor) as run:
        await supervisor.terminate_child("child1")
        assert sorted(lab.live) == ["child2", "child3"]
        assert await lives_on(run)
        await supervisor.start_child(lab.spec("child1", restart=Restart.TEMPORARY, significant=True))
        assert [id_ for id_, _ in which(supervisor)] == ["child1", "child3", "child2"]
        await lab.end("child1", error)
        assert (run.is_over, run.error, lab.live) == (True, None, {})

    supervisor = significant_siblings(lab, Restart.TEMPORARY, ALL)
    async with run_of(supervisor) as run:
        await lab.end("child1", error)
        assert sorted(lab.live) == ["child2", "child3"]
        assert await lives_on(run)
        await lab.end("child2", error)
        assert (run.is_over, run.error, lab.live) == (True, None, {})


async def test_significant_transient(autojump_clock: MockClock, lab: Lab) -> None:
    supervisor = significant_siblings(lab, Restart.TRANSIENT, ANY)
    async with run_of(supervisor) as run:
        await supervisor.terminate_child("child1")
        assert await lives_on(run)
        await supervisor.restart_child("child1")
        for error in (KILLED, ABNORMAL):
            await lab.end("child1", error)
            assert counts(supervisor) == (3, 3, 0, 3)
            assert await lives_on(run)
        await lab.end("child1")
        assert (run.is_over, run.error, lab.live) == (True, None, {})

    supervisor = significant_siblings(lab, Restart.TRANSIENT, ALL)
    async with run_of(supervisor) as run:
        await lab.end("child1")
        assert sorted(lab.live) == ["child2", "child3"]
        assert await lives_on(run)
        await lab.end("child2")
        assert (run.is_over, run.error, lab.live) == (True, None, {})


async def test_significant_simple(autojump_clock: MockClock, lab: Lab) -> None:
    for rule in (ANY, ALL):
        with pytest.raises(TypeError, match="auto_shutdown"):
            DynamicSupervisor(auto_shutdown=rule)  # type: ignore[call-arg]
    pool = DynamicSupervisor()
    async with run_of(pool) as run:
        with pytest.raises(BadSpec):
            await pool.start_child(lab.spec("child1", restart=Restart.TRANSIENT, significant=True))
        await pool.start_child(lab.spec("child1"))
        assert await lives_on(run)


@pytest.mark.parametrize("rule", [ANY, ALL])
@pytest.mark.parametrize(
    ("strategy", "also_stopped"),
    [
        (Strategy.ONE_FOR_ONE, set()),
        (Strategy.ONE_FOR_ALL, {"child1", "child3"}),
        (Strategy.REST_FOR_ONE, {"child3"}),
    ],
)
async def test_significant_bystander(
    autojump_clock: MockClock, lab: Lab, strategy: Strategy, also_stopped: set[str], rule: AutoShutdown
) -> None:
    specs = [lab.spec(f"child{n}", restart=Restart.TRANSIENT, significant=n != 2) for n in (1, 2, 3)]
    supervisor = Supervisor(specs, strategy=strategy, intensity=5, auto_shutdown=rule)
    async with run_of(supervisor) as run:
        before = dict(lab.live)
        await lab.end("child2", KILLED)
        assert {name for name in before if lab.live[name] is not before[name]} == {"child2"} | also_stopped
        assert await lives_on(run)


@pytest.mark.parametrize("is_significant", [True, False])
async def test_significant_escalation(autojump_clock: MockClock, lab: Lab, is_significant: bool) -> None:
    inner = supervisor_child(
        lambda: Supervisor(auto_shutdown=ANY),
        id="sup1",
        restart=Restart.TRANSIENT,
        significant=is_significant,
    )
    top = Supervisor(auto_shutdown=ANY, observer=lab.events.append)
    async with run_of(top) as run:
        supervisor: Supervisor = (await top.start_child(inner)).value
        await supervisor.start_child(lab.spec("child1", restart=Restart.TRANSIENT, significant=True))
        await lab.end("child1")
        assert reasons(lab) == {"child1": Reason.NORMAL, "sup1": Reason.SHUTDOWN}
        assert await lives_on(run) is not is_significant
        assert which(top) == [("sup1", "stopped")]
