"""Bad use: what cannot work is refused in a sentence when it is made, and what goes wrong later never hangs."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisors import (
    AlreadyRan,
    AutoShutdown,
    Backoff,
    BadSpec,
    ChildIgnored,
    ChildSpec,
    ChildStarted,
    ChildStuck,
    ChildTerminated,
    DynamicSupervisor,
    Event,
    GaveUp,
    NotRunning,
    OnError,
    Reason,
    Restart,
    StartFailed,
    StartTimedOut,
    Status,
    Strategy,
    Supervisor,
    SupervisorTerminated,
    child,
    supervisor_child,
)

from .lab import Lab, Running

Place = Supervisor | DynamicSupervisor


async def work() -> None:
    await trio.sleep_forever()


async def ready(*, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()
    await trio.sleep_forever()


NO_SECONDS: list[Any] = [-1, -0.1, nan, True, "5", None]
NO_COUNT: list[Any] = [-1, True, 1.0, nan, "1"]


def specs_with(option: str, values: list[Any]) -> list[dict[str, Any]]:
    return [{option: value} for value in values]


@pytest.mark.parametrize(
    ("sentence", "options"),
    [
        ("A child's shutdown time is 0 s or more, not", specs_with("shutdown", NO_SECONDS)),
        ("A child's id is a string that is not empty, not", specs_with("id", ["", 3, b"a", ("a",)])),
        ("A child's restart is one of Restart's members, not", specs_with("restart", ["permanent", None, 1])),
        ("A child's backoff is a Backoff or None, not", specs_with("backoff", [1.0, Backoff, {}])),
        ("significant is True or False, not", specs_with("significant", ["yes", None])),
        ("A permanent child cannot be significant: it never ends", specs_with("significant", [True])),
        ("A child with a start time-out needs a function", specs_with("start_timeout_s", [1, 2.5, inf])),
        (
            "A child's start time-out is above 0 s, not",
            specs_with("start_timeout_s", [0, *NO_SECONDS[:-1]]),
        ),
        (
            "on_error maps kinds of Exception to OnError's members, not",
            specs_with(
                "on_error",
                [
                    {ValueError: "stop"},
                    {"ValueError": OnError.STOP},
                    {KeyboardInterrupt: OnError.RESTART},
                    {ValueError(): OnError.STOP},
                    {(ValueError, OSError): OnError.STOP},
                    [(ValueError, OnError.STOP)],
                    ValueError,
                ],
            ),
        ),
    ],
)
def test_a_childs_settings_are_refused_when_it_is_described(
    sentence: str, options: list[dict[str, Any]]
) -> None:
    for option in options:
        with pytest.raises(BadSpec, match=f"^{sentence}"):
            child(work, **option)


def test_a_number_is_not_taken_for_a_bool_because_its_like_was_seen_before() -> None:
    child(work, shutdown=1)
    with pytest.raises(BadSpec, match="A child's shutdown time is 0 s or more, not True"):
        child(work, shutdown=True)
    child(work, significant=False)
    with pytest.raises(BadSpec, match="significant is True or False, not 0"):
        child(work, significant=0)  # type: ignore[call-overload]


async def test_a_call_is_no_function() -> None:
    with pytest.raises(
        BadSpec, match=r"^child\(\) wants the function and its arguments, as in child\(work, 1\)"
    ):
        child(work())  # type: ignore[call-overload]


@pytest.mark.parametrize("fn", [None, 3, "work", child(work)])
def test_what_cannot_be_called_is_no_child(fn: Any) -> None:
    with pytest.raises(BadSpec, match=r"^A child needs an async function, not"):
        child(fn)


@pytest.mark.parametrize("factory", [Supervisor(), DynamicSupervisor(), None, child(work)])
def test_a_supervisor_as_a_child_is_a_factory(factory: Any) -> None:
    with pytest.raises(BadSpec, match=r"^A supervisor as a child needs a function that makes one, not"):
        supervisor_child(factory, id="s")


def test_two_children_cannot_have_one_id() -> None:
    with pytest.raises(BadSpec, match=r"^Supervisor 'app' has two children with the id 'work'\.$"):
        Supervisor([child(work), child(work)], name="app")


def test_a_significant_child_needs_a_supervisor_that_cares() -> None:
    spec = child(work, significant=True, restart=Restart.TRANSIENT)
    with pytest.raises(BadSpec, match=r"^Child 'work' is significant, but its supervisor never shuts down"):
        Supervisor([spec])
    assert Supervisor([spec], auto_shutdown=AutoShutdown.ALL_SIGNIFICANT)


@pytest.mark.parametrize(
    "children",
    [[work], [None], [supervisor_child], [Supervisor()], child(work)],
    ids=lambda value: repr(value)[:20],
)
def test_children_are_specs(children: Any) -> None:
    with pytest.raises(BadSpec, match=r"^A supervisor's children are what child\(\) returns, not"):
        Supervisor(children)


FLAGS: list[tuple[str, str, list[Any]]] = [
    ("The intensity is 0 or more restarts, not", "intensity", [*NO_COUNT, None]),
    ("The period of the intensity is above 0 s, not", "period_s", [0, *NO_SECONDS]),
    ("The name of a supervisor is a string that is not empty, not", "name", ["", None, 3]),
    ("An observer is a function of an event, not", "observer", [3, "print", []]),
    ('on_give_up is "shutdown" or "crash", not', "on_give_up", ["restart", None, "", Reason.CRASHED]),
    ("max_failures is 0 or more, or None, not", "max_failures", NO_COUNT),
    ("The shutdown time of a supervisor is 0 s or more, not", "shutdown", NO_SECONDS),
    ("random is a function without arguments, not", "random", [0.5, None]),
]
KIND_FLAGS: list[tuple[Callable[..., Place], str, str, list[Any]]] = [
    *((kind, *flag) for kind in (Supervisor, DynamicSupervisor) for flag in FLAGS),
    (
        Supervisor,
        "A strategy is one of Strategy's members, not",
        "strategy",
        ["one_for_all", None, Strategy, Restart.PERMANENT],
    ),
    (
        Supervisor,
        "auto_shutdown is one of AutoShutdown's members, not",
        "auto_shutdown",
        ["never", None, True],
    ),
    (DynamicSupervisor, "max_children is 1 or more, or None, not", "max_children", [0, *NO_COUNT]),
    (DynamicSupervisor, "The intensity is 0 or more restarts, not", "intensity_per_key", NO_COUNT),
]


@pytest.mark.parametrize(
    ("kind", "sentence", "flag", "values"),
    KIND_FLAGS,
    ids=[f"{kind.__name__}-{flag}" for kind, _, flag, _ in KIND_FLAGS],  # type: ignore[attr-defined]
)
def test_a_supervisors_settings_are_refused_when_it_is_made(
    kind: Callable[..., Place], sentence: str, flag: str, values: list[Any]
) -> None:
    for value in values:
        with pytest.raises(BadSpec, match=f"^{sentence}"):
            kind(**{flag: value})


@pytest.mark.parametrize(
    "settings",
    [
        *({"first_s": value} for value in (0, -1, nan, True, "1", 9)),
        *({"most_s": value} for value in (0, inf, nan, True, None)),
        *({"factor": value} for value in (0.9, nan, True)),
        *({"jitter": value} for value in (-0.1, 1.1, nan, False)),
    ],
)
def test_a_backoffs_settings_are_refused_when_it_is_made(settings: dict[str, Any]) -> None:
    with pytest.raises(
        BadSpec, match=r"^Backoff needs 0 < first_s <= most_s, factor >= 1 and jitter from 0 to 1"
    ):
        Backoff(**settings)


async def test_a_running_supervisor_refuses_as_well_and_lives(
    autojump_clock: MockClock, running: Running
) -> None:
    supervisor, pool = Supervisor([child(ready)]), DynamicSupervisor(intensity_per_key=1)
    wrong: Any = work
    unhashable: Any = ["a", "list"]
    async with running(supervisor), running(pool):
        with pytest.raises(BadSpec, match="what child"):
            await supervisor.start_child(wrong)
        with pytest.raises(BadSpec, match="A pool's child is what child"):
            await pool.start_child(wrong)
        with pytest.raises(BadSpec, match="A pool's child is what child"):
            pool.start_child_nowait(wrong)
        with pytest.raises(TypeError, match="unhashable"):
            pool.start_child_nowait(child(work), key=unhashable)
        with pytest.raises(BadSpec, match="use `start_child`"):
            pool.start_child_nowait(child(ready))
        assert (supervisor.count_children().active, pool.count_children().specs) == (1, 0)


# What only shows when it runs


def flat(_: object = None) -> None:
    """No async function, which cannot be seen before it is called."""


async def no_supervisor(*, task_status: trio.TaskStatus[None]) -> None:
    await Supervisor([child(work), "b"]).run()  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (lambda: child(flat), "TypeError: object NoneType can't be used in 'await' expression"),  # type: ignore[call-overload]
        (lambda: child(work, 1), r"TypeError: work\(\) takes 0 positional arguments but 1 was given"),  # type: ignore[call-overload]
    ],
)
async def test_a_function_that_cannot_run_is_a_crash_that_says_why(
    autojump_clock: MockClock, spec: Callable[[], ChildSpec], words: str
) -> None:
    with pytest.raises(GaveUp, match=words):
        await Supervisor([spec()]).run()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (lambda: supervisor_child(flat, id="s"), "'NoneType' object has no attribute 'run'"),  # type: ignore[arg-type]
        (lambda: child(no_supervisor), "A supervisor's children are what child"),
        (lambda: supervisor_child(lambda: Supervisor(intensity=-1), id="s"), "The intensity is 0 or more"),
    ],
)
async def test_a_supervisor_that_cannot_be_made_is_a_start_that_failed(
    autojump_clock: MockClock, spec: Callable[[], ChildSpec], words: str
) -> None:
    with pytest.raises(StartFailed, match=words):
        await Supervisor([spec()]).run()


async def test_an_instance_cannot_be_in_two_places(autojump_clock: MockClock, lab: Lab) -> None:
    shared = Supervisor(lab.specs("a"), name="shared")
    specs = [supervisor_child(lambda: shared, id=id_) for id_ in "xy"]
    with pytest.raises(
        StartFailed, match="root/y did not start: AlreadyRan: Supervisor 'shared' ran already"
    ) as caught:
        await Supervisor(specs, name="root").run()
    assert isinstance(caught.value.__cause__, AlreadyRan)
    assert lab.take_log() == "+a -a"


async def test_a_factory_that_always_returns_one_instance_fails_at_the_first_restart(
    autojump_clock: MockClock, lab: Lab
) -> None:
    shared = Supervisor(lab.specs("a"), name="shared", intensity=0)
    root = Supervisor([supervisor_child(lambda: shared, id="x")], name="root", intensity=3)
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - a nursery is one statement
        async with trio.open_nursery() as nursery:
            await nursery.start(root.run)
            await lab.crash("a")
    [error] = caught.value.exceptions
    assert isinstance(error, GaveUp)
    assert "AlreadyRan" in str(error)
    assert lab.take_log() == "+a -a"


# Starts that do not end

KINDS = pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])


class Observed:
    """Events with their times."""

    def __init__(self) -> None:
        self.events: list[tuple[float, Event]] = []

    def __call__(self, event: Event) -> None:
        self.events.append((trio.current_time(), event))

    def of(self, kind: type[Event]) -> list[tuple[float, Any]]:
        return [(at_s, event) for at_s, event in self.events if isinstance(event, kind)]


async def shielded(seconds: float) -> None:
    with trio.CancelScope(shield=True):
        await trio.sleep(seconds)


@KINDS
@pytest.mark.parametrize("acknowledges", [False, True])
async def test_a_start_that_hangs_in_a_shield_is_named_and_the_supervisor_goes_on_when_it_ends(
    autojump_clock: MockClock, running: Running, kind: Callable[..., Place], acknowledges: bool
) -> None:
    async def hangs(*, task_status: trio.TaskStatus[None]) -> None:
        await shielded(100)
        if acknowledges:
            task_status.started()
            await trio.sleep(50)

    observed = Observed()
    place = kind(name="app", observer=observed)
    async with running(place):
        with pytest.raises(StartFailed) as caught:
            await place.start_child(child(hangs, start_timeout_s=3, shutdown=2))
        assert isinstance(caught.value.__cause__, StartTimedOut)
        assert (trio.current_time(), str(caught.value.__cause__)[-37:]) == (
            100,
            "not acknowledge its start within 3 s.",
        )
        [(at_s, stuck)] = observed.of(ChildStuck)
        assert (at_s, stuck.path) == (3 + 2 + 1, ("app", "hangs" if kind is Supervisor else "#1"))
        assert stuck.frame.endswith(" in shielded")
        await place.start_child(child(ready))
        assert place.count_children().active == 1


async def test_stop_waits_for_a_start_that_hangs_in_a_shield_and_then_goes_on(
    autojump_clock: MockClock, lab: Lab
) -> None:
    async def hangs(*, task_status: trio.TaskStatus[None]) -> None:
        await shielded(100)

    observed = Observed()
    supervisor = Supervisor([lab.spec("a"), child(hangs, shutdown=2)], observer=observed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervisor.run)
        await wait_all_tasks_blocked()
        await trio.sleep(10)
        await supervisor.stop()
    assert trio.current_time() == 100
    assert [at_s for at_s, _ in observed.of(ChildStuck)] == [10 + 2 + 1]
    assert lab.take_log() == "+a -a"


@KINDS
async def test_a_start_that_waits_for_its_own_supervisor_ends_with_its_time_out(
    autojump_clock: MockClock, running: Running, kind: Callable[..., Place]
) -> None:
    async def asks(*, task_status: trio.TaskStatus[None]) -> None:
        await place.start_child(child(ready, id="other"))
        await place.terminate_child("asks")

    place = kind()
    async with running(place):
        with pytest.raises(StartFailed):
            await place.start_child(child(asks, id="asks", start_timeout_s=3))
        assert trio.current_time() == (
            3 if kind is Supervisor else 0
        )  # a pool serves while its children start


@KINDS
@pytest.mark.parametrize("verb", ["stop", "terminate"])
async def test_a_child_may_order_its_own_end(
    autojump_clock: MockClock, kind: Callable[..., Place], verb: str
) -> None:
    async def suicidal() -> None:
        await (place.stop() if verb == "stop" else place.terminate_child("me"))

    place = kind(intensity=0)
    async with trio.open_nursery() as nursery:
        await nursery.start(place.run)
        await place.start_child(child(suicidal, id="me"))
        await wait_all_tasks_blocked()
        assert [info.status for info in place.which_children()] in ([], [Status.STOPPED])
        await place.stop()


# Children that do not end, and children that end too often


@KINDS
async def test_a_child_that_swallows_its_cancel_is_reported_stuck_once(
    autojump_clock: MockClock, running: Running, kind: Callable[..., Place]
) -> None:
    may_end = trio.Event()

    async def deaf() -> None:
        while not may_end.is_set():
            try:
                await trio.sleep_forever()
            except trio.Cancelled:
                await shielded(0.4)

    observed = Observed()
    place = kind(observer=observed)
    async with trio.open_nursery() as nursery:
        await nursery.start(place.run)
        await place.start_child(child(deaf, id="deaf", shutdown=2))
        await wait_all_tasks_blocked()
        nursery.start_soon(place.stop)
        await trio.sleep(50)
        [(at_s, stuck)] = observed.of(ChildStuck)
        assert at_s == 3
        assert place.snapshot().children[0].is_stuck
        assert "deaf" in stuck.frame or "shielded" in stuck.frame
        may_end.set()
    assert trio.current_time() < 51
    assert isinstance(observed.events[-1][1], SupervisorTerminated)
    [(_, ended)] = observed.of(ChildTerminated)
    assert ended.reason is Reason.KILLED


@KINDS
@pytest.mark.parametrize("acknowledges", [False, True])
async def test_a_restart_storm_gives_up_and_does_not_spin(
    autojump_clock: MockClock, kind: Callable[..., Place], acknowledges: bool
) -> None:
    runs: list[float] = []

    async def hopeless() -> None:
        runs.append(trio.current_time())
        raise OSError("no disk")

    async def hopeless_later(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await hopeless()

    place = kind(intensity=100)
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - a nursery is one statement
        async with trio.open_nursery() as nursery:
            await nursery.start(place.run)
            await place.start_child(child(hopeless_later if acknowledges else hopeless))
            await trio.sleep_forever()
    assert isinstance(caught.value.exceptions[0], GaveUp)
    assert runs == [0] * 101


@pytest.mark.parametrize("moment", ["backoff", "slow sibling", "slow start", "failing start"])
@pytest.mark.parametrize("how", ["stop", "cancel", "terminate"])
async def test_a_stop_gets_in_during_a_restart(
    autojump_clock: MockClock, lab: Lab, moment: str, how: str
) -> None:
    slow_starts = moment == "slow start"
    second_start = trio.Event()

    async def starts_slowly(*, task_status: trio.TaskStatus[None]) -> None:
        if second_start.is_set():
            await trio.sleep_forever()
        second_start.set()
        task_status.started()
        await trio.sleep_forever()

    backoff = Backoff(first_s=1000, most_s=1000) if moment in ("backoff", "failing start") else None
    specs = [lab.spec("a", backoff=backoff), lab.spec("b")]
    if slow_starts:
        specs.append(child(starts_slowly, id="c"))
    supervisor = Supervisor(specs, strategy=Strategy.ONE_FOR_ALL, intensity=5)
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        lab.goodbye_s["b"] = 4
        lab.failing["a"] = moment == "failing start"
        await lab.crash("a")
        assert lab.take_log() == "+a +b -a"
        await trio.sleep({"backoff": 50, "slow sibling": 2, "slow start": 50, "failing start": 1500}[moment])
        if how == "terminate" and not slow_starts:
            await supervisor.terminate_child("a")
            assert supervisor.which_children()[-1].status is Status.STOPPED
            began_s = trio.current_time()
            await trio.sleep(2000)
            assert "a" not in lab.live
            nursery.start_soon(supervisor.stop)
        elif how == "cancel":
            began_s = trio.current_time()
            nursery.cancel_scope.cancel()
        else:
            began_s = trio.current_time()
            nursery.start_soon(supervisor.stop)
    patience_s = 2000 if how == "terminate" and not slow_starts else 0
    assert trio.current_time() - began_s <= patience_s + 8
    assert lab.live == {}


# The end of everything: Ctrl-C where test_trio.py has it not


@KINDS
@pytest.mark.parametrize("restarting", [False, True])
async def test_ctrl_c_in_a_start_ends_everything(
    autojump_clock: MockClock, kind: Callable[..., Place], restarting: bool
) -> None:
    runs: list[int] = []

    async def interrupted(*, task_status: trio.TaskStatus[None]) -> None:
        runs.append(1)
        if len(runs) == 1 + restarting:
            raise BaseExceptionGroup("g", [OSError(), BaseExceptionGroup("h", [SystemExit(3)])])
        task_status.started()
        raise ValueError

    place = kind(intensity=9)
    caught: list[BaseException] = []
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(place.run)
            with trio.CancelScope():
                await place.start_child(child(interrupted))
            await trio.sleep_forever()
    except* SystemExit as group:
        caught.append(group)
    except* (OSError, NotRunning, StartFailed):  # the other leaf, and the answer to the start
        pass
    assert len(caught) == 1
    assert len(runs) == 1 + restarting


async def test_ctrl_c_during_the_stop_of_a_nested_supervisor_comes_out_when_all_are_gone(
    autojump_clock: MockClock, lab: Lab
) -> None:
    lab.last_words["b"] = KeyboardInterrupt()
    inner = supervisor_child(lambda: Supervisor(lab.specs("bc")), id="inner")
    root = Supervisor([lab.spec("a"), inner])
    with pytest.raises(BaseExceptionGroup) as caught:  # noqa: PT012 - a nursery is one statement
        async with trio.open_nursery() as nursery:
            await nursery.start(root.run)
            await root.stop()
    assert isinstance(caught.value.exceptions[0], KeyboardInterrupt)
    assert lab.take_log() == "+a +b +c -c -b -a"


async def test_a_group_of_errors_is_one_crash_that_names_them_all(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    supervisor = Supervisor(lab.specs("a"), observer=lab.events.append)
    async with running(supervisor):
        await lab.end("a", ExceptionGroup("g", [OSError("no disk"), ExceptionGroup("h", [KeyError("k")])]))
    [event] = [event for event in lab.seen(ChildTerminated) if event.report is not None]
    assert (event.reason, event.will_restart) == (Reason.CRASHED, True)
    assert "OSError: no disk" in event.report.text
    assert "KeyError: 'k'" in event.report.text
    assert len(lab.seen(ChildStarted)) == 2
    assert lab.seen(ChildIgnored) == []
