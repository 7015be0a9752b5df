"""The rules that ports of OTP's supervisor get wrong, one test or more for each, by number."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisors import (
    AlreadyPresent,
    AlreadyStarted,
    AutoShutdown,
    Backoff,
    BadSpec,
    Cause,
    ChildInfo,
    ChildRestarting,
    ChildTerminated,
    Counts,
    DynamicSupervisor,
    GaveUp,
    NotFound,
    Policy,
    Reason,
    Restart,
    StartFailed,
    Status,
    StillRestarting,
    StillRunning,
    Strategy,
    Supervisor,
    SupervisorError,
    SupervisorGaveUp,
    SupervisorStarted,
    child,
    stop_requested,
    supervisor_child,
)

from .lab import Lab, Running

ONE_FOR_ALL, REST_FOR_ONE = Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE


def status(supervisor: Supervisor, name: str) -> Status:
    return next(info.status for info in supervisor.which_children() if info.id == name)


async def run_to_the_end(supervisor: Supervisor) -> BaseException | None:
    try:
        await supervisor.run()
    except SupervisorError as error:
        return error
    return None


async def after_crashes(lab: Lab, supervisor: Supervisor, script: list[str | float]) -> GaveUp | None:
    """Crash children by name, with pauses in seconds between; say whether the supervisor gave up of it."""
    error: GaveUp | None = None
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run)
            for step in script:
                if isinstance(step, str):
                    await lab.crash(step)
                else:
                    await trio.sleep(step)
            await supervisor.stop()
    except* GaveUp as group:
        [error] = [leaf for leaf in group.exceptions if isinstance(leaf, GaveUp)]
    return error


async def test_rule_01_start_is_sequential_and_acknowledged_last(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    log: list[tuple[float, str]] = []

    async def slow(name: str, *, task_status: trio.TaskStatus[None]) -> None:
        log.append((trio.current_time() - began, name))
        await trio.sleep(2)
        task_status.started()
        await trio.sleep_forever()

    began = trio.current_time()
    supervisor = Supervisor([child(slow, "a", id="a"), child(slow, "b", id="b")])
    await nursery.start(supervisor.run)
    assert (log, trio.current_time() - began) == ([(0, "a"), (2, "b")], 4)
    await supervisor.stop()


async def test_rule_02_a_failed_first_start_is_not_retried(autojump_clock: MockClock, lab: Lab) -> None:
    lab.failing["c"] = 1
    supervisor = Supervisor(lab.specs("abcd"), intensity=100)
    error = await run_to_the_end(supervisor)
    assert lab.take_log() == "+a +b !c -b -a"
    assert isinstance(error, StartFailed)
    assert error.path == ("supervisor", "c")
    assert isinstance(error.__cause__, OSError)


async def test_rule_03_ignore_keeps_the_spec_and_is_no_error(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    lab.ignoring |= {"a", "t"}
    supervisor = Supervisor([lab.spec("a"), lab.spec("t", restart=Restart.TEMPORARY)])
    async with running(supervisor):
        assert supervisor.which_children() == [ChildInfo("a", Status.STOPPED, is_supervisor=False)]
        assert not (await supervisor.start_child(lab.spec("t", restart=Restart.TEMPORARY))).is_running
        assert supervisor.count_children().specs == 1
        lab.ignoring.clear()
        assert (await supervisor.restart_child("a")).value == "A"


async def test_rule_03_ignore_on_an_automatic_restart_leaves_it_stopped(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    supervisor = Supervisor(lab.specs("ab"))
    async with running(supervisor):
        lab.ignoring.add("a")
        await lab.crash("a")
        assert status(supervisor, "a") is Status.STOPPED
        assert supervisor.count_children() == Counts(specs=2, active=1, supervisors=0, workers=2)
        lab.ignoring.clear()
        assert (await supervisor.restart_child("a")).is_running


async def test_rule_03_a_pool_forgets_who_ignores(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    lab.ignoring.add("a")
    pool = DynamicSupervisor()
    async with running(pool):
        assert not (await pool.start_child(lab.spec("a"))).is_running
        assert pool.count_children().specs == 0
        lab.ignoring.clear()
        await pool.start_child(lab.spec("a"))
        lab.ignoring.add("a")
        await lab.crash("a")
        assert pool.count_children().specs == 0


async def test_rule_04_a_crash_of_a_group_counts_once(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    supervisor = Supervisor(lab.specs("abcd"), strategy=ONE_FOR_ALL, intensity=2)
    async with running(supervisor):
        await lab.crash("b")
        await lab.crash("d")
        assert supervisor.count_children().active == 4


async def test_rule_04_intensity_is_per_supervisor(autojump_clock: MockClock, lab: Lab) -> None:
    error = await after_crashes(lab, Supervisor(lab.specs("ab"), intensity=1), ["a", "b"])
    assert isinstance(error, GaveUp)
    assert lab.take_log() == "+a +b -a +a -b -a"


async def test_rule_05_intensity_0_makes_the_first_crash_fatal(autojump_clock: MockClock, lab: Lab) -> None:
    supervisor = Supervisor(lab.specs("ab"), intensity=0, observer=lab.events.append)
    error = await after_crashes(lab, supervisor, ["b"])
    assert isinstance(error, GaveUp)
    assert isinstance(error.__cause__, ValueError)
    assert lab.take_log() == "+a +b -b -a"
    because = Cause("supervisor/b crashed with ValueError: b")
    assert lab.seen(SupervisorGaveUp) == [SupervisorGaveUp(("supervisor",), "b", 0, 5.0, because)]


@pytest.mark.parametrize(("wait_s", "survives"), [(4.5, False), (5.0, False), (5.5, True)])
async def test_rule_05_the_window_slides_with_an_inclusive_edge(
    autojump_clock: MockClock, lab: Lab, wait_s: float, survives: bool
) -> None:
    supervisor = Supervisor(lab.specs("a"), intensity=2, period_s=5.0)
    error = await after_crashes(lab, supervisor, ["a", 1, "a", wait_s - 1, "a"])
    assert (error is None) is survives


@pytest.mark.parametrize(("failures", "survives"), [(2, True), (3, False)])
async def test_rule_05_each_failed_attempt_counts_again(
    autojump_clock: MockClock, lab: Lab, failures: int, survives: bool
) -> None:
    async def fail_later() -> None:
        lab.failing["a"] = failures

    supervisor = Supervisor([lab.spec("a"), child(fail_later, restart=Restart.TEMPORARY)], intensity=3)
    error = await after_crashes(lab, supervisor, [0.0, "a"])
    assert (error is None) is survives
    assert lab.take_log() == "+a -a" + failures * " !a" + survives * " +a -a"


async def test_rule_06_only_crashes_count(autojump_clock: MockClock, lab: Lab, running: Running) -> None:
    supervisor = Supervisor(lab.specs("a"), intensity=0)
    async with running(supervisor):
        for _ in range(5):
            await supervisor.terminate_child("a")
            lab.failing["a"] = 1
            with pytest.raises(StartFailed):
                await supervisor.restart_child("a")
            await supervisor.restart_child("a")
            await supervisor.start_child(lab.spec("b"))
            await supervisor.terminate_child("b")
            await supervisor.delete_child("b")
        assert supervisor.count_children().active == 1


@pytest.mark.parametrize("how", ["terminate", "stop"])
async def test_rule_07_requests_get_in_between_failed_attempts(
    autojump_clock: MockClock, lab: Lab, how: str
) -> None:
    supervisor = Supervisor(lab.specs("ab"), intensity=10**9)
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        lab.failing["a"] = 10**9  # fails without a single checkpoint, at once and for ever
        lab.end_nowait("a", ValueError())
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        if how == "terminate":
            await supervisor.terminate_child("a")
            assert status(supervisor, "a") is Status.STOPPED
        await supervisor.stop()
    assert lab.live == {}


async def test_rule_08_a_restarting_child_says_so_and_can_only_be_terminated(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    backoff = Backoff(first_s=10, most_s=10, jitter=0)
    supervisor = Supervisor(lab.specs("a", backoff=backoff), observer=lab.events.append)
    async with running(supervisor):
        await lab.crash("a")
        assert supervisor.which_children() == [ChildInfo("a", Status.RESTARTING, is_supervisor=False)]
        assert supervisor.count_children().active == 0
        assert lab.seen(ChildRestarting) == [ChildRestarting(("supervisor", "a"), 10.0, 1)]
        with pytest.raises(StillRestarting):
            await supervisor.restart_child("a")
        with pytest.raises(StillRestarting):
            await supervisor.delete_child("a")
        with pytest.raises(AlreadyPresent):
            await supervisor.start_child(lab.spec("a"))
        await supervisor.terminate_child("a")
        await trio.sleep(100)
        assert (status(supervisor, "a"), lab.take_log()) == (Status.STOPPED, "+a -a")


async def test_rule_09_one_for_all_stops_in_reverse_fully_then_starts_in_order(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    lab.goodbye_s = {"a": 1, "c": 2}
    supervisor = Supervisor(lab.specs("abcd"), strategy=ONE_FOR_ALL)
    async with running(supervisor):
        lab.take_log()
        await lab.crash("b")
        await trio.sleep(10)
        assert lab.take_log() == "-b -d -c -a +a +b +c +d"


async def test_rule_10_a_group_restart_starts_the_stopped_and_the_finished(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    temporary = lab.spec("t", restart=Restart.TEMPORARY)
    transient = lab.spec("x", restart=Restart.TRANSIENT)
    supervisor = Supervisor([*lab.specs("ab"), transient, temporary], strategy=ONE_FOR_ALL)
    async with running(supervisor):
        await supervisor.terminate_child("a")
        await lab.end("x")
        lab.take_log()
        await lab.crash("b")
        assert lab.take_log() == "-b -t +a +b +x"
        with pytest.raises(NotFound):
            supervisor.get_childspec("t")


async def test_rule_11_one_for_all_keys_the_retry_to_who_failed(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    supervisor = Supervisor(lab.specs("abc"), strategy=ONE_FOR_ALL, intensity=2)
    async with running(supervisor):
        lab.take_log()
        lab.failing["b"] = 1
        await lab.crash("c")
        assert lab.take_log() == "-c -b -a +a !b -a +a +b +c"


async def test_rule_11_rest_for_one_keeps_those_before_who_failed(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    supervisor = Supervisor(lab.specs("abcd"), strategy=REST_FOR_ONE, intensity=2)
    async with running(supervisor):
        lab.take_log()
        lab.failing["c"] = 1
        await lab.crash("b")
        assert lab.take_log() == "-b -d -c +b !c +c +d"


async def test_rule_11_the_others_wait_stopped_while_one_retries(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    specs = [lab.spec("a"), lab.spec("b", backoff=Backoff(first_s=10, most_s=10)), lab.spec("c")]
    supervisor = Supervisor(specs, strategy=ONE_FOR_ALL, intensity=2)
    async with running(supervisor):
        lab.failing["b"] = 1
        await lab.crash("a")
        assert [info.status for info in supervisor.which_children()] == [
            Status.STOPPED,
            Status.RESTARTING,
            Status.RUNNING,
        ]
        await supervisor.terminate_child("b")
        await trio.sleep(100)
        assert list(lab.live) == ["a"]


async def test_rule_12_rest_for_one_means_those_started_after_it(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    supervisor = Supervisor(lab.specs("abc"), strategy=REST_FOR_ONE)
    async with running(supervisor):
        await supervisor.start_child(lab.spec("d"))
        lab.take_log()
        await lab.crash("b")
        assert lab.take_log() == "-b -d -c +b +c +d"


@pytest.mark.parametrize("how", ["normal", "shutdown", "crash"])
@pytest.mark.parametrize("restart", Restart)
async def test_rule_13_who_is_restarted_after_what(
    autojump_clock: MockClock, lab: Lab, running: Running, restart: Restart, how: str
) -> None:
    shutdown = GaveUp("enough", path=(), is_shutdown=True)
    error = {"normal": None, "shutdown": shutdown, "crash": ValueError()}[how]
    supervisor = Supervisor([lab.spec("a", restart=restart)], observer=lab.events.append)
    async with running(supervisor):
        await lab.end("a", error)
        is_restarted = restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and how == "crash")
        assert ("a" in lab.live) is is_restarted
        assert supervisor.count_children().specs == (restart is not Restart.TEMPORARY)
        [event] = lab.seen(ChildTerminated)
        reason = {"normal": Reason.NORMAL, "shutdown": Reason.SHUTDOWN, "crash": Reason.CRASHED}[how]
        assert (event.reason, event.will_restart) == (reason, is_restarted)


@pytest.mark.parametrize(("on_give_up", "runs"), [("shutdown", 1), ("crash", 2)])
async def test_rule_14_giving_up_is_a_shutdown_unless_told_otherwise(
    autojump_clock: MockClock, lab: Lab, running: Running, on_give_up: Any, runs: int
) -> None:
    def inner() -> Supervisor:
        return Supervisor(lab.specs("a"), intensity=0, on_give_up=on_give_up)

    outer = Supervisor([supervisor_child(inner, id="inner", restart=Restart.TRANSIENT)])
    async with running(outer):
        await lab.crash("a")
        assert lab.take_log() == " ".join(["+a -a"] * (runs - 1) + ["+a" if runs == 2 else "+a -a"])
        assert status(outer, "inner") is (Status.RUNNING if runs == 2 else Status.STOPPED)


async def test_rule_14_a_permanent_supervisor_that_gave_up_is_restarted(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    outer = Supervisor([supervisor_child(lambda: Supervisor(lab.specs("ab"), intensity=0), id="inner")])
    async with running(outer):
        await lab.crash("a")
        assert lab.take_log() == "+a +b -a -b +a +b"


async def test_rule_15_terminate_child_is_sure_idempotent_and_not_counted(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    lab.goodbye_s["a"] = 3
    specs = [
        lab.spec("a", restart=Restart.TRANSIENT, significant=True),
        lab.spec("t", restart=Restart.TEMPORARY),
    ]
    supervisor = Supervisor(specs, intensity=0, auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)
    async with running(supervisor):
        await supervisor.terminate_child("a")
        assert "a" not in lab.live
        await supervisor.terminate_child("a")
        assert supervisor.get_childspec("a") == specs[0]
        await supervisor.terminate_child("t")
        with pytest.raises(NotFound):
            await supervisor.terminate_child("t")
        await supervisor.start_child(lab.spec("b"))  # it lives: no automatic shutdown


async def test_rule_16_what_is_refused_in_which_state(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    supervisor = Supervisor(lab.specs("a"))
    async with running(supervisor):
        with pytest.raises(AlreadyStarted):
            await supervisor.start_child(lab.spec("a"))
        with pytest.raises(StillRunning):
            await supervisor.restart_child("a")
        with pytest.raises(StillRunning):
            await supervisor.delete_child("a")
        await supervisor.terminate_child("a")
        with pytest.raises(AlreadyPresent):
            await supervisor.start_child(lab.spec("a"))
        await supervisor.delete_child("a")
        with pytest.raises(NotFound):
            await supervisor.restart_child("a")
        with pytest.raises(NotFound):
            await supervisor.delete_child("a")
        assert (await supervisor.start_child(lab.spec("a"))).value == "A"


async def test_rule_17_failed_starts_by_hand(autojump_clock: MockClock, lab: Lab, running: Running) -> None:
    supervisor = Supervisor(lab.specs("a"), intensity=0)
    async with running(supervisor):
        lab.failing = {"a": 1, "b": 1}
        with pytest.raises(StartFailed, match="b cannot start"):
            await supervisor.start_child(lab.spec("b"))
        with pytest.raises(NotFound):
            supervisor.get_childspec("b")
        await supervisor.terminate_child("a")
        with pytest.raises(StartFailed):
            await supervisor.restart_child("a")
        assert status(supervisor, "a") is Status.STOPPED
        await supervisor.restart_child("a")


async def test_rule_18_stop_asks_waits_cancels_and_waits_in_reverse_order(
    autojump_clock: MockClock, running: Running
) -> None:
    log: list[tuple[float, str]] = []

    async def listens(name: str) -> None:
        try:
            await stop_requested()
            log.append((trio.current_time() - began, f"{name} asked"))
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.5)
            log.append((trio.current_time() - began, f"{name} gone"))

    supervisor = Supervisor([child(listens, name, id=name, shutdown=2.0) for name in "ab"])
    async with running(supervisor):
        await wait_all_tasks_blocked()
        began = trio.current_time()
    assert log == [(0, "b asked"), (2.5, "b gone"), (2.5, "a asked"), (5.0, "a gone")]


async def test_rule_18_pools_stop_in_parallel_under_one_timer(
    autojump_clock: MockClock, running: Running
) -> None:
    async def listens(goodbye_s: float) -> None:
        await stop_requested()
        await trio.sleep(goodbye_s)

    events: list[Any] = []
    pool = DynamicSupervisor(observer=events.append)
    async with running(pool):
        for goodbye_s in (1, 2, 3, 99, 99):
            await pool.start_child(child(listens, goodbye_s, shutdown=4.0))
        began = trio.current_time()
        await wait_all_tasks_blocked()
    assert trio.current_time() - began == 4
    reasons = [event.reason for event in events if isinstance(event, ChildTerminated)]
    assert reasons == [Reason.SHUTDOWN] * 3 + [Reason.KILLED] * 2


async def test_rule_19_a_crash_during_a_stop_is_told_and_not_restarted(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    lab.last_words["a"] = ValueError("last words")
    supervisor = Supervisor(lab.specs("ab"), strategy=ONE_FOR_ALL, intensity=1, observer=lab.events.append)
    async with running(supervisor):
        await lab.crash("b")
        assert lab.take_log() == "+a +b -b -a +a +b"
        by_a = next(event for event in lab.seen(ChildTerminated) if event.path[-1] == "a")
        assert (by_a.reason, by_a.will_restart) == (Reason.CRASHED, False)
        assert by_a.report is not None
        assert by_a.report.error == "ValueError: last words"


async def test_rule_19_a_crash_just_before_a_stop_is_not_counted_either(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    lab.goodbye_s["c"] = 1
    supervisor = Supervisor(lab.specs("abc"), strategy=ONE_FOR_ALL, intensity=1, observer=lab.events.append)
    async with running(supervisor):
        lab.take_log()
        lab.end_nowait("b", ValueError())
        await trio.sleep(0.5)  # c takes its time to stop, and a is next
        lab.end_nowait("a", KeyError())
        await trio.sleep(10)
        assert lab.take_log() == "-b -a -c +a +b +c"
        ends = [(event.path[-1], event.reason, event.will_restart) for event in lab.seen(ChildTerminated)]
        assert ends == [
            ("b", Reason.CRASHED, True),
            ("c", Reason.SHUTDOWN, False),
            ("a", Reason.CRASHED, False),
        ]


async def test_rule_20_dying_while_the_siblings_start_is_a_fresh_crash(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    async def slow(*, task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep(2)
        task_status.started()
        await trio.sleep_forever()

    supervisor = Supervisor(
        [lab.spec("a"), child(slow), lab.spec("c")], strategy=ONE_FOR_ALL, intensity=2, period_s=100
    )
    async with running(supervisor):
        lab.take_log()
        await lab.crash("c")
        lab.end_nowait("a", ValueError())  # while `slow` starts
        await trio.sleep(10)
        assert lab.take_log() == "-c -a +a -a +c -c +a +c"
        assert supervisor.snapshot().headroom == 0


async def test_rule_21_any_significant(autojump_clock: MockClock, lab: Lab) -> None:
    specs = [lab.spec(name, restart=Restart.TRANSIENT, significant=name != "c") for name in "abc"]
    supervisor = Supervisor(specs, auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        await lab.end("c")
        await lab.crash("a")  # it comes back
        assert sorted(lab.live) == ["a", "b"]
        await lab.end("b")
        assert lab.live == {}


async def test_rule_21_all_significant_and_a_restarting_one_counts_as_alive(
    autojump_clock: MockClock, lab: Lab
) -> None:
    backoff = Backoff(first_s=10, most_s=10, jitter=0)
    specs = [lab.spec(name, restart=Restart.TRANSIENT, significant=True, backoff=backoff) for name in "ab"]
    supervisor = Supervisor([*specs, lab.spec("c")], auto_shutdown=AutoShutdown.ALL_SIGNIFICANT)
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        await lab.crash("a")
        await lab.end("b")
        assert list(lab.live) == ["c"]
        await trio.sleep(10)
        await wait_all_tasks_blocked()
        assert sorted(lab.live) == ["a", "c"]
        await lab.end("a")
        assert lab.live == {}


async def test_rule_21_siblings_stopped_by_a_strategy_do_not_count(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    specs = [lab.spec("a"), lab.spec("t", restart=Restart.TEMPORARY, significant=True)]
    supervisor = Supervisor(specs, strategy=ONE_FOR_ALL, auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)
    async with running(supervisor):
        await lab.crash("a")
        assert list(lab.live) == ["a"]


async def test_rule_21_what_makes_no_sense_is_refused(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    with pytest.raises(BadSpec):
        lab.spec("a", significant=True)
    significant = lab.spec("a", significant=True, restart=Restart.TRANSIENT)
    with pytest.raises(BadSpec):
        Supervisor([significant])
    supervisor, pool = Supervisor(), DynamicSupervisor()
    async with running(supervisor), running(pool):
        with pytest.raises(BadSpec):
            await supervisor.start_child(significant)
        with pytest.raises(BadSpec):
            await pool.start_child(significant)


async def test_rule_22_arguments_of_ended_temporary_children_are_not_kept(
    autojump_clock: MockClock, running: Running
) -> None:
    class Argument:
        pass

    async def use(argument: Argument) -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError(str(argument))

    supervisor, pool = Supervisor(), DynamicSupervisor()
    async with running(supervisor), running(pool):
        for place in (supervisor, pool):
            argument = Argument()
            ghost = weakref.ref(argument)
            await place.start_child(child(use, argument, restart=Restart.TEMPORARY))
            del argument
            await wait_all_tasks_blocked()
            gc.collect()
            assert ghost() is None


async def test_rule_23_which_children_is_newest_first_and_counts_know_stopped_specs(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    inner = supervisor_child(Supervisor, id="inner")
    supervisor = Supervisor([lab.spec("a"), inner, lab.spec("b")])
    async with running(supervisor):
        await supervisor.terminate_child("b")
        assert [info.id for info in supervisor.which_children()] == ["b", "inner", "a"]
        assert supervisor.count_children() == Counts(specs=3, active=2, supervisors=1, workers=2)


@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
async def test_rule_24_defaults_are_those_of_otp(
    autojump_clock: MockClock, lab: Lab, running: Running, kind: type[Supervisor | DynamicSupervisor]
) -> None:
    async with running(kind(name="s", observer=lab.events.append)):
        assert lab.events == [SupervisorStarted(("s",), intensity=1, period_s=5.0)]
    assert lab.spec("a").policy == Policy(Restart.PERMANENT, shutdown=5.0, acknowledges=True)
    assert supervisor_child(Supervisor, id="s").policy.shutdown == float("inf")


async def test_a_sibling_started_by_hand_while_its_group_waits_is_not_started_twice(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    specs = [lab.spec("a"), lab.spec("b", backoff=Backoff(first_s=10, most_s=10, jitter=0))]
    supervisor = Supervisor(specs, strategy=ONE_FOR_ALL)
    async with running(supervisor):
        await lab.crash("b")
        await supervisor.restart_child("a")
        await trio.sleep(20)
        assert lab.take_log() == "+a +b -b -a +a +b"
