"""What OTP has not: judgement by exception, caps, keys, one deadline for a tree, causes, and every turn as an event."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisors import (
    BRUTAL,
    INFINITY,
    AutoShutdown,
    Backoff,
    ChildIgnored,
    ChildRestarting,
    ChildSpec,
    ChildStarted,
    ChildStartFailed,
    ChildStarting,
    ChildStopping,
    ChildStuck,
    ChildTerminated,
    DynamicSupervisor,
    GaveUp,
    KeyGaveUp,
    NotFound,
    OnError,
    Restart,
    RestartCounted,
    StartFailed,
    Status,
    Strategy,
    Supervisor,
    SupervisorGaveUp,
    SupervisorStarted,
    SupervisorStopping,
    SupervisorTerminated,
    child,
    cleanup_scope,
    stop_requested,
    supervisor_child,
)
from supervisors.intensity import KeyedWindows, Window
from supervisors.testing import Recorder, crash, wait_restarted, wait_until

from .lab import Lab, Running

Place = Supervisor | DynamicSupervisor
KINDS = pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
ONE_FOR_ALL, REST_FOR_ONE = Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE


async def to_the_end(
    place: Place, script: Callable[[], Any], specs: list[ChildSpec] | None = None
) -> GaveUp | None:
    """Run, add children, do what the script says, stop; return whether the supervisor gave up meanwhile."""
    gave_up: list[GaveUp] = []
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(place.run)
            for spec in specs or []:
                await place.start_child(spec)
            await script()
            await place.stop()
    except* GaveUp as group:
        gave_up += [leaf for leaf in group.exceptions if isinstance(leaf, GaveUp)]
    return gave_up[0] if gave_up else None


# Rules by exception


def group(*errors: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("g", list(errors))


BY_ERROR = {ConnectionError: OnError.STOP, OSError: OnError.GIVE_UP, KeyError: OnError.RESTART}
RESTARTED, STOPPED, GAVE_UP = "restarted", "stopped", "gave up"


@KINDS
@pytest.mark.parametrize(
    ("restart", "error", "outcome"),
    [
        (Restart.PERMANENT, ConnectionError(), STOPPED),
        (Restart.PERMANENT, ConnectionResetError(), STOPPED),  # a kind of ConnectionError, which comes first
        (Restart.PERMANENT, OSError(), GAVE_UP),
        (Restart.PERMANENT, KeyError(), RESTARTED),
        (Restart.PERMANENT, ValueError(), RESTARTED),  # no rule: `restart` decides
        (Restart.TRANSIENT, ConnectionError(), STOPPED),
        (Restart.TRANSIENT, ValueError(), RESTARTED),
        (Restart.TEMPORARY, KeyError(), RESTARTED),
        (Restart.TEMPORARY, ValueError(), STOPPED),
        (Restart.TEMPORARY, OSError(), GAVE_UP),
        (Restart.PERMANENT, group(ConnectionError()), STOPPED),
        (Restart.PERMANENT, group(ConnectionError(), KeyError()), RESTARTED),
        (Restart.PERMANENT, group(ConnectionError(), ValueError()), RESTARTED),
        (Restart.TEMPORARY, group(ConnectionError(), ValueError()), STOPPED),
        (Restart.PERMANENT, group(KeyError(), group(ConnectionError(), group(OSError()))), GAVE_UP),
    ],
    ids=repr,
)
async def test_an_exception_decides_what_becomes_of_a_child(
    autojump_clock: MockClock,
    lab: Lab,
    kind: Callable[..., Place],
    restart: Restart,
    error: Exception,
    outcome: str,
) -> None:
    place = kind(observer=lab.events.append, name="app")

    async def script() -> None:
        await lab.end("a", error)
        if "b" in lab.live:
            assert ("a" in lab.live) is (outcome == RESTARTED)
            is_kept = kind is Supervisor and restart is not Restart.TEMPORARY
            assert place.count_children().specs == 1 + (outcome == RESTARTED or is_kept)

    specs = [lab.spec("a", restart=restart, on_error=BY_ERROR), lab.spec("b")]
    gave_up = await to_the_end(place, script, specs)
    assert (gave_up is not None) is (outcome == GAVE_UP)
    if gave_up is not None:
        assert "app gave up over this error of a (" in str(gave_up)
        assert gave_up.__cause__ is error
    assert len(lab.seen(RestartCounted)) == (outcome == RESTARTED)  # only restarts count
    [ended] = [event for event in lab.seen(ChildTerminated) if event.because is None]
    assert ended.will_restart is (outcome == RESTARTED)


@KINDS
@pytest.mark.parametrize(
    ("rule", "restart", "outcome"),
    [
        (OnError.RESTART, Restart.PERMANENT, RESTARTED),
        (OnError.RESTART, Restart.TEMPORARY, RESTARTED),
        (OnError.STOP, Restart.PERMANENT, STOPPED),
        (OnError.STOP, Restart.TEMPORARY, STOPPED),
        (OnError.GIVE_UP, Restart.PERMANENT, GAVE_UP),
        (OnError.GIVE_UP, Restart.TEMPORARY, GAVE_UP),
    ],
)
async def test_a_restart_that_fails_is_judged_alike(
    autojump_clock: MockClock,
    lab: Lab,
    kind: Callable[..., Place],
    rule: OnError,
    restart: Restart,
    outcome: str,
) -> None:
    async def script() -> None:
        lab.failing["a"] = 1
        await lab.crash("a")
        await trio.sleep(100)
        assert ("a" in lab.live) is (outcome == RESTARTED)
        is_kept = kind is Supervisor and restart is Restart.PERMANENT
        assert place.count_children().specs == (outcome == RESTARTED or is_kept)

    place = kind(intensity=5)
    rules = {ValueError: OnError.RESTART, OSError: rule}
    gave_up = await to_the_end(place, script, [lab.spec("a", restart=restart, on_error=rules)])
    assert (gave_up is not None) is (outcome == GAVE_UP)
    if gave_up is not None:
        assert "OSError: a cannot start" in str(gave_up)
    assert lab.take_log() == "+a -a !a" + (" +a -a" if outcome == RESTARTED else "")


async def test_a_group_restart_goes_on_without_who_failed_with_an_error_that_stops(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    specs = [lab.spec("a"), lab.spec("b", on_error={OSError: OnError.STOP}), lab.spec("c")]
    supervisor = Supervisor(specs, strategy=ONE_FOR_ALL)
    async with running(supervisor):
        lab.take_log()
        lab.failing["b"] = 1
        await lab.crash("a")
        assert lab.take_log() == "-a -c -b +a !b +c"
        assert (await supervisor.restart_child("b")).is_running


async def test_a_significant_child_that_a_judgement_keeps_from_restarting_ends_its_supervisor(
    autojump_clock: MockClock, lab: Lab
) -> None:
    rules = {OSError: OnError.STOP}
    spec = lab.spec("a", restart=Restart.TRANSIENT, significant=True, on_error=rules)
    supervisor = Supervisor([spec, lab.spec("b")], auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        lab.failing["a"] = 1
        await lab.crash("a")
    assert lab.take_log() == "+a +b -a !a -b"


async def test_a_first_start_is_not_judged(autojump_clock: MockClock, lab: Lab) -> None:
    lab.failing["a"] = 1
    with pytest.raises(StartFailed):
        await Supervisor(lab.specs("a", on_error={OSError: OnError.STOP})).run()


# A cap on failures in a row


async def _brief(runs: list[float], run_s: float, *, task_status: trio.TaskStatus[None]) -> None:
    runs.append(trio.current_time())
    task_status.started()
    await trio.sleep(run_s)
    raise ValueError("again")


async def slow_to_stop(seconds: float) -> None:
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(seconds)


@pytest.mark.parametrize(("max_failures", "most_runs"), [(None, None), (0, 1), (1, 2), (7, 8)])
async def test_rule_25_the_cap_ends_what_the_intensity_never_does(
    autojump_clock: MockClock, max_failures: int | None, most_runs: int | None
) -> None:
    runs: list[float] = []
    specs = [child(_brief, runs, 0.0), child(slow_to_stop, 3.0)]
    supervisor = Supervisor(
        specs, strategy=ONE_FOR_ALL, intensity=1, period_s=2.0, max_failures=max_failures, name="app"
    )
    gave_up = await to_the_end(supervisor, partial(trio.sleep, 300))
    if most_runs is None:
        assert gave_up is None
        assert len(runs) >= 100  # for ever: each restart takes 3 s, and the window is one of 2 s
    else:
        assert f"app gave up since _brief failed {most_runs} times in a row (ValueError: again)" in str(
            gave_up
        )
        assert len(runs) == most_runs


@KINDS
@pytest.mark.parametrize(("run_s", "gives_up"), [(1.9, True), (2.0, False)])
async def test_rule_25_a_run_of_a_period_starts_a_new_row(
    autojump_clock: MockClock, kind: Callable[..., Place], run_s: float, gives_up: bool
) -> None:
    runs: list[float] = []
    place = kind(intensity=2, period_s=2.0, max_failures=3)
    gave_up = await to_the_end(place, partial(trio.sleep, 100), [child(_brief, runs, run_s)])
    assert (gave_up is not None, len(runs) == 4) == (gives_up, gives_up)


async def test_rule_25_with_a_backoff_its_longest_wait_is_the_measure(autojump_clock: MockClock) -> None:
    for run_s, gives_up in {3.0: True, 4.0: False}.items():
        runs: list[float] = []
        backoff = Backoff(first_s=1, most_s=4, jitter=0)
        supervisor = Supervisor([child(_brief, runs, run_s, backoff=backoff)], intensity=9, max_failures=3)
        assert (await to_the_end(supervisor, partial(trio.sleep, 100)) is not None) is gives_up


@KINDS
async def test_rule_25_failed_starts_are_failures(
    autojump_clock: MockClock, lab: Lab, kind: Callable[..., Place]
) -> None:
    async def script() -> None:
        lab.failing["a"] = 10**9
        await lab.crash("a")
        await trio.sleep(1000)

    place = kind(intensity=10**6, max_failures=4)
    backoff = Backoff(first_s=1, most_s=100)
    gave_up = await to_the_end(place, script, [lab.spec("a", backoff=backoff)])
    assert "a failed 5 times in a row (OSError: a cannot start)" in str(gave_up)
    assert lab.take_log() == "+a -a !a !a !a !a"


async def test_rule_25_failures_of_others_are_no_row(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    supervisor = Supervisor(lab.specs("abc"), intensity=100, max_failures=1)
    async with running(supervisor):
        for name in "abc":
            await lab.crash(name)
        assert sorted(lab.live) == ["a", "b", "c"]


# Keys of a pool


async def test_a_key_that_gives_up_takes_its_own_children_and_nobody_elses(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    pool = DynamicSupervisor(intensity=1, intensity_per_key=1, observer=lab.events.append)
    async with running(pool):
        await pool.start_child(lab.spec("a"), key="bad")
        await pool.start_child(lab.spec("b"), key="bad")
        await pool.start_child(lab.spec("w", backoff=Backoff(first_s=100, most_s=100)), key="bad")
        for name in "cd":
            await pool.start_child(lab.spec(name), key="good")
        await pool.start_child(lab.spec("e"))
        await lab.crash("c")
        await lab.crash("e")  # one restart for each is allowed: of a key, or of a child without one
        assert lab.seen(KeyGaveUp) == lab.seen(RestartCounted) == []
        await lab.crash("w")
        await lab.crash("b")
        await trio.sleep(1000)
        assert sorted(lab.live) == ["c", "d", "e"]
        assert pool.count_children().specs == 3
        [event] = lab.seen(KeyGaveUp)
        assert (event.path, event.key) == (("pool",), "bad")
        assert str(event.because) == "pool/b crashed with ValueError: b"
        causes = {end.path[-1]: str(end.because) for end in lab.seen(ChildTerminated) if end.because}
        why = "stopped with all of key 'bad' because it gave up because pool/b crashed with ValueError: b"
        assert causes == {"a": why}  # w was waiting for its restart, and b was the one that crashed
        assert [event.headroom for event in lab.seen(RestartCounted)] == [0]
        await pool.start_child(lab.spec("b"), key="bad")  # the key begins anew
        await lab.crash("b")
        assert "b" in lab.live


async def test_a_key_gives_up_over_a_child_that_fails_too_often_in_a_row(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    pool = DynamicSupervisor(intensity_per_key=100, max_failures=3, observer=lab.events.append)
    async with running(pool):
        await pool.start_child(lab.spec("a"))
        await pool.start_child(lab.spec("b"))
        for _ in range(4):
            await lab.crash("a")
        assert [event.key for event in lab.seen(KeyGaveUp)] == ["a"]
        assert [info.id for info in pool.which_children()] == ["b"]


async def test_a_pool_gives_up_after_its_intensity_of_keys(autojump_clock: MockClock, lab: Lab) -> None:
    async def script() -> None:
        for name in "abc":
            await lab.crash(name)

    pool = DynamicSupervisor(intensity=2, intensity_per_key=0, observer=lab.events.append)
    gave_up = await to_the_end(pool, script, lab.specs("abcd"))
    assert "pool gave up after 2 restarts in 5 s: c ended again (ValueError: c)" in str(gave_up)
    assert [event.key for event in lab.seen(KeyGaveUp)] == ["a", "b"]
    assert lab.take_log() == "+a +b +c +d -a -b -c -d"


async def test_failed_restarts_count_under_their_key(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    pool = DynamicSupervisor(intensity=1, intensity_per_key=3, observer=lab.events.append)
    async with running(pool):
        await pool.start_child(lab.spec("a"), key="k")
        await pool.start_child(lab.spec("b"), key="k")
        lab.failing["a"] = 9
        await lab.crash("a")
        await wait_all_tasks_blocked()
        assert lab.take_log() == "+a +b -a !a !a !a -b"
        [event] = lab.seen(KeyGaveUp)
        assert str(event.because) == "pool/a did not start: OSError: a cannot start"


@given(st.integers(0, 3), st.lists(st.tuples(st.integers(0, 9), st.floats(0, 2)), max_size=80))
def test_keys_are_windows_of_their_own_and_forgotten_after_a_period(
    intensity: int, restarts: list[tuple[int, float]]
) -> None:
    period_s, now = 5.0, 0.0
    keyed, model = KeyedWindows(intensity, period_s), dict[int, Window]()
    for key, pause_s in restarts:
        now += pause_s
        window = model.pop(key, Window(intensity, period_s)).counted(now)
        if not window.is_exceeded:
            model[key] = window
        assert keyed.count(key, now) is window.is_exceeded
        recent = {key for key, kept in model.items() if now - kept.restarts[-1] <= period_s}
        assert set(keyed._windows) == recent


@given(st.integers(0, 4), st.lists(st.floats(0, 4), max_size=20), st.floats(0, 9))
def test_headroom_is_how_many_restarts_are_still_allowed(
    intensity: int, pauses: list[float], later_s: float
) -> None:
    window, now = Window(intensity, 5.0), 0.0
    for pause in pauses:
        now += pause
        window = window.counted(now)
    now += later_s
    left = window.headroom(now)
    for _ in range(left):
        window = window.counted(now)
        assert not window.is_exceeded
    assert window.counted(now).is_exceeded


# One deadline for a tree


def deep(lab: Lab, *leaves: ChildSpec) -> ChildSpec:
    """A supervisor in a supervisor, whose leaves may take as long as they like."""
    return supervisor_child(
        lambda: Supervisor([supervisor_child(lambda: Supervisor([*leaves, *lab.specs("a")]), id="low")]),
        id="mid",
    )


async def asked_in_vain() -> None:
    await stop_requested()
    await trio.sleep(1000)


@pytest.mark.parametrize("shutdown", [0.0, 10.0])
async def test_a_tree_of_any_depth_has_one_deadline(
    autojump_clock: MockClock, lab: Lab, shutdown: float
) -> None:
    leaves = [child(asked_in_vain, id=id_, shutdown=INFINITY) for id_ in "xyz"]
    root = Supervisor(
        [deep(lab, *leaves), *leaves], shutdown=shutdown, name="root", observer=lab.events.append
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        await wait_all_tasks_blocked()
        await root.stop()
    assert trio.current_time() == shutdown
    assert lab.take_log() == "+a -a"
    # Also who was cut off before its turn came knows why.
    assert len(lab.seen(ChildTerminated)) == len(causes(lab)) == 9
    ends = ("stop() was called", "cut off at the end of its supervisor's patience")
    assert all(why.endswith(ends) for why in causes(lab).values())


async def test_a_tree_that_is_in_time_does_not_wait_for_its_deadline(
    autojump_clock: MockClock, lab: Lab
) -> None:
    lab.goodbye_s["a"] = 3
    root = Supervisor([deep(lab)], shutdown=100)
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        await root.stop()
    assert trio.current_time() == 3


@pytest.mark.parametrize("is_pool", [False, True])
@pytest.mark.parametrize("patience_s", [INFINITY, 60.0, 4.0])
async def test_who_outlives_the_deadline_of_the_tree_is_stuck(
    autojump_clock: MockClock, patience_s: float, is_pool: bool
) -> None:
    recorder = Recorder()
    shielded = child(slow_to_stop, 30.0, id="shielded", shutdown=patience_s)
    pool = DynamicSupervisor()
    low = supervisor_child(lambda: pool if is_pool else Supervisor([shielded]), id="low")
    mid = supervisor_child(lambda: Supervisor([low]), id="mid")
    root = Supervisor([mid], shutdown=10, name="root", observer=recorder)
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        if is_pool:
            await pool.start_child(shielded)
        await wait_all_tasks_blocked()
        nursery.start_soon(root.stop)
        await trio.sleep(20)
        assert "shielded (stopping, stuck)" in root.snapshot().to_text()
    assert trio.current_time() == 30
    [entry] = recorder.trace().at("root/mid/low/shielded").of(ChildStuck)
    assert entry.at_s == min(patience_s, 10) + 1
    assert isinstance(entry.event, ChildStuck)
    assert entry.event.frame.endswith(" in slow_to_stop")


async def test_a_pool_has_a_deadline_too(autojump_clock: MockClock) -> None:
    pool = DynamicSupervisor(shutdown=7)
    async with trio.open_nursery() as nursery:
        await nursery.start(pool.run)
        for _ in range(3):
            await pool.start_child(child(asked_in_vain, shutdown=INFINITY))
        await wait_all_tasks_blocked()
        await pool.stop()
    assert trio.current_time() == 7


# Clean-up with a deadline


async def cleans(log: list[str], clean_s: float) -> None:
    """In two tasks, each with something to put away."""

    async def part(name: str) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with cleanup_scope() as scope:
                await trio.sleep(clean_s)
                log.append(f"{name} put away")
            if scope.cancelled_caught:
                log.append(f"{name} cut off at {trio.current_time():g}")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(part, "inner")
        await part("outer")


@KINDS
@pytest.mark.parametrize(("clean_s", "is_in_time"), [(3.0, True), (100.0, False)])
async def test_clean_up_may_be_awaited_until_the_shutdown_time_is_over(
    autojump_clock: MockClock, running: Running, kind: Callable[..., Place], clean_s: float, is_in_time: bool
) -> None:
    log: list[str] = []
    place = kind()
    async with running(place):
        await place.start_child(child(cleans, log, clean_s, shutdown=5.0))
        await wait_all_tasks_blocked()
    assert sorted(log) == [
        f"{name} {'put away' if is_in_time else 'cut off at 5'}" for name in ("inner", "outer")
    ]
    assert trio.current_time() == (3 if is_in_time else 5)


async def test_clean_up_ends_with_the_deadline_of_the_tree(autojump_clock: MockClock, lab: Lab) -> None:
    log: list[str] = []
    root = Supervisor([deep(lab, child(cleans, log, 100.0, shutdown=60.0))], shutdown=4)
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        await wait_all_tasks_blocked()
        await root.stop()
    assert sorted(log) == ["inner cut off at 4", "outer cut off at 4"]
    assert trio.current_time() == 4


async def test_a_brutal_stop_leaves_no_time_to_clean_up(autojump_clock: MockClock, running: Running) -> None:
    log: list[str] = []
    async with running(Supervisor([child(cleans, log, 1.0, shutdown=BRUTAL)])):
        await wait_all_tasks_blocked()
    assert sorted(log) == ["inner cut off at 0", "outer cut off at 0"]


async def test_clean_up_of_a_late_start_has_the_shutdown_time(
    autojump_clock: MockClock, running: Running
) -> None:
    log: list[str] = []

    async def late(*, task_status: trio.TaskStatus[None]) -> None:
        await cleans(log, 100.0)

    supervisor = Supervisor()
    async with running(supervisor):
        with pytest.raises(StartFailed, match="StartTimedOut"):
            await supervisor.start_child(child(late, start_timeout_s=3, shutdown=2))
    assert sorted(log) == ["inner cut off at 5", "outer cut off at 5"]


async def test_outside_a_supervisor_clean_up_has_its_own_deadline(autojump_clock: MockClock) -> None:
    with trio.CancelScope() as outer:
        outer.cancel()
        with cleanup_scope() as scope:
            scope.deadline = trio.current_time() + 9
            await trio.sleep(2)
            assert trio.current_time() == 2
            await trio.sleep_forever()
    assert (trio.current_time(), scope.cancelled_caught) == (9, True)


# Causes


def causes(lab: Lab) -> dict[str, str]:
    """Why each child was stopped, by its path."""
    return {
        "/".join(end.path): str(end.because) for end in lab.seen(ChildTerminated) if end.because is not None
    }


async def test_a_sibling_knows_of_whose_crash_it_was_stopped(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    app = Supervisor(lab.specs("abc"), strategy=REST_FOR_ONE, name="app", observer=lab.events.append)
    async with running(app):
        crash(app, "b", OSError("disk full"))
        await wait_restarted(app, "c")
        assert causes(lab) == {
            "app/c": "stopped by rest_for_one because app/b crashed with OSError: disk full"
        }


async def test_who_ended_normally_can_be_a_cause_and_so_can_a_failed_restart(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    app = Supervisor(
        lab.specs("ab"), strategy=ONE_FOR_ALL, name="app", intensity=9, observer=lab.events.append
    )
    async with running(app):
        await lab.end("a")
        assert causes(lab) == {"app/b": "stopped by one_for_all because app/a ended (normal)"}
        lab.events.clear()
        lab.failing["b"] = 1
        await lab.crash("a")
        assert [str(event.because) for event in lab.seen(ChildTerminated) if event.because] == [
            "stopped by one_for_all because app/a crashed with ValueError: a",
            "stopped by one_for_all because app/b did not start: OSError: b cannot start",
        ]


async def test_a_child_of_a_stopped_supervisor_knows_why_that_was_stopped(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    inner = supervisor_child(lambda: Supervisor(lab.specs("b")), id="inner")
    app = Supervisor([lab.spec("a"), inner], strategy=REST_FOR_ONE, name="app", observer=lab.events.append)
    async with running(app):
        await lab.crash("a")
        why = "stopped by rest_for_one because app/a crashed with ValueError: a"
        assert causes(lab) == {
            "app/inner": why,
            "app/inner/b": f"stopped with app/inner because it was {why}",
        }


async def test_giving_up_is_told_over_two_levels(autojump_clock: MockClock, lab: Lab) -> None:
    inner = supervisor_child(lambda: Supervisor(lab.specs("bc"), intensity=0), id="inner")
    app = Supervisor([lab.spec("a"), inner], intensity=0, name="app", observer=lab.events.append)
    gave_up = await to_the_end(app, lambda: lab.crash("b"))
    assert gave_up is not None
    crashed = "app/inner/b crashed with ValueError: b"
    assert causes(lab) == {
        "app/inner/c": f"stopped with app/inner because it gave up because {crashed}",
        "app/a": f"stopped with app because it gave up because app/inner gave up because {crashed}",
    }
    assert str(gave_up.because) == f"app/inner gave up because {crashed}"
    assert [str(event.because) for event in lab.seen(SupervisorGaveUp)] == [crashed, str(gave_up.because)]


@pytest.mark.parametrize("how", ["stop", "cancel", "auto_shutdown", "terminate", "bug", "start"])
async def test_a_stop_from_above_says_what_it_was(autojump_clock: MockClock, lab: Lab, how: str) -> None:
    def observe(event: Any) -> None:
        lab.events.append(event)
        if how == "bug" and isinstance(event, ChildTerminated) and event.path[-1] == "s":
            raise LookupError("a bug")

    significant = lab.spec("s", restart=Restart.TRANSIENT, significant=True)
    app = Supervisor(
        [lab.spec("a"), significant], auto_shutdown=AutoShutdown.ANY_SIGNIFICANT, name="app", observer=observe
    )
    if how == "start":
        lab.failing["s"] = 1
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(app.run)
            match how:
                case "stop":
                    await app.stop()
                case "cancel":
                    nursery.cancel_scope.cancel()
                case "auto_shutdown" | "bug":
                    await lab.end("s")
                case "terminate":
                    await app.terminate_child("a")
                    assert causes(lab) == {"app/a": "terminated on request"}
                    await app.stop()
    except* (LookupError, StartFailed):
        pass
    why = {
        "stop": "stop() was called",
        "cancel": "it was cancelled",
        "auto_shutdown": "its significant child s ended (normal)",
        "terminate": "stop() was called",
        "start": "it failed with supervisors.errors.StartFailed: Child app/s did not start: OSError: s cannot start",
    }
    if how == "bug":  # who is told no more has not been told why
        assert causes(lab) == {}
        return
    [stopping] = lab.seen(SupervisorStopping)
    assert str(stopping.because) == why[how]
    ended = "app/s" if how == "terminate" else "app/a"
    assert causes(lab)[ended] == f"stopped with app because {why[how]}"


async def test_a_child_that_crashes_while_it_is_stopped_has_both_a_report_and_a_cause(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    lab.last_words["a"] = OSError("last words")
    async with running(Supervisor(lab.specs("a"), name="app", observer=lab.events.append)):
        pass
    [end] = lab.seen(ChildTerminated)
    assert (end.report.error, str(end.because)) == (
        "OSError: last words",
        "stopped with app because stop() was called",
    )


# Events and snapshots


async def test_every_turn_of_a_small_life_is_an_event_in_order(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    lab.ignoring.add("i")
    specs = [
        lab.spec("a", backoff=Backoff(first_s=1, jitter=0)),
        lab.spec("i"),
        child(trio.sleep_forever, id="w"),
    ]
    app = Supervisor(specs, name="app", intensity=3, observer=lab.events.append)
    async with running(app):
        booted = len(lab.events)
        lab.failing["a"] = 1
        crash(app, "a", OSError("disk full"))
        await wait_restarted(app, "a")
        restarted = len(lab.events)
    a, i, w = ("app", "a"), ("app", "i"), ("app", "w")
    assert lab.events[:booted] == [
        ChildStarting(a),
        ChildStarted(a, 0),
        ChildStarting(i),
        ChildIgnored(i),
        ChildStarted(w, 0),  # one that does not acknowledge runs when it is launched
        SupervisorStarted(("app",), 3, 5.0),
    ]
    kinds = [(type(event), event.path) for event in lab.events[booted:restarted]]
    assert kinds == [
        (RestartCounted, ("app",)),
        (ChildTerminated, a),
        (ChildRestarting, a),
        (ChildStarting, a),
        (ChildStartFailed, a),
        (ChildRestarting, a),
        (RestartCounted, ("app",)),
        (ChildRestarting, a),
        (ChildStarting, a),
        (ChildStarted, a),
    ]
    assert lab.seen(RestartCounted) == [RestartCounted(("app",), "a", 2), RestartCounted(("app",), "a", 1)]
    assert [type(event) for event in lab.events[restarted:]] == [
        SupervisorStopping,
        *[ChildStopping, ChildTerminated] * 2,
        SupervisorTerminated,
    ]


async def test_a_nested_supervisor_tells_its_own_life_inside_that_of_a_child(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    inner = supervisor_child(lambda: Supervisor(lab.specs("a")), id="inner")
    async with running(Supervisor([inner], name="app", observer=lab.events.append)):
        pass
    told = [(type(event), event.path) for event in lab.events]
    path, leaf = ("app", "inner"), ("app", "inner", "a")
    assert told == [
        (ChildStarting, path),
        (ChildStarting, leaf),
        (ChildStarted, leaf),
        (SupervisorStarted, path),
        (ChildStarted, path),
        (SupervisorStarted, ("app",)),
        (SupervisorStopping, ("app",)),
        (ChildStopping, path),
        (SupervisorStopping, path),
        (ChildStopping, leaf),
        (ChildTerminated, leaf),
        (SupervisorTerminated, path),
        (ChildTerminated, path),
        (SupervisorTerminated, ("app",)),
    ]


async def test_a_snapshot_says_how_a_tree_fares(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    pool = supervisor_child(lambda: DynamicSupervisor(intensity=4), id="pool")
    app = Supervisor([*lab.specs("ab"), pool], intensity=3, period_s=60, name="app")
    assert app.snapshot().status is Status.STOPPED
    async with running(app):
        await trio.sleep(5)
        crash(app, "a", OSError("disk full"))
        await wait_restarted(app, "a")
        await app.terminate_child("b")
        await trio.sleep(2.5)
        root = app.snapshot()
        a, b, inner = root.children
        assert (root.headroom, a.headroom, inner.headroom) == (2, None, 4)
        assert (a.running_s, b.running_s, inner.running_s) == (2.5, None, 7.5)
        assert (a.last_crash, b.last_crash) == ("OSError: disk full", "")
        assert (a.restarts, b.status, a.is_stuck) == (1, Status.STOPPED, False)
        few = root.to_dict(most_children=1)
        assert (few["hidden"], [node["name"] for node in few["children"]]) == (2, ["a"])
        assert (few["headroom"], few["children"][0]["running_s"]) == (2, 2.5)
        assert root.to_dict(most_children=0)["hidden"] == 3
        assert root.to_dict()["hidden"] == 0
        await trio.sleep(60)
        assert app.snapshot().headroom == 3


async def test_a_start_that_hangs_is_stuck_in_the_snapshot_until_it_ends(
    autojump_clock: MockClock, running: Running
) -> None:
    async def hangs(*, task_status: trio.TaskStatus[None]) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(20)
        await trio.sleep_forever()

    pool = DynamicSupervisor()
    async with running(pool) as nursery:

        async def start() -> None:
            with pytest.raises(StartFailed, match=r"did not acknowledge its start within 3 s"):
                await pool.start_child(child(hangs, id="a", start_timeout_s=3, shutdown=2))

        nursery.start_soon(start)
        stuck: dict[float, bool] = {}
        for _ in range(9):
            await trio.sleep(1)
            stuck[trio.current_time()] = pool.snapshot().children[0].is_stuck
        assert next(at_s for at_s, is_stuck in stuck.items() if is_stuck) in (6, 7)
        await trio.sleep(20)
        with pytest.raises(NotFound):
            pool.get_childspec("a")


async def test_a_start_that_is_watched_in_vain_leaves_no_watch_behind(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    """The watch of an early run must not cut off a later one."""
    recorder = Recorder()
    supervisor = Supervisor(lab.specs("a", start_timeout_s=10), intensity=9, observer=recorder)
    async with running(supervisor):
        for _ in range(3):
            await trio.sleep(4)
            await lab.crash("a")
        await wait_until(supervisor, "a", Status.RUNNING)
        await trio.sleep(100)
        assert "a" in lab.live
        assert supervisor._nursery is not None
        assert len(supervisor._nursery.child_tasks) == 1  # the child itself
    assert len(recorder.trace().of(ChildStarted)) == 4
