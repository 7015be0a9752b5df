"""This library and OTP's supervisor do the same; and the oracle that says so would notice if they did not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import trio

import supervisors.supervisor
from supervisors import AutoShutdown, ChildSpec, Restart, StartedChild, Strategy, Supervisor
from supervisors.exits import Exit
from supervisors.intensity import Window
from supervisors.plan import Fate, Plan, ends_supervisor, fate, restart_plan
from supervisors.restarts import Restarts
from supervisors.slot import Slot
from supervisors.spec import Policy

from . import ours
from .__main__ import main
from .compare import Difference, compare, differences, shortest
from .differences import INTENDED, MENDED, Intended
from .generate import script
from .script import Call, Crash, Script, Setup, Spec
from .theirs import Erl, NoErl

SEED = 0
SCRIPTS = 2000
FOUND_WITHIN = 600
"""Scripts that are enough to notice each of the planted bugs; most need fewer than fifty."""

Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def erl() -> Iterator[Erl]:
    try:
        with Erl() as running:
            yield running
    except NoErl as error:
        if os.environ.get("CHAPPE_REQUIRE_ERL"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def scripts() -> list[Script]:
    return [script(SEED, number) for number in range(SCRIPTS)]


@pytest.fixture(scope="module")
def theirs(erl: Erl, scripts: list[Script]) -> list[list[str]]:
    """What OTP does with the scripts in which bugs are to be found."""
    return erl.play(scripts[:FOUND_WITHIN])


def test_both_sides_do_the_same(erl: Erl, scripts: list[Script]) -> None:
    found = compare(erl, scripts)
    assert not found, f"{len(found)} differences; the first, made short:\n\n{shortest(erl, found[0])}"


@pytest.mark.parametrize("difference", INTENDED, ids=lambda difference: difference.why)
def test_the_written_differences_are_what_is_written(erl: Erl, difference: Intended) -> None:
    (seen,) = compare(erl, [difference.script])
    differing = [pair for pair in zip(seen.ours, seen.theirs, strict=True) if pair[0] != pair[1]]
    assert differing[0] == (difference.ours, difference.theirs)


@pytest.mark.parametrize("difference", INTENDED, ids=lambda difference: difference.why)
def test_a_written_difference_has_its_decision(difference: Intended) -> None:
    decisions = Path(__file__).parents[2] / "docs" / "adr"
    assert len(list(decisions.glob(f"{difference.adr:04}-*.md"))) == 1


@pytest.mark.parametrize("script", MENDED.values(), ids=MENDED)
def test_what_was_mended_stays_so(erl: Erl, script: Script) -> None:
    assert not compare(erl, [script])


# Would it notice? Each of these plants a bug that ports of OTP really have.


def plan_bug(change: Callable[[Plan, Sequence[tuple[str, Restart]]], Plan]) -> Plant:
    def planted(strategy: Strategy, children: Sequence[tuple[str, Restart]], failed: str) -> Plan:
        return change(restart_plan(strategy, children, failed), children)

    return lambda patch: patch.setattr(supervisors.supervisor, "restart_plan", planted)


def strategy_bug(taken_for: dict[Strategy, Strategy]) -> Plant:
    def planted(strategy: Strategy, children: Sequence[tuple[str, Restart]], failed: str) -> Plan:
        return restart_plan(taken_for.get(strategy, strategy), children, failed)

    return lambda patch: patch.setattr(supervisors.supervisor, "restart_plan", planted)


def keep_temporary(plan: Plan, children: Sequence[tuple[str, Restart]]) -> Plan:
    group = {*plan.stop, *plan.start}
    return replace(plan, drop=(), start=tuple(name for name, _ in children if name in group))


def auto_shutdown_bug(change: Callable[[AutoShutdown, bool, list[bool]], bool]) -> Plant:
    def planted(rule: AutoShutdown, *, is_significant: bool, others_alive: list[bool]) -> bool:
        return change(rule, is_significant, others_alive)

    return lambda patch: patch.setattr(supervisors.supervisor, "ends_supervisor", planted)


def any_child_matters(rule: AutoShutdown, _: bool, others: list[bool]) -> bool:
    return ends_supervisor(rule, is_significant=True, others_alive=others)


def any_for_all(rule: AutoShutdown, is_significant: bool, _: list[bool]) -> bool:
    return ends_supervisor(rule, is_significant=is_significant, others_alive=[])


def restart_after_normal(patch: pytest.MonkeyPatch) -> None:
    def planted(policy: Policy, exit_: Exit) -> Fate:
        return Fate.RESTART if policy.restart is Restart.TRANSIENT else fate(policy, exit_)

    patch.setattr(supervisors.supervisor, "fate", planted)


def count_started_children(patch: pytest.MonkeyPatch) -> None:
    start_child = Supervisor.start_child

    async def planted(self: Supervisor, spec: ChildSpec) -> StartedChild:
        self._restarts._window = self._restarts._window.counted(trio.current_time())
        return await start_child(self, spec)

    patch.setattr(Supervisor, "start_child", planted)


def count_no_failed_starts(patch: pytest.MonkeyPatch) -> None:
    count = Restarts.count

    def planted(self: Restarts, slot: Slot, exit_: Exit | None) -> None:
        if exit_ is not None:
            count(self, slot, exit_)

    patch.setattr(Restarts, "count", planted)


def window_bug(remembers: Callable[[Window, float, float], bool]) -> Plant:
    def planted(self: Window, now: float) -> Window:
        recent = [at for at in self.restarts if remembers(self, at, now)]
        return replace(self, restarts=(*recent, now))

    return lambda patch: patch.setattr(Window, "counted", planted)


def one_too_few(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Window, "is_exceeded", property(lambda self: len(self.restarts) >= self.intensity))


def forget_when_terminated(patch: pytest.MonkeyPatch) -> None:
    terminate = Supervisor.terminate_child

    async def planted(self: Supervisor, id: str) -> None:  # noqa: A002 - the name of the real one
        await terminate(self, id)
        self._slots.pop(id, None)

    patch.setattr(Supervisor, "terminate_child", planted)


PLANTED: dict[str, Plant] = {
    "a group stops in start order": plan_bug(lambda plan, _: replace(plan, stop=plan.stop[::-1])),
    "a group starts in reverse": plan_bug(lambda plan, _: replace(plan, start=plan.start[::-1])),
    "temporary siblings are kept": plan_bug(keep_temporary),
    "rest_for_one takes the earlier ones along": strategy_bug({Strategy.REST_FOR_ONE: Strategy.ONE_FOR_ALL}),
    "rest_for_one takes nobody along": strategy_bug({Strategy.REST_FOR_ONE: Strategy.ONE_FOR_ONE}),
    "significance is ignored": auto_shutdown_bug(lambda *_: False),
    "every child is significant": auto_shutdown_bug(any_child_matters),
    "all_significant is taken for any_significant": auto_shutdown_bug(any_for_all),
    "a transient child is restarted after a normal end": restart_after_normal,
    "start_child is counted": count_started_children,
    "failed starts are not counted": count_no_failed_starts,
    "the window never slides": window_bug(lambda *_: True),
    "the window's edge is exclusive": window_bug(lambda self, at, now: now - at < self.period_s),
    "one restart fewer than the intensity": one_too_few,
    "terminate_child forgets the spec": forget_when_terminated,
}


def first_difference(scripts: list[Script], theirs: list[list[str]]) -> Difference | None:
    for one, trace in zip(scripts, theirs, strict=False):
        if found := differences([one], [ours.play(one)], [trace]):
            return found[0]
    return None


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_a_planted_bug_is_found(
    monkeypatch: pytest.MonkeyPatch, scripts: list[Script], theirs: list[list[str]], plant: Plant
) -> None:
    plant(monkeypatch)
    found = first_difference(scripts, theirs)
    assert found is not None
    assert "raised" not in str(found.ours), "what is planted is to act, not to fail"


def test_what_is_found_is_made_short(
    monkeypatch: pytest.MonkeyPatch, erl: Erl, scripts: list[Script], theirs: list[list[str]]
) -> None:
    PLANTED["a group stops in start order"](monkeypatch)
    found = first_difference(scripts, theirs)
    assert found is not None
    short = shortest(erl, found)
    assert [type(step) for step in short.script.steps] == [Crash]
    assert len(short.script.setup.children) == 3
    assert short.ours != short.theirs


# The command


def test_the_command_shows_a_difference(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], erl: Erl
) -> None:
    PLANTED["one restart fewer than the intensity"](monkeypatch)
    assert main(["--scripts", "100", "--seed", "3"]) == 1
    printed = capsys.readouterr().out
    assert "seed 3" in printed
    assert "Script(Setup(" in printed
    assert "ours (this library)" in printed


def test_the_command_says_what_it_has_done(capsys: pytest.CaptureFixture[str], erl: Erl) -> None:
    assert main(["--scripts", "30"]) == 0
    assert capsys.readouterr().out == "30 scripts of seed 0: no difference.\n"


def test_without_erl_the_command_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert main([]) == 2
    assert "erlang-base" in capsys.readouterr().err


def test_an_error_of_the_library_is_a_difference(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], erl: Erl
) -> None:
    monkeypatch.delattr(supervisors.supervisor, "restart_plan")
    assert main(["--scripts", "20"]) == 1
    assert "raised NameError" in capsys.readouterr().out


# The two players, where a script says it better than a generator


def test_a_script_is_the_same_on_every_machine() -> None:
    assert script(1, 2) == script(1, 2)
    assert script(1, 2) != script(2, 2)


def test_a_trace_tells_what_happened() -> None:
    inner = Setup("one_for_all", intensity=0, children=(Spec("s1"), Spec("s2", stop="stubborn")))
    setup = Setup(children=(Spec("a", "temporary"), Spec("s", "transient", inner=inner)))
    assert ours.play(Script(setup, steps=(Crash("a"), Call("s", "get", "s1"), Crash("s1"), Crash("a")))) == [
        "+a +s1 +s2 +s |  | top(s:running a:running) 2/2/1/1 s(s2:running s1:running) 2/2/0/2",
        "-a:crashed | done | top(s:running) 1/1/1/0 s(s2:running s1:running) 2/2/0/2",
        " | permanent/false/worker | top(s:running) 1/1/1/0 s(s2:running s1:running) 2/2/0/2",
        "-s1:crashed -s2:killed -s:shutdown | done | top(s:stopped) 1/0/1/0",
        " | nobody | top(s:stopped) 1/0/1/0",
        "end shutdown |  | ",
    ]
