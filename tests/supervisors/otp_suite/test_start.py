"""Starting: `ignore`, failures, and what a spec says when it is read back."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from supervisors import (
    BRUTAL,
    INFINITY,
    BadSpec,
    ChildTerminated,
    DynamicSupervisor,
    Ignore,
    NotFound,
    Policy,
    Restart,
    StartFailed,
    Supervisor,
    child,
    supervisor_child,
)

from ..lab import Lab, Running
from .suite import counts, run_of, which


async def test_sup_start_normal(autojump_clock: MockClock) -> None:
    supervisor = Supervisor(intensity=2, period_s=3600)
    async with run_of(supervisor) as run:
        assert which(supervisor) == []
        assert not run.is_over
        await supervisor.stop()
        assert (run.is_over, run.error) == (True, None)


async def test_sup_start_ignore_init(autojump_clock: MockClock, lab: Lab, running: Running) -> None:
    def nothing_to_supervise() -> Supervisor:
        raise Ignore

    top = Supervisor(observer=lab.events.append)
    async with running(top):
        started = await top.start_child(supervisor_child(nothing_to_supervise, id="inner"))
        assert not started.is_running
        assert which(top) == [("inner", "stopped")]
        await trio.sleep(1)
        assert lab.seen(ChildTerminated) == []


async def test_sup_start_ignore_child(autojump_clock: MockClock, lab: Lab, running: Running) -> None:
    lab.ignoring.add("child1")
    supervisor = Supervisor(intensity=2, period_s=3600)
    async with running(supervisor):
        assert not (await supervisor.start_child(lab.spec("child1"))).is_running
        assert (await supervisor.start_child(lab.spec("child2"))).is_running
        assert which(supervisor) == [("child2", "running"), ("child1", "stopped")]
        assert counts(supervisor) == (2, 1, 0, 2)


async def test_sup_start_ignore_temporary_child(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    lab.ignoring.add("child1")
    specs = [lab.spec(name, restart=Restart.TEMPORARY) for name in ("child1", "child2")]
    supervisor = Supervisor(specs, intensity=2, period_s=3600)
    async with running(supervisor):
        assert which(supervisor) == [("child2", "running")]
        assert counts(supervisor) == (1, 1, 0, 1)


async def test_sup_start_ignore_temporary_child_start_child(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    lab.ignoring.add("child1")
    supervisor = Supervisor(intensity=2, period_s=3600)
    async with running(supervisor):
        started = await supervisor.start_child(lab.spec("child1", restart=Restart.TEMPORARY))
        assert not started.is_running
        await supervisor.start_child(lab.spec("child2", restart=Restart.TEMPORARY))
        assert which(supervisor) == [("child2", "running")]
        assert counts(supervisor) == (1, 1, 0, 1)


async def ignored_by_a_pool(lab: Lab, restart: Restart) -> None:
    lab.ignoring.add("child1")
    pool = DynamicSupervisor(intensity=2, period_s=3600)
    async with run_of(pool) as run:
        assert not (await pool.start_child(lab.spec("child1", restart=restart))).is_running
        await pool.start_child(lab.spec("child2", restart=restart))
        assert which(pool) == [("child2", "running")]
        assert counts(pool) == (1, 1, 0, 1)
        await pool.stop()
        assert (run.is_over, run.error) == (True, None)


async def test_sup_start_ignore_temporary_child_start_child_simple(
    autojump_clock: MockClock, lab: Lab
) -> None:
    await ignored_by_a_pool(lab, Restart.TEMPORARY)


async def test_sup_start_ignore_permanent_child_start_child_simple(
    autojump_clock: MockClock, lab: Lab
) -> None:
    await ignored_by_a_pool(lab, Restart.PERMANENT)


async def failed_start_of_a_supervisor(factory: Any) -> BaseException | None:
    """Return the cause that a supervisor did not start for; the one above it must not have noticed."""
    top = Supervisor()
    async with run_of(top) as run:
        with pytest.raises(StartFailed) as caught:
            await top.start_child(supervisor_child(factory, id="inner"))
        await trio.sleep(1)
        assert not run.is_over
        assert which(top) == []
    return caught.value.__cause__


async def test_sup_start_error_return(autojump_clock: MockClock) -> None:
    assert isinstance(await failed_start_of_a_supervisor(lambda: "invalid"), AttributeError)


async def test_sup_start_fail(autojump_clock: MockClock) -> None:
    def fail() -> Supervisor:
        raise KeyError("fail")

    cause = await failed_start_of_a_supervisor(fail)
    assert isinstance(cause, KeyError)
    assert cause.args == ("fail",)


class Refused(Exception):
    """What the start functions below fail with."""


async def refuse(*, task_status: trio.TaskStatus[None]) -> None:
    raise Refused


async def return_something_else(*, task_status: trio.TaskStatus[None]) -> None:
    await trio.lowlevel.checkpoint()


async def test_sup_start_child_returns_error(autojump_clock: MockClock, running: Running) -> None:
    supervisor = Supervisor()
    async with running(supervisor):
        with pytest.raises(StartFailed, match="Refused"):
            await supervisor.start_child(child(refuse))
        with pytest.raises(StartFailed, match="NeverAcknowledged"):
            await supervisor.start_child(child(return_something_else))
        assert which(supervisor) == []


async def test_sup_start_restart_child_returns_error(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    supervisor = Supervisor([lab.spec("child1")])
    async with running(supervisor):
        await supervisor.terminate_child("child1")
        lab.failing["child1"] = 1
        with pytest.raises(StartFailed, match="child1 cannot start"):
            await supervisor.restart_child("child1")
        assert which(supervisor) == [("child1", "stopped")]


async def test_sup_start_child_returns_error_simple(autojump_clock: MockClock, running: Running) -> None:
    pool = DynamicSupervisor()
    async with running(pool):
        with pytest.raises(StartFailed, match="Refused"):
            await pool.start_child(child(refuse))
        with pytest.raises(StartFailed, match="NeverAcknowledged"):
            await pool.start_child(child(return_something_else))
        assert which(pool) == []


async def test_sup_start_map(autojump_clock: MockClock, running: Running) -> None:
    specs = [
        child(trio.sleep_forever, id="child1"),
        child(trio.sleep_forever, id="child2", shutdown=BRUTAL),
        supervisor_child(Supervisor, id="child3"),
    ]
    supervisor = Supervisor(specs)
    async with running(supervisor):
        specs = [supervisor.get_childspec(f"child{number}") for number in (1, 2, 3)]
        assert specs[0].fn is trio.sleep_forever
        policies = [spec.policy for spec in specs]
        assert [policy.restart for policy in policies] == [Restart.PERMANENT] * 3
        assert [policy.shutdown for policy in policies] == [5.0, BRUTAL, INFINITY]
        assert [policy.is_supervisor for policy in policies] == [False, False, True]
        assert not any(policy.significant for policy in policies)
        with pytest.raises(NotFound):
            supervisor.get_childspec("child4")


async def test_sup_start_map_simple(autojump_clock: MockClock, running: Running) -> None:
    pool = DynamicSupervisor()
    async with running(pool):
        spec = child(trio.sleep_forever, restart=Restart.TEMPORARY)
        ids = [(await pool.start_child(spec)).id for _ in range(3)]
        assert len(set(ids)) == 3
        for id_ in ids:
            read = pool.get_childspec(id_)
            assert read.fn is trio.sleep_forever
            assert read.policy == Policy(restart=Restart.TEMPORARY, shutdown=5.0, significant=False)
        with pytest.raises(NotFound):
            pool.get_childspec("child4")


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (partial(child, id="child2"), "fn"),
        (partial(child, trio.sleep_forever, silly_flag=True), "silly_flag"),
        (partial(Supervisor, ["child4"]), "child4"),  # type: ignore[list-item]
        (
            partial(Supervisor, [child(trio.sleep_forever, shutdown=3), child(trio.sleep_forever)]),
            "sleep_forever",
        ),
    ],
    ids=["no start function", "unknown flag", "no spec", "one id for two"],
)
def test_sup_start_map_faulty_specs(make: Any, complaint: str) -> None:
    with pytest.raises((BadSpec, TypeError), match=complaint):
        make()
