"""The testing kit: crashes on order, waits that end, traces, and replays that come out the same."""

from __future__ import annotations

import doctest
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio._core import _run
from trio.testing import MockClock, wait_all_tasks_blocked

import supervisors.testing
from supervisors import (
    AutoShutdown,
    Backoff,
    ChildRestarting,
    ChildStarted,
    ChildTerminated,
    DynamicSupervisor,
    Event,
    KeyGaveUp,
    NotFound,
    NotRunning,
    OnError,
    Reason,
    Restart,
    StartFailed,
    Status,
    Strategy,
    Supervisor,
    SupervisorGaveUp,
    SupervisorTerminated,
    child,
    supervisor_child,
)
from supervisors.testing import (
    Crash,
    CrashSchedule,
    DidNotHappen,
    Injected,
    Recorder,
    Trace,
    crash,
    play,
    replay,
    seeded_scheduling,
    wait_restarted,
    wait_until,
)

from .lab import Lab, Running

QUICK = Backoff(first_s=1, most_s=8)


def test_the_example_in_the_docstring_runs() -> None:
    results = doctest.testmod(supervisors.testing, extraglobs={"trio": trio})
    assert (results.failed, results.attempted > 5) == (0, True)


# Crashes on order


async def test_a_child_crashes_where_it_waits(autojump_clock: MockClock, lab: Lab, running: Running) -> None:
    recorder = Recorder(lab.events.append)
    supervisor = Supervisor(lab.specs("ab"), observer=recorder)
    async with running(supervisor):
        pid = crash(supervisor, "a", OSError("disk full"))
        assert pid.is_alive
        await wait_all_tasks_blocked()
        assert (pid.path, pid.reason) == (("supervisor", "a"), Reason.CRASHED)
        assert lab.take_log() == "+a +b -a +a"
    [event] = [event for event in lab.seen(ChildTerminated) if event.reason is Reason.CRASHED]
    assert (event.path, event.will_restart) == (("supervisor", "a"), True)
    assert event.report is not None
    assert event.report.error == "OSError: disk full"


async def test_an_ordered_crash_is_judged_like_any_other(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    supervisor = Supervisor(lab.specs("ab", on_error={OSError: OnError.STOP}))
    async with running(supervisor):
        crash(supervisor, "a", ExceptionGroup("g", [OSError()]))
        await wait_until(supervisor, "a", Status.STOPPED)
        crash(supervisor, "b", ValueError())
        await wait_restarted(supervisor, "b")
        assert list(lab.live) == ["b"]


async def test_ctrl_c_can_be_ordered_too(autojump_clock: MockClock, lab: Lab) -> None:
    supervisor = Supervisor(lab.specs("ab"))
    with pytest.raises(BaseExceptionGroup) as caught:  # noqa: PT012 - a nursery is one statement
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run)
            crash(supervisor, "a", KeyboardInterrupt())
            await trio.sleep_forever()
    assert isinstance(caught.value.exceptions[0], KeyboardInterrupt)
    assert lab.take_log() == "+a +b -a -b"


