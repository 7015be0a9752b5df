"""The pure parts: plans, the window, backoff, the judging of exits, the picture of the tree."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from supervisors import Backoff, GaveUp, Ignore, Node, Reason, Restart, Status, Strategy
from supervisors.exits import reason_of, report_crash
from supervisors.intensity import Window
from supervisors.plan import restart_plan

POLICIES = [Restart.PERMANENT, Restart.TRANSIENT, Restart.TEMPORARY]


@given(st.data(), st.sampled_from(Strategy), st.lists(st.sampled_from(POLICIES), min_size=1, max_size=8))
def test_a_plan_stops_in_reverse_and_starts_in_order(
    data: st.DataObject, strategy: Strategy, policies: list[Restart]
) -> None:
    children = [(str(index), policy) for index, policy in enumerate(policies)]
    failed = data.draw(st.sampled_from(children))[0]
    plan = restart_plan(strategy, children, failed)
    first = {Strategy.ONE_FOR_ALL: 0}.get(strategy, int(failed))
    last = int(failed) if strategy is Strategy.ONE_FOR_ONE else len(children) - 1
    group = [str(index) for index in range(first, last + 1)]
    assert list(plan.stop) == [id_ for id_ in reversed(group) if id_ != failed]
    assert [id_ for id_ in group if id_ not in plan.drop] == list(plan.start)
    assert set(plan.drop) == {id_ for id_ in plan.stop if dict(children)[id_] is Restart.TEMPORARY}


@given(st.integers(0, 4), st.floats(0.5, 9), st.lists(st.floats(0, 5), max_size=30))
def test_the_window_is_exceeded_when_a_period_holds_more_than_the_intensity(
    intensity: int, period_s: float, pauses: list[float]
) -> None:
    window, now, times = Window(intensity, period_s), 0.0, list[float]()
    for pause in pauses:
        now += pause
        times.append(now)
        window = window.counted(now)
        assert window.is_exceeded == (sum(now - time <= period_s for time in times) > intensity)


@given(st.integers(1, 5000), st.floats(0, 1, exclude_max=True), st.floats(0, 1))
def test_backoff_stays_between_its_bounds(failures: int, chance: float, jitter: float) -> None:
    backoff = Backoff(first_s=0.1, factor=2, most_s=5, jitter=jitter)
    full = Backoff(first_s=0.1, factor=2, most_s=5, jitter=0).delay_s(failures, 0.0)
    assert full == (0.1 * 2 ** (failures - 1) if failures < 6 else 5 if failures > 6 else 3.2)
    assert full * (1 - jitter) <= backoff.delay_s(failures, chance) <= full


def group(*errors: BaseException) -> BaseException:
    return BaseExceptionGroup("g", list(errors))


ORDERLY = GaveUp("", path=(), is_shutdown=True)
CRASH = GaveUp("", path=(), is_shutdown=False)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError(), Reason.CRASHED),
        (group(ValueError(), OSError()), Reason.CRASHED),
        (group(ValueError(), group(KeyboardInterrupt())), Reason.ESCALATED),
        (SystemExit(), Reason.ESCALATED),
        (GeneratorExit(), Reason.ESCALATED),
        (Ignore(), Reason.IGNORED),
        (group(Ignore()), Reason.IGNORED),
        (group(Ignore(), ValueError()), Reason.CRASHED),
        (ORDERLY, Reason.SHUTDOWN),
        (group(ORDERLY), Reason.SHUTDOWN),
        (group(ORDERLY, ValueError()), Reason.CRASHED),
        (CRASH, Reason.CRASHED),
    ],
    ids=repr,
)
def test_exits_are_judged_leaf_by_leaf(error: BaseException, reason: Reason) -> None:
    assert reason_of(error) is reason


def test_a_stored_cancelled_raised_again_is_a_crash() -> None:
    caught: list[BaseException] = []

    async def main() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled as cancelled:
                caught.append(cancelled)
                raise

    trio.run(main)
    assert reason_of(caught[0]) is Reason.CRASHED


def test_a_report_is_text_and_keeps_the_end_of_a_long_traceback() -> None:
    def recurse(depth: int) -> None:
        if depth == 0:
            raise LookupError("the very end")
        if depth % 2:
            recurse(depth - 1)
        else:
            recurse(depth - 1)

    with pytest.raises(LookupError) as caught:
        recurse(100)
    report = report_crash(("a", "b"), caught.value, 1.5)
    assert (report.path, report.at_s, report.error) == (("a", "b"), 1.5, "LookupError: the very end")
    assert report.text.endswith("LookupError: the very end\n")
    assert len(report.text) == 4_000


def test_the_tree_as_text_and_as_a_dict() -> None:
    leaves = tuple(Node(f"w{n}", False, Status.RUNNING, n, ()) for n in range(3))
    tree = Node("root", True, Status.RUNNING, 0, (Node("x", False, Status.RESTARTING, 0, leaves), *leaves))
    assert tree.to_text(most_children=2).splitlines() == [
        "root",
        "├─ x (restarting)",
        "│  ├─ w0",
        "│  ├─ w1 (restarts: 1)",
        "│  └─ and 1 more",
        "├─ w0",
        "└─ and 2 more",
    ]
    assert Node.from_dict(tree.to_dict()) == tree
    assert tree.to_dict()["children"][3] == {
        "name": "w2",
        "kind": "worker",
        "status": "running",
        "restarts": 2,
        "running_s": None,
        "headroom": None,
        "mailbox": None,
        "is_stuck": False,
        "last_crash": "",
        "hidden": 0,
        "children": [],
    }
