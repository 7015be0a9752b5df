"""What trio makes different: cancels from outside, asking and cancelling, Ctrl-C, stuck children, context variables."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisors import (
    BRUTAL,
    INFINITY,
    AlreadyRan,
    Backoff,
    BadSpec,
    Cause,
    ChildSpec,
    ChildStarted,
    ChildStuck,
    ChildTerminated,
    DynamicSupervisor,
    Event,
    NeverAcknowledged,
    NotRunning,
    Reason,
    Restart,
    StartFailed,
    StartTimedOut,
    Strategy,
    Supervisor,
    SupervisorTerminated,
    child,
    stop_requested,
    supervisor_child,
    trap_stop,
)

from .lab import Lab, Running

Kind = Callable[..., Supervisor | DynamicSupervisor]


async def stubborn(seconds: float) -> None:
    with trio.CancelScope(shield=True):
        await trio.sleep(seconds)


async def test_an_outer_cancel_stops_the_whole_tree_in_order(autojump_clock: MockClock, lab: Lab) -> None:
    lab.goodbye_s = dict.fromkeys("abcd", 1.0)
    inner = supervisor_child(lambda: Supervisor(lab.specs("bc")), id="inner")
    outer = Supervisor([lab.spec("a"), inner, lab.spec("d")])
    async with trio.open_nursery() as nursery:
        await nursery.start(outer.run)
        nursery.cancel_scope.cancel()
    assert nursery.cancel_scope.cancelled_caught
    assert lab.take_log() == "+a +b +c +d -d -c -b -a"
    assert trio.current_time() == 4


async def test_a_cancel_during_a_slow_start_leaves_nothing(autojump_clock: MockClock, lab: Lab) -> None:
    async def never_ready(*, task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep_forever()

    supervisor = Supervisor([lab.spec("a"), child(never_ready)])
    with trio.move_on_after(3) as scope:
        await supervisor.run()
    assert scope.cancelled_caught
    assert lab.take_log() == "+a -a"
    assert trio.current_time() == 3


async def test_stop_gets_in_while_a_child_starts(autojump_clock: MockClock, lab: Lab) -> None:
    async def never_ready(*, task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep_forever()

    supervisor = Supervisor([lab.spec("a")])
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        refused: list[NotRunning] = []

        async def start() -> None:
            try:
                await supervisor.start_child(child(never_ready))
            except NotRunning as error:
                refused.append(error)

        nursery.start_soon(start)
        nursery.start_soon(start)
        await wait_all_tasks_blocked()
        await supervisor.stop()
    assert len(refused) == 2
    assert lab.live == {}


@pytest.mark.parametrize("listens", [True, False])
async def test_only_who_listens_is_asked(autojump_clock: MockClock, running: Running, listens: bool) -> None:
    ends: list[str] = []

    async def work() -> None:
        if listens:
            trap_stop()
        try:
            await trio.sleep(3)
            ends.append("finished")
        except trio.Cancelled:
            ends.append("cancelled")
            raise

    async with running(Supervisor([child(work)])):
        await wait_all_tasks_blocked()
    assert (ends, trio.current_time()) == ((["finished"], 3) if listens else (["cancelled"], 0))


async def test_any_task_of_a_child_may_wait_for_the_request(
    autojump_clock: MockClock, running: Running
) -> None:
    async def work(name: str) -> None:
        async def watch() -> None:
            await stop_requested()
            ends.append(name)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await trio.sleep_forever()

    ends: list[str] = []
    async with running(Supervisor([child(work, name, id=name, shutdown=INFINITY) for name in "ab"])):
        await wait_all_tasks_blocked()
    assert ends == ["b", "a"]


async def test_outside_a_supervisor_nobody_asks(autojump_clock: MockClock) -> None:
    with trio.move_on_after(1000) as scope:
        await stop_requested()
    assert scope.cancelled_caught


async def test_a_brutal_stop_asks_nothing_and_says_killed(
    autojump_clock: MockClock, running: Running
) -> None:
    events: list[Event] = []
    async with running(Supervisor([child(stop_requested, shutdown=BRUTAL)], observer=events.append)):
        await wait_all_tasks_blocked()
    because = Cause("stopped with supervisor", Cause("stop() was called"))
    assert events[-2] == ChildTerminated(
        ("supervisor", "stop_requested"), Reason.KILLED, False, None, because
    )


@pytest.mark.parametrize("kind", ["supervisor", "pool"])
async def test_a_stuck_child_is_named_and_waited_for(
    autojump_clock: MockClock, running: Running, kind: str
) -> None:
    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stubborn, 60)

    events: list[Event] = []
    told_at: list[float] = []

    def observe(event: Event) -> None:
        events.append(event)
        if isinstance(event, ChildStuck):
            told_at.append(trio.current_time())

    supervisor: Supervisor | DynamicSupervisor
    supervisor = Supervisor(observer=observe) if kind == "supervisor" else DynamicSupervisor(observer=observe)
    async with running(supervisor):
        await supervisor.start_child(child(work, id="w", shutdown=2.0))
        await wait_all_tasks_blocked()
    [stuck] = [event for event in events if isinstance(event, ChildStuck)]
    assert stuck.path[-1] == "w"
    assert stuck.frame.endswith(" in stubborn")
    assert __file__ in stuck.frame
    assert (told_at, trio.current_time()) == ([3.0], 60.0)
    assert isinstance(events[-2], ChildTerminated)
    assert isinstance(events[-1], SupervisorTerminated)


async def test_a_supervisor_whose_time_is_over_loses_its_patience(
    autojump_clock: MockClock, lab: Lab
) -> None:
    lab.goodbye_s = dict.fromkeys("abc", 1.0)

    async def listens() -> None:
        await stop_requested()
        await trio.sleep(1000)

    def inner() -> Supervisor:
        slow = [child(listens, id=id_, shutdown=INFINITY) for id_ in ("x", "y")]
        return Supervisor([*lab.specs("ab"), *slow])

    outer = Supervisor([supervisor_child(inner, id="inner", shutdown=10.0)])
    async with trio.open_nursery() as nursery:
        await nursery.start(outer.run)
        await wait_all_tasks_blocked()
        await outer.stop()
    assert trio.current_time() == 11  # ten seconds of patience, then all goodbyes at once


def with_ctrl_c(kind: type[BaseException], *, grouped: bool) -> BaseException:
    return BaseExceptionGroup("g", [ValueError(), BaseExceptionGroup("h", [kind()])]) if grouped else kind()


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_ctrl_c_in_a_child_ends_the_whole_tree_in_order(
    autojump_clock: MockClock, lab: Lab, kind: type[BaseException], grouped: bool
) -> None:
    error = with_ctrl_c(kind, grouped=grouped)
    inner = supervisor_child(lambda: Supervisor(lab.specs("bc"), intensity=9), id="inner")
    outer = Supervisor([lab.spec("a"), inner, lab.spec("d")], intensity=9)
    raised: BaseException | None = None

    async def run(*, task_status: trio.TaskStatus[Supervisor]) -> None:
        nonlocal raised
        try:
            await outer.run(task_status=task_status)
        except BaseException as caught:  # noqa: BLE001 - the test is about these
            raised = caught

    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        await lab.end("b", error)
    assert raised is error
    assert lab.take_log() == "+a +b +c +d -b -c -d -a"


async def test_ctrl_c_during_a_stop_is_not_lost(autojump_clock: MockClock, lab: Lab) -> None:
    lab.last_words["a"] = KeyboardInterrupt()
    for supervisor in (Supervisor(), DynamicSupervisor()):
        lab.last_words["a"] = KeyboardInterrupt()
        with pytest.raises(BaseExceptionGroup) as caught:  # noqa: PT012 - a nursery is one statement
            async with trio.open_nursery() as nursery:
                await nursery.start(supervisor.run)
                await supervisor.start_child(lab.spec("a"))
                await supervisor.terminate_child("a")
                await trio.sleep_forever()
        assert isinstance(caught.value.exceptions[0], KeyboardInterrupt)


async def test_a_cancelled_child_is_no_crash(autojump_clock: MockClock, running: Running) -> None:
    async def work() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(trio.sleep_forever)

    events: list[Event] = []
    specs = [child(work, id=id_) for id_ in "ab"]
    supervisor = Supervisor(specs, strategy=Strategy.ONE_FOR_ALL, observer=events.append)
    async with running(supervisor):
        await wait_all_tasks_blocked()
        await supervisor.terminate_child("a")
    assert [event.reason for event in events if isinstance(event, ChildTerminated)] == [Reason.SHUTDOWN] * 2


async def test_a_child_that_fails_without_a_checkpoint_does_not_spin(
    autojump_clock: MockClock, running: Running
) -> None:
    async def hopeless() -> None:
        raise ValueError

    async with running(Supervisor([child(hopeless)], intensity=10**9)):
        for _ in range(50):
            await trio.lowlevel.checkpoint()


async def test_backoff_grows_and_starts_over_after_a_good_run(autojump_clock: MockClock, lab: Lab) -> None:
    starts: list[float] = []
    lives = iter([0.0, 0.0, 0.0, 0.0, 10.0, 0.0])

    async def work() -> None:
        starts.append(trio.current_time())
        await trio.sleep(next(lives, 1000))
        raise ValueError

    backoff = Backoff(first_s=1, factor=2, most_s=5, jitter=0.5)
    spec = child(work, backoff=backoff)
    supervisor = Supervisor([spec], intensity=9, period_s=100, random=lambda: 0.0)
    with trio.move_on_after(100):
        await supervisor.run()
    assert starts == [0, 1, 3, 7, 12, 23, 25]


async def test_a_restart_sees_the_context_of_the_first_start(
    autojump_clock: MockClock, running: Running
) -> None:
    var = contextvars.ContextVar("var", default="")
    seen: list[str] = []

    async def work() -> None:
        seen.append(var.get())
        var.set("changed by the child")
        await trio.lowlevel.checkpoint()
        raise ValueError

    var.set("when the spec was made")
    supervisor = Supervisor([child(work, restart=Restart.TRANSIENT)], intensity=2)
    var.set("later")
    with pytest.raises(Exception, match="gave up"):
        await supervisor.run()
    assert seen == ["when the spec was made"] * 3


async def test_an_instance_runs_once(autojump_clock: MockClock, running: Running) -> None:
    supervisor = Supervisor(name="once")
    async with running(supervisor):
        with pytest.raises(AlreadyRan):
            await supervisor.run()
    with pytest.raises(AlreadyRan):
        await supervisor.run()
    with pytest.raises(NotRunning):
        await supervisor.start_child(child(trio.sleep_forever))
    await supervisor.stop()


@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
async def test_stop_before_run_starts_nothing(autojump_clock: MockClock, lab: Lab, kind: Kind) -> None:
    supervisor = Supervisor(lab.specs("a")) if kind is Supervisor else kind()
    await supervisor.stop()
    await supervisor.run()
    assert lab.log == []


@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
async def test_an_observer_that_raises_ends_the_supervisor_but_loses_no_child(
    autojump_clock: MockClock, lab: Lab, kind: Kind
) -> None:
    def observe(event: Event) -> None:
        if isinstance(event, ChildStarted) and event.path[-1] == "b":
            raise LookupError("a bug")

    supervisor = kind(observer=observe)
    caught: list[BaseException] = []
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run)
            await supervisor.start_child(lab.spec("a"))
            with pytest.raises((NotRunning, StartFailed, trio.Cancelled)):  # noqa: PT012 - the start, then the end
                await supervisor.start_child(lab.spec("b"))
                await trio.sleep_forever()
            await trio.lowlevel.checkpoint()
    except* LookupError as group:
        caught.extend(group.exceptions)
    assert len(caught) == 1
    assert lab.live == {}


@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
async def test_who_never_acknowledges_has_not_started(
    autojump_clock: MockClock, running: Running, kind: Kind
) -> None:
    async def silent(*, task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep(1)

    async def late(*, task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep_forever()

    supervisor = kind()
    async with running(supervisor):
        for spec, cause in [
            (child(silent), NeverAcknowledged),
            (child(late, start_timeout_s=5), StartTimedOut),
        ]:
            with pytest.raises(StartFailed) as caught:
                await supervisor.start_child(spec)
            assert isinstance(caught.value.__cause__, cause)
        assert (supervisor.count_children().specs, trio.current_time()) == (0, 6)


async def test_a_start_timeout_ends_with_the_acknowledgement(
    autojump_clock: MockClock, running: Running
) -> None:
    async def ready(*, task_status: trio.TaskStatus[int]) -> None:
        await trio.sleep(4)
        task_status.started(7)
        with pytest.raises(RuntimeError):
            task_status.started(8)
        await trio.sleep_forever()

    supervisor = Supervisor()
    async with running(supervisor):
        assert (await supervisor.start_child(child(ready, start_timeout_s=5))).value == 7
        await trio.sleep(100)
        assert supervisor.count_children().active == 1


async def test_a_supervisor_inside_a_child_is_part_of_the_tree(autojump_clock: MockClock, lab: Lab) -> None:
    async def connection() -> None:
        await Supervisor(lab.specs("ab"), name="tasks").run()

    pool = supervisor_child(lambda: DynamicSupervisor(name="unused"), id="pool")
    node = Supervisor([child(connection), pool], name="node", observer=lab.events.append)
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        await wait_all_tasks_blocked()
        assert node.snapshot().to_text().splitlines() == [
            "node",
            "├─ connection",
            "│  └─ tasks",
            "│     ├─ a",
            "│     └─ b",
            "└─ pool",
        ]
        await lab.crash("a")
        await node.stop()
    assert ChildStarted(("node", "connection", "tasks", "a"), 1) in lab.events
    assert [event.path[-1] for event in lab.seen(ChildTerminated)] == ["a", "pool", "b", "a", "connection"]


async def test_crash_reports_are_a_bounded_ring_of_text(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    supervisor = Supervisor(lab.specs("a"), intensity=1000)
    async with running(supervisor):
        for number in range(40):
            await lab.end("a", ValueError(number, "x" * 100_000))
        reports = supervisor.crash_reports
    assert len(reports) == 16
    assert reports[-1].path == ("supervisor", "a")
    assert len(reports[-1].text) <= 4_000
    assert len(reports[-1].error) <= 1_000


def test_specs_and_supervisors_refuse_what_cannot_work() -> None:
    async def work() -> None: ...

    refused: list[Callable[[], Any]] = [
        lambda: child(work, shutdown=-1.0),
        lambda: child(work, start_timeout_s=1.0),
        lambda: supervisor_child(Supervisor, id="s", start_timeout_s=0.0),
        lambda: Supervisor([child(work), child(work)]),
        lambda: Supervisor(intensity=-1),
        lambda: Supervisor(period_s=0.0),
        lambda: DynamicSupervisor(max_children=0),
        lambda: Backoff(first_s=0.0),
        lambda: Backoff(first_s=9.0),
    ]
    for make in refused:
        with pytest.raises(BadSpec):
            make()


def test_specs_keep_their_arguments_to_themselves() -> None:
    async def login(password: str) -> None: ...

    assert isinstance(child(login, "hunter2"), ChildSpec)
    assert "hunter2" not in repr(child(login, "hunter2"))
