"""Process groups: several joins, ends that leave, monitors with a bound, and casts to all."""

from __future__ import annotations

from collections import Counter

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisors import BadSpec, DynamicSupervisor, NotSupervised, Pid, Reason, Supervisor, child
from supervisors.groups import GroupMonitor, Joined, Left, MissedChanges, ProcessGroups
from supervisors.mailbox import MailboxSpec
from supervisors.server import Server, server_child

from .lab import Running


class Member(Server):
    """Joins a group, and keeps what it is told."""

    def __init__(self, groups: ProcessGroups[str], log: list[object], times: int = 1) -> None:
        self.groups = groups
        self.log = log
        self.times = times

    async def init(self) -> None:
        for _ in range(self.times):
            self.groups.join("members")

    async def hear(self, word: str) -> None:
        self.log.append(word)

    async def handle_info(self, message: object) -> None:
        self.log.append(message)


async def test_a_member_leaves_at_its_end_before_the_restart(
    autojump_clock: MockClock, running: Running
) -> None:
    groups: ProcessGroups[str] = ProcessGroups()
    sizes: list[int] = []

    async def work() -> None:
        sizes.append(len(groups.members("g")))
        groups.join("g")
        groups.join("g")
        if len(sizes) < 3:
            raise ValueError
        await trio.sleep_forever()

    async with running(Supervisor([child(work)], intensity=2)):
        await wait_all_tasks_blocked()
        assert sizes == [0, 0, 0]
        assert (len(groups.members("g")), groups.groups()) == (2, ("g",))
    assert (groups.members("g"), groups.groups(), groups._groups) == ((), (), {})


async def test_all_servers_of_a_group_hear_once(autojump_clock: MockClock, running: Running) -> None:
    groups: ProcessGroups[str] = ProcessGroups()
    log: list[object] = []
    pool = DynamicSupervisor()
    groups.join("members", pid=Pid(("no", "server")))
    async with running(pool):
        await pool.start_child(server_child(Member, groups, log))
        await pool.start_child(server_child(Member, groups, log, 3))
        full = server_child(Member, groups, log, mailbox=MailboxSpec(1))
        ref = (await pool.start_child(full)).value
        ref.cast(Member.hear, "alone")
        with trio.testing.assert_no_checkpoints():
            assert groups.cast("members", Member.hear, "all") == 2
        await wait_all_tasks_blocked()
        assert Counter(log) == {"alone": 1, "all": 2}
        assert ref.mailbox.dropped == 1
        assert groups.info("members", 5) == 3
        assert groups.info("nobody", 5) == 0
        await wait_all_tasks_blocked()
        assert Counter(log)[5] == 3
        with pytest.raises(TypeError, match="cannot take 0 arguments"):
            groups.cast("members", Member.hear)


async def test_a_monitor_hears_of_joins_and_leaves(autojump_clock: MockClock) -> None:
    groups: ProcessGroups[str] = ProcessGroups()
    first, second = Pid(("a",)), Pid(("b",))
    groups.join("g", pid=first)
    heard: list[object] = []

    async def listen(monitor: GroupMonitor) -> None:
        async for change in monitor:
            heard.append(change)  # noqa: PERF401 - it is looked at meanwhile

    with groups.monitor("g") as monitor:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen, monitor)
            assert monitor.members == (first,)
            await wait_all_tasks_blocked()
            groups.join("g", pid=second)
            groups.join("elsewhere", pid=first)
            groups.join("g", pid=second)
            assert groups.leave("g", pid=first)
            assert not groups.leave("g", pid=first)
            await wait_all_tasks_blocked()
            second.end(Reason.CRASHED)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert heard == [Joined(second), Joined(second), Left(first), Left(second), Left(second)]
    assert groups._monitors == {}


async def test_a_monitor_that_is_slow_is_told_that_it_missed_some(autojump_clock: MockClock) -> None:
    groups: ProcessGroups[str] = ProcessGroups()
    pid = Pid(("a",))
    with groups.monitor("g", capacity=2) as monitor, groups.monitor("g") as patient:
        for _ in range(3):
            groups.join("g", pid=pid)
        groups.leave("g", pid=pid)
        with pytest.raises(MissedChanges, match="More than 2 changes"):
            await monitor.receive()
        assert groups.members("g") == (pid, pid)
        groups.leave("g", pid=pid)
        assert await monitor.receive() == Left(pid)
        assert [await patient.receive() for _ in range(5)] == [Joined(pid)] * 3 + [Left(pid)] * 2
        with trio.move_on_after(1) as scope:
            await monitor.receive()
        assert scope.cancelled_caught
        with pytest.raises(BadSpec, match="1 change or more"):
            groups.monitor("g", capacity=0)


async def test_only_who_lives_can_join() -> None:
    groups: ProcessGroups[str] = ProcessGroups()
    gone = Pid(("gone",))
    gone.end(Reason.NORMAL)
    with pytest.raises(NotSupervised, match="can join no group"):
        groups.join("g", pid=gone)
    for use in (groups.join, groups.leave):
        with pytest.raises(NotSupervised):
            use("g")


STEPS = st.lists(
    st.tuples(st.sampled_from(["join", "leave", "die"]), st.sampled_from("xy"), st.integers(0, 2)),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_groups_keep_their_word(script: list[tuple[str, str, int]]) -> None:
    """They say what a plain multiset of (group, run) says, and the changes a monitor hears add up to it."""

    async def main() -> None:
        groups: ProcessGroups[str] = ProcessGroups()
        pids = [Pid((str(number),)) for number in range(3)]
        model: Counter[tuple[str, Pid]] = Counter()
        with groups.monitor("x") as monitor:
            for verb, group, number in script:
                pid = pids[number]
                if verb == "join":
                    groups.join(group, pid=pid)
                    model[group, pid] += 1
                elif verb == "leave":
                    assert groups.leave(group, pid=pid) == (model[group, pid] > 0)
                    model[group, pid] = max(0, model[group, pid] - 1)
                else:
                    pid.end(Reason.CRASHED)
                    pids[number] = Pid((str(number),))
                    model = Counter({key: count for key, count in model.items() if key[1] is not pid})
                for each in "xy":
                    assert Counter((each, pid) for pid in groups.members(each)) == +Counter(
                        {key: count for key, count in model.items() if key[0] == each}
                    )
                for each_pid in pids:
                    is_in = any(count and key[1] is each_pid for key, count in model.items())
                    assert len(each_pid._watchers) == is_in
            tally: Counter[Pid] = Counter()
            while monitor._changes:
                change = await monitor.receive()
                tally[change.pid] += 1 if isinstance(change, Joined) else -1
                assert tally[change.pid] >= 0
            assert +tally == Counter(groups.members("x"))

    trio.run(main, clock=MockClock(autojump_threshold=0))
