"""The strategies of supervisors with a known set of children: groups, order, escalation, trees."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from supervisors import BRUTAL, INFINITY, Restart, Strategy, Supervisor, supervisor_child

from ..lab import Lab, Running
from .suite import counts, run_of, which

ONE_FOR_ALL, REST_FOR_ONE = Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE
ALWAYS = 10**9


async def test_multiple_restarts(autojump_clock: MockClock, lab: Lab) -> None:
    supervisor = Supervisor(intensity=1, period_s=1)
    async with run_of(supervisor) as run:
        await supervisor.start_child(lab.spec("child1", shutdown=BRUTAL))
        await lab.crash("child1")
        for _ in range(3):
            await trio.sleep(2.1)
            await lab.crash("child1")
        assert not run.is_over
        assert lab.take_log() == "+child1" + 4 * " -child1 +child1"
        await supervisor.terminate_child("child1")
        await supervisor.delete_child("child1")


async def test_one_for_one(autojump_clock: MockClock, lab: Lab) -> None:
    supervisor = Supervisor(intensity=2, period_s=3600)
    async with run_of(supervisor) as run:
        for name in ("child1", "child2"):
            await supervisor.start_child(lab.spec(name))
        first, second = lab.live["child1"], lab.live["child2"]
        await lab.crash("child1")
        assert counts(supervisor) == (2, 2, 0, 2)
        assert lab.live["child1"] is not first
        assert lab.live["child2"] is second

        await lab.crash("child2")
        assert not run.is_over
        await lab.crash("child2")
        assert run.gave_up
        assert lab.live == {}


async def test_one_for_one_escalation(autojump_clock: MockClock, lab: Lab) -> None:
    supervisor = Supervisor([lab.spec("child1"), lab.spec("child2")], intensity=4, period_s=3600)
    async with run_of(supervisor) as run:
        lab.failing["child1"] = ALWAYS
        await lab.crash("child1")
        assert run.gave_up
        assert lab.take_log() == "+child1 +child2 -child1" + 4 * " !child1" + " -child2"


async def test_one_for_all(autojump_clock: MockClock, lab: Lab) -> None:
    supervisor = Supervisor(strategy=ONE_FOR_ALL, intensity=2, period_s=3600)
    async with run_of(supervisor) as run:
        for name in ("child1", "child2"):
            await supervisor.start_child(lab.spec(name))
        await lab.crash("child1")
        assert counts(supervisor) == (2, 2, 0, 2)
        assert lab.take_log() == "+child1 +child2 -child1 -child2 +child1 +child2"

        await lab.crash("child2")
        assert not run.is_over
        await lab.crash("child2")
        assert run.gave_up
        assert lab.live == {}


async def test_one_for_all_escalation(autojump_clock: MockClock, lab: Lab) -> None:
    specs = [lab.spec("child1"), lab.spec("child2")]
    supervisor = Supervisor(specs, strategy=ONE_FOR_ALL, intensity=4, period_s=3600)
    async with run_of(supervisor) as run:
        lab.failing["child2"] = ALWAYS
        await lab.crash("child1")
        assert run.gave_up
        attempts = " +child1 !child2 -child1"
        assert lab.take_log() == "+child1 +child2 -child1 -child2" + 4 * attempts
        assert lab.live == {}


async def test_one_for_all_other_child_fails_restart(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    specs = [lab.spec("child1"), lab.spec("child2")]
    supervisor = Supervisor(specs, strategy=ONE_FOR_ALL, intensity=3, period_s=3600)
    async with running(supervisor):
        lab.take_log()
        lab.failing["child2"] = 1
        await lab.crash("child1")
        assert lab.take_log() == "-child1 -child2 +child1 !child2 -child1 +child1 +child2"


async def test_rest_for_one(autojump_clock: MockClock, lab: Lab) -> None:
    supervisor = Supervisor(strategy=REST_FOR_ONE, intensity=2, period_s=3600)
    async with run_of(supervisor) as run:
        for name in ("child1", "child2", "child3"):
            await supervisor.start_child(lab.spec(name))
        assert counts(supervisor) == (3, 3, 0, 3)
        lab.take_log()
        await lab.crash("child2")
        assert counts(supervisor) == (3, 3, 0, 3)
        assert lab.take_log() == "-child2 -child3 +child2 +child3"

        await lab.crash("child3")
        assert not run.is_over
        assert lab.take_log() == "-child3 +child3"
        await lab.crash("child2")
        assert run.gave_up
        assert lab.take_log() == "-child2 -child3 -child1"


async def test_rest_for_one_escalation(autojump_clock: MockClock, lab: Lab) -> None:
    specs = [lab.spec("child1"), lab.spec("child2")]
    supervisor = Supervisor(specs, strategy=REST_FOR_ONE, intensity=4, period_s=3600)
    async with run_of(supervisor) as run:
        lab.failing["child2"] = ALWAYS
        await lab.crash("child1")
        assert run.gave_up
        attempts = 4 * " !child2"
        assert lab.take_log() == f"+child1 +child2 -child1 -child2 +child1{attempts} -child1"


async def test_rest_for_one_other_child_fails_restart(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    specs = [lab.spec("child1"), lab.spec("child2")]
    supervisor = Supervisor(specs, strategy=REST_FOR_ONE, intensity=3, period_s=3600)
    async with running(supervisor):
        lab.take_log()
        lab.failing["child2"] = 1
        await lab.crash("child1")
        assert lab.take_log() == "-child1 -child2 +child1 !child2 +child2"


@pytest.mark.parametrize("strategy", [ONE_FOR_ALL, REST_FOR_ONE])
async def test_temporary_bystander(autojump_clock: MockClock, lab: Lab, strategy: Strategy) -> None:
    specs = [lab.spec("child1"), lab.spec("child2", restart=Restart.TEMPORARY)]
    supervisor = Supervisor(specs, strategy=strategy, intensity=2, period_s=300)
    async with run_of(supervisor) as run:
        await lab.end("child1")
        await trio.sleep(0.35)
        assert not run.is_over
        assert which(supervisor) == [("child1", "running")]
        assert lab.take_log() == "+child1 +child2 -child1 -child2 +child1"


async def test_tree(autojump_clock: MockClock, lab: Lab, running: Running) -> None:
    def inner(*names: str) -> Supervisor:
        return Supervisor([lab.spec(name) for name in names], intensity=4, period_s=3600)

    async def add(id_: str, *names: str, restart: Restart = Restart.PERMANENT) -> Supervisor:
        spec = supervisor_child(lambda: inner(*names), id=id_, restart=restart, shutdown=INFINITY)
        started = (await top.start_child(spec)).value
        assert isinstance(started, Supervisor)
        return started

    def under_top() -> dict[str, list[str]]:
        return {node.name: [child.name for child in node.children] for node in top.snapshot().children}

    top = Supervisor(strategy=ONE_FOR_ALL, intensity=4, period_s=3600)
    async with running(top):
        first = await add("supchild1", "child1", "child2")
        second = await add("supchild2")
        await add("supchild3", restart=Restart.TRANSIENT)
        await top.terminate_child("supchild3")
        assert counts(top) == (3, 2, 3, 0)
        assert counts(first) == (2, 2, 0, 2)
        assert counts(second) == (0, 0, 0, 0)
        for name in ("child3", "child4"):
            await second.start_child(lab.spec(name))
        assert (counts(first), counts(second)) == ((2, 2, 0, 2), (2, 2, 0, 2))

        before = dict(lab.live)
        await lab.crash("child4")
        assert (counts(first), counts(second)) == ((2, 2, 0, 2), (2, 2, 0, 2))
        assert {name for name in lab.live if lab.live[name] is not before[name]} == {"child4"}

        # child3 never comes back: supchild2 gives up, and the tree starts anew without what was added to it.
        lab.failing["child3"] = ALWAYS
        await lab.crash("child3")
        assert which(top) == [("supchild3", "running"), ("supchild2", "running"), ("supchild1", "running")]
        assert counts(top) == (3, 3, 3, 0)
        assert under_top() == {"supchild1": ["child1", "child2"], "supchild2": [], "supchild3": []}
        assert sorted(lab.live) == ["child1", "child2"]
        assert all(lab.live[name] is not before[name] for name in lab.live)


async def test_order_of_children(autojump_clock: MockClock, lab: Lab) -> None:
    names = ["ch7", "ch3", "ch10", "ch2", "ch5"]
    supervisor = Supervisor(
        [lab.spec(name) for name in names], strategy=REST_FOR_ONE, intensity=2, period_s=3600
    )
    async with run_of(supervisor):
        assert lab.take_log() == "+ch7 +ch3 +ch10 +ch2 +ch5"
        assert [id_ for id_, _ in reversed(which(supervisor))] == names
        await lab.crash("ch10")
        assert lab.take_log() == "-ch10 -ch5 -ch2 +ch10 +ch2 +ch5"
        assert [id_ for id_, _ in reversed(which(supervisor))] == names
    assert lab.take_log() == "-ch5 -ch2 -ch10 -ch3 -ch7"