async def test_a_child_that_does_not_run_cannot_crash(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    supervisor = Supervisor(lab.specs("a", backoff=QUICK))
    with pytest.raises(NotRunning, match=r"supervisor/a cannot crash: no run of it is alive \(stopped\)"):
        crash(supervisor, "a")
    async with running(supervisor):
        crash(supervisor, "a")
        await wait_until(supervisor, "a", Status.RESTARTING)
        with pytest.raises(NotRunning, match=r"\(restarting\)"):
            crash(supervisor, "a")
        for path, error in {"b": NotFound, "a/b": NotFound, "": ValueError, "a//b": ValueError}.items():
            with pytest.raises(error):
                crash(supervisor, path)


async def test_a_nested_supervisor_that_crashes_stops_its_children_first(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    root = Supervisor([supervisor_child(lambda: Supervisor(lab.specs("ab")), id="inner")])
    async with running(root):
        crash(root, "inner")
        await wait_restarted(root, "inner/b")
        assert lab.take_log() == "+a +b -b -a +a +b"


async def test_paths_are_those_of_the_events(autojump_clock: MockClock, lab: Lab, running: Running) -> None:
    """A supervisor run by a worker's own code has a name in the path, one that is a child has not."""

    async def connection() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(Supervisor(lab.specs("ab"), name="tasks").run)
            await nursery.start(Supervisor([child(_served, id="a")], name="more").run)

    recorder = Recorder()
    pool = supervisor_child(lambda: DynamicSupervisor(name="unused"), id="pool")
    node = Supervisor([child(connection), pool], name="node", observer=recorder)
    async with running(node):
        await wait_all_tasks_blocked()
        for entry in recorder.trace().of(ChildStarted):
            path = entry.event.path
            assert node._slot_at(path[1:]).path == path
        crash(node, "connection/tasks/b")
        await wait_restarted(node, ("connection", "tasks", "b"))
        assert lab.take_log() == "+a +b -b +b"
        assert crash(node, "connection/more/a").path == ("node", "connection", "more", "a")
        for path in ("connection/b", "connection/tasks", "connection/other/b", "pool/unused", "pool/x"):
            with pytest.raises(NotFound, match="has no child"):
                crash(node, path)


# Waits


async def test_waiting_takes_no_longer_than_what_is_waited_for(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    supervisor = Supervisor(lab.specs("a", backoff=Backoff(first_s=7, most_s=7, jitter=0)))
    async with running(supervisor):
        pid = crash(supervisor, "a")
        await wait_until(supervisor, "a", Status.RESTARTING)
        assert trio.current_time() == 0
        new = await wait_restarted(supervisor, "a")
        assert (new.is_alive, new is not pid, trio.current_time()) == (True, True, 7)
        assert await wait_restarted(supervisor, "a", after=pid) is new
        assert trio.current_time() == 7


@pytest.mark.parametrize("has_observer", [False, True])
async def test_a_wait_follows_a_path_through_supervisors_that_restart(
    autojump_clock: MockClock, lab: Lab, running: Running, has_observer: bool
) -> None:
    observer = lab.events.append if has_observer else None
    slow = Backoff(first_s=3, most_s=3, jitter=0)

    def inner() -> Supervisor:
        return Supervisor(lab.specs("ab", backoff=slow), intensity=0, observer=observer)

    root = Supervisor([supervisor_child(inner, id="inner", backoff=slow)])
    async with running(root):
        pid = crash(root, "inner/b")  # inner gives up, and root starts another
        await wait_restarted(root, "inner/b", after=pid)
        assert (lab.take_log(), trio.current_time()) == ("+a +b -b -a +a +b", 3)


async def test_a_wait_for_what_cannot_come_says_why(autojump_clock: MockClock, lab: Lab) -> None:
    supervisor = Supervisor(lab.specs("ab", backoff=QUICK), intensity=1, name="app")
    refused: list[str] = []

    async def wait() -> None:
        with pytest.raises(DidNotHappen) as caught:
            await wait_restarted(supervisor, "a")
        refused.append(str(caught.value))

    async with trio.open_nursery() as waiting:
        with pytest.raises(ExceptionGroup):  # noqa: PT012 - a nursery is one statement
            async with trio.open_nursery() as nursery:
                await nursery.start(supervisor.run)
                waiting.start_soon(wait)
                crash(supervisor, "b")
                await wait_restarted(supervisor, "b")
                crash(supervisor, "b", OSError("disk full"))
    assert refused == [
        "app/a did not run again: app has ended; app gave up because app/b crashed with OSError: disk full."
    ]


async def test_a_wait_is_bounded_and_says_how_things_are(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    supervisor = Supervisor([lab.spec("a", restart=Restart.TRANSIENT)], name="app")
    async with running(supervisor):
        await lab.end("a")
        with pytest.raises(DidNotHappen, match=r"app/a did not run again: after 60 s it is stopped\."):
            await wait_restarted(supervisor, "a")
        assert trio.current_time() == 60
        with pytest.raises(DidNotHappen, match=r"app/b did not become running: after 5 s it is not there\."):
            await wait_until(supervisor, "b", Status.RUNNING, within_s=5)
        with pytest.raises(NotFound):
            await wait_restarted(supervisor, "b")
        await wait_until(supervisor, "a", Status.STOPPED)
        with trio.move_on_after(1) as scope:
            await wait_restarted(supervisor, "a")
        assert scope.cancelled_caught


async def test_a_wait_ends_though_the_observer_has_a_bug(autojump_clock: MockClock, lab: Lab) -> None:
    def observe(event: Event) -> None:
        if isinstance(event, ChildTerminated):
            raise LookupError("a bug")  # noqa: TRY004 - any error would do

    async def wait() -> None:
        with pytest.raises(DidNotHappen, match="supervisor has ended"):
            await wait_restarted(supervisor, "a")
        ended.append("said so")

    ended: list[str] = []
    supervisor = Supervisor(lab.specs("a", backoff=QUICK), observer=observe)
    async with trio.open_nursery() as waiting:
        with pytest.raises(ExceptionGroup):  # noqa: PT012 - a nursery is one statement
            async with trio.open_nursery() as nursery:
                await nursery.start(supervisor.run)
                waiting.start_soon(wait)
                await wait_all_tasks_blocked()
                crash(supervisor, "a")
    assert ended == ["said so"]
    assert trio.current_time() == 0


async def test_waiting_may_begin_before_the_supervisor_does(autojump_clock: MockClock, lab: Lab) -> None:
    supervisor = Supervisor(lab.specs("a"), observer=lab.events.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_until, supervisor, "a", Status.RUNNING)
        await wait_all_tasks_blocked()
        await nursery.start(supervisor.run)
        await supervisor.stop()
    assert len(lab.seen(ChildStarted)) == 1


async def test_who_has_died_is_not_running_though_its_supervisor_has_no_time_to_see_it(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    lab.goodbye_s["c"] = 4
    supervisor = Supervisor(lab.specs("abc"), strategy=Strategy.ONE_FOR_ALL)
    async with running(supervisor):
        await lab.crash("b")  # c takes its time to stop, and a is next
        await lab.crash("a")
        assert supervisor.which_children()[-1].status is Status.RUNNING
        await wait_until(supervisor, "a", Status.RUNNING)
        assert trio.current_time() == 4


# Traces


async def test_a_trace_is_a_value_that_can_be_searched_and_written(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    recorder = Recorder(lab.events.append)
    await trio.sleep(100)  # times are since the first event
    inner = supervisor_child(lambda: Supervisor(lab.specs("b")), id="inner")
    root = Supervisor(
        [lab.spec("a", backoff=Backoff(first_s=2, jitter=0)), inner], name="root", observer=recorder
    )
    async with running(root):
        crash(root, "a", OSError("disk full"))
        await wait_restarted(root, "a")
    trace = recorder.trace()
    assert [entry.event for entry in trace] == lab.events
    assert len(trace) == len(lab.events)
    assert trace == Trace(trace.entries)
    assert trace != trace.at("root/a")
    assert {entry.event.path for entry in trace.at("root/inner")} == {
        ("root", "inner"),
        ("root", "inner", "b"),
    }
    assert trace.at(("root", "in")) == Trace()
    started = trace.of(ChildStarted, SupervisorTerminated).at("root/a")
    assert started.to_text().splitlines() == [
        "     0.000  ChildStarted          root/a  restarts=0",
        "     2.000  ChildStarted          root/a  restarts=1",
    ]
    crashed = trace.of(ChildTerminated).to_text().splitlines()[0]
    assert crashed == (
        "     0.000  ChildTerminated       root/a  reason=crashed will_restart=True report='OSError: disk full'"
    )
    rows = json.loads(trace.of(ChildTerminated).to_json())
    assert rows[0] == {
        "at_s": 0.0,
        "event": "ChildTerminated",
        "path": ["root", "a"],
        "reason": "crashed",
        "will_restart": True,
        "report": "OSError: disk full",
        "because": None,
    }
    assert rows[-1]["because"] == "stopped with root because stop() was called"


def test_a_key_that_is_no_json_is_written_as_it_reads() -> None:
    recorder = Recorder()

    async def main() -> None:
        recorder(KeyGaveUp(("pool",), ("user", 1), supervisors.Cause("x")))
        recorder(KeyGaveUp(("pool",), frozenset({1}), supervisors.Cause("x")))

    trio.run(main)
    assert [row["key"] for row in json.loads(recorder.trace().to_json())] == [["user", 1], "frozenset({1})"]


# Schedules and replays

paths = st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=3).map(tuple)
crashes = st.builds(Crash, st.floats(0, 1e6), paths, st.text(max_size=9))
some_schedules = st.lists(crashes, max_size=8).map(lambda found: CrashSchedule(tuple(found)))


@given(some_schedules)
def test_a_schedule_comes_back_from_json(schedule: CrashSchedule) -> None:
    assert CrashSchedule.from_json(schedule.to_json()) == schedule
    times = [one.at_s for one in schedule.crashes]
    assert times == sorted(times)


@given(st.integers(), st.integers(0, 20), st.floats(0, 100))
def test_a_seed_draws_one_schedule(seed: int, count: int, within_s: float) -> None:
    schedule = CrashSchedule.random(seed, ["a", "b/c"], count, within_s)
    assert schedule == CrashSchedule.random(seed, ["a", "b/c"], count, within_s)
    assert len(schedule.crashes) == count
    assert all(0 <= one.at_s <= within_s + 0.001 for one in schedule.crashes)
    assert {one.path for one in schedule.crashes} <= {("a",), ("b", "c")}


def test_another_seed_draws_another_schedule() -> None:
    schedules = {CrashSchedule.random(seed, ["a", "b"], 3, 10) for seed in range(50)}
    assert len(schedules) == 50


@pytest.mark.parametrize(
    "make",
    [
        lambda: CrashSchedule.random(1, [], 1, 10),
        lambda: Crash(-1.0, ("a",), ""),
        lambda: Crash(float("nan"), ("a",), ""),
        lambda: Crash(float("inf"), ("a",), ""),
        lambda: Crash(0.0, (), ""),
        lambda: Crash(0.0, ("a",), None),  # type: ignore[arg-type]
        lambda: CrashSchedule.from_json("[]"),
        lambda: CrashSchedule.from_json("{}"),
        lambda: CrashSchedule.from_json("?"),
        lambda: CrashSchedule.from_json('{"crashes": [{"at_s": 1, "path": ["a"]}]}'),
        lambda: CrashSchedule.from_json('{"crashes": [{"at_s": true, "path": ["a"], "error": ""}]}'),
        lambda: CrashSchedule.from_json('{"crashes": 3}'),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        make()


async def test_playing_says_which_crashes_found_nobody(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    schedule = CrashSchedule.of(
        (3, "a", "third"), (1, "a", "first"), (1, "nobody", "second"), (2, "a", "late")
    )
    supervisor = Supervisor(lab.specs("a", backoff=Backoff(first_s=1.5, jitter=0)), intensity=9)
    async with running(supervisor):
        await trio.sleep(50)
        missed = await play(schedule, supervisor, make_error=OSError)
        assert [one.error for one in missed] == ["second", "late"]
        assert trio.current_time() == 53
        await wait_until(supervisor, "a", Status.RESTARTING)
        assert [report.error for report in supervisor.crash_reports] == ["OSError: first", "OSError: third"]


async def _served(*, task_status: trio.TaskStatus[str]) -> None:
    task_status.started("ready")
    await trio.sleep_forever()


async def _visitors(pool: list[DynamicSupervisor], rng: random.Random) -> None:
    """Fill the pool: each visitor stays for a while, and the pool restarts those that crash."""

    async def visit(stay_s: float) -> None:
        await trio.sleep(stay_s)

    for _ in range(12):
        await trio.sleep(rng.uniform(0, 2))
        pool[0].start_child_nowait(child(visit, rng.uniform(1, 9), restart=Restart.TRANSIENT, backoff=QUICK))


def app(rng: random.Random) -> Supervisor:
    """Every strategy, a pool, jitter, and children that are ready together."""
    jitter = rng.random
    pools: list[DynamicSupervisor] = []

    def make_pool() -> DynamicSupervisor:
        pools[:] = [DynamicSupervisor(intensity=20, period_s=60, name="pool", random=jitter)]
        return pools[0]

    def group(strategy: Strategy) -> Callable[[], Supervisor]:
        specs = [child(_served, id=id_, backoff=QUICK) for id_ in "xyz"]
        return lambda: Supervisor(specs, strategy=strategy, intensity=5, period_s=60, random=jitter)

    groups = [supervisor_child(group(strategy), id=strategy.value, backoff=QUICK) for strategy in Strategy]
    pool = supervisor_child(make_pool, id="pool")
    visitors = child(_visitors, pools, rng, restart=Restart.TRANSIENT)
    return Supervisor([*groups, pool, visitors], intensity=20, period_s=60, name="app", random=jitter)


APP_PATHS = [f"{strategy.value}/{id_}" for strategy in Strategy for id_ in "xyz"] + [
    "pool/#1",
    "pool/#3",
    "pool",
]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 25))
def test_a_replay_gives_the_same_trace(seed: int, count: int) -> None:
    schedule = CrashSchedule.random(seed, APP_PATHS, count, 20)
    first = replay(app, schedule, 40, seed=seed)
    assert replay(app, CrashSchedule.from_json(schedule.to_json()), 40, seed=seed) == first
    assert isinstance(first.entries[-1].event, SupervisorTerminated)


def test_a_replay_gives_the_same_trace_in_another_process() -> None:
    script = (
        "import hashlib\n"
        f"from {__name__} import APP_PATHS, CrashSchedule, app, replay\n"
        "trace = replay(app, CrashSchedule.random(7, APP_PATHS, 25, 20), 40, seed=7)\n"
        "print(hashlib.sha256(trace.to_json().encode()).hexdigest(), len(trace))"
    )
    root = str(Path(__file__).parents[2])
    printed = set()
    for seed in "123":
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root}
        ran = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        printed.add(ran.stdout)
    assert len(printed) == 1
    assert int(printed.pop().split()[1]) > 100


def test_another_seed_gives_another_trace() -> None:
    schedule = CrashSchedule.random(1, APP_PATHS, 25, 20)
    traces = [replay(app, schedule, 40, seed=seed) for seed in range(4)]
    assert all(one != other for index, one in enumerate(traces) for other in traces[:index])


def test_a_seed_orders_tasks_that_are_ready_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_run, "_ALLOW_DETERMINISTIC_SCHEDULING", False)  # Hypothesis, if there, has set it

    def order(seed: int) -> str:
        async def main() -> None:
            async with trio.open_nursery() as nursery:
                for name in "abcdefgh":
                    nursery.start_soon(note, name)

        async def note(name: str) -> None:
            await trio.lowlevel.checkpoint()
            seen.append(name)

        seen: list[str] = []
        with seeded_scheduling(seed):
            trio.run(main)
        return "".join(seen)

    orders = [order(seed) for seed in range(20)]
    assert [order(seed) for seed in range(20)] == orders
    assert len(set(orders)) > 10
    assert not _run._ALLOW_DETERMINISTIC_SCHEDULING


def test_an_observed_run_becomes_a_schedule_that_gives_the_same_run() -> None:
    schedule = CrashSchedule.random(3, APP_PATHS[:9], 12, 15)
    observed = replay(app, schedule, 40, seed=3)
    recorded = CrashSchedule.from_trace(observed)
    assert 3 < len(recorded.crashes) <= len(schedule.crashes)
    assert set(recorded.crashes) <= set(schedule.crashes)  # the others found no running child
    assert replay(app, recorded, 40, seed=3) == observed


def test_what_gave_up_is_a_consequence_and_not_in_the_schedule() -> None:
    def make(rng: random.Random) -> Supervisor:
        def inner() -> Supervisor:
            return Supervisor([child(_served, id="x")], intensity=1, on_give_up="crash")

        return Supervisor(
            [supervisor_child(inner, id="inner"), child(_served, id="y")], name="root", intensity=5
        )

    wanted = CrashSchedule.of((1, "inner/x", "one"), (2, "inner/x", "two"), (3, "y", "three"))
    trace = replay(make, wanted, 10)
    assert len(trace.of(SupervisorGaveUp)) == 1
    assert [entry.event.path for entry in trace.of(ChildTerminated)][:3] == [
        ("root", "inner", "x"),
        ("root", "inner", "x"),
        ("root", "inner"),
    ]
    assert CrashSchedule.from_trace(trace) == wanted


def test_a_replay_ends_when_the_root_gives_up_or_is_done() -> None:
    def hopeless(rng: random.Random) -> Supervisor:
        return Supervisor([child(_served)], intensity=0, name="app")

    trace = replay(hopeless, CrashSchedule.of((5, "_served", "boom")), 1000)
    assert [type(entry.event) for entry in trace][-3:-1] != []
    assert trace.of(SupervisorGaveUp).entries[0].at_s == 5
    assert trace.entries[-1].at_s == 5

    def brief(rng: random.Random) -> Supervisor:
        spec = child(trio.sleep, 3, restart=Restart.TRANSIENT, significant=True)
        return Supervisor([spec], auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)

    assert replay(brief, CrashSchedule(()), 1000).entries[-1].at_s == 3


def test_a_replay_raises_what_is_a_bug() -> None:
    def make(rng: random.Random) -> Supervisor:
        async def never(*, task_status: trio.TaskStatus[None]) -> None:
            raise OSError("no disk")

        return Supervisor([child(never)])

    with pytest.raises(ExceptionGroup) as caught:
        replay(make, CrashSchedule(()), 10)
    assert isinstance(caught.value.exceptions[0], StartFailed)


def test_a_replay_tells_the_observer_of_the_root_as_well(lab: Lab) -> None:
    def make(rng: random.Random) -> Supervisor:
        return Supervisor([child(_served, backoff=QUICK)], observer=lab.events.append, random=rng.random)

    trace = replay(make, CrashSchedule.of((1, "_served", "boom")), 10)
    assert [entry.event for entry in trace] == lab.events
    assert len(lab.seen(ChildRestarting)) == 1
    error: Any = lab.seen(ChildTerminated)[0].report.error
    assert error == "supervisors.testing.Injected: boom"
    assert Injected.__name__ in error
