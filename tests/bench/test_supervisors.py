"""The cost of supervised children: figures are computed from what was measured, and every case runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.supervisors import cases, figures, report, runs, worker
from bench.supervisors.cases import CASES, Case
from bench.supervisors.figures import Run
from bench.supervisors.runs import Phase, Result

ROOT = Path(__file__).parents[2]
QUERIES = {"snapshot", "which_children", "count_children"}
ONE_BY_ONE = {"start_one", "terminate", "crash"}


def case_of(label: str) -> Case:
    return next(case for case in CASES if case.label == label)


def result(
    label: str, *, count: int = 100_000, start_us: float = 10.0, rss: int = 2_000, **each_us: float
) -> Result:
    phases = {"start": Phase(count, start_us * count / 1e6, rss * count, 0)}
    phases |= {name: Phase(count, us * count / 1e6, 0, 0) for name, us in each_us.items()}
    return Result(case_of(label), count, phases)


def run_of(*rounds: list[Result]) -> Run:
    return Run("a machine", "abc1234", "python -m bench.supervisors", "Erlang/OTP", rounds)


GOOD = [
    result(cases.TASK),
    result(cases.POOL, start_us=24.0, rss=3_500, stop=40.0),
    result(cases.OBSERVED, crash=300.0),
    result(cases.ERL_POOL_SERVER, crash=600.0),
]


def but(label: str, **changes: float) -> list[Result]:
    return [
        replace(
            one,
            phases=one.phases
            | {name: replace(one.phases[name], cpu_s=us * one.count / 1e6) for name, us in changes.items()},
        )
        if one.case.label == label
        else one
        for one in GOOD
    ]


def test_labels_are_unique_and_keys_are_known_to_the_worker() -> None:
    assert len({case.label for case in CASES}) == len(CASES)
    assert {case.key for case in CASES if not case.is_erl} == set(worker.CASES)
    assert {case.label.startswith("erl") == case.is_erl for case in CASES} == {True}


def test_a_figure_is_the_median_of_the_rounds_for_each_child() -> None:
    run = run_of(*([result(cases.TASK, start_us=us, rss=rss)] for us, rss in [(9, 90), (1, 10), (2, 20)]))
    assert run.figure(cases.TASK, 100_000, "start") == pytest.approx(2)
    assert run.figure(cases.TASK, 100_000, figures.BYTES) == 20
    assert run.figure(cases.TASK, 100_000, "crash") is None
    assert run.figure(cases.TASK, 1, "start") is None


def test_a_ratio_is_taken_within_its_round() -> None:
    # The machine is ten times slower in the second round: ratios of medians would be another figure.
    speeds = [(1.0, 2.0), (10.0, 30.0), (1.0, 4.0)]
    rounds = [[result(cases.TASK, start_us=t), result(cases.POOL, start_us=p)] for t, p in speeds]
    assert run_of(*rounds).ratio(cases.POOL, cases.TASK, 100_000, "start") == pytest.approx(3)
    assert run_of(*rounds).ratio(cases.POOL, cases.SCOPE, 100_000, "start") is None


def test_growth_compares_the_most_with_the_fewest() -> None:
    counts = [(1_000, 5.0), (10_000, 100.0), (100_000, 10.0)]
    run = run_of([result(cases.POOL, count=count, stop=us) for count, us in counts])
    assert run.growth(cases.POOL, "stop") == pytest.approx(2)
    assert run.growth(cases.POOL, "crash") is None
    assert run_of([result(cases.POOL, stop=1.0)]).growth(cases.POOL, "stop") is None


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (GOOD, "Goal met: 1.75 times the memory"),
        ([result(cases.TASK, rss=1_000), *GOOD[1:]], "Goal missed: 3.50 times the memory"),
        (GOOD, "Goal met: 2.40 times the start"),
        (but(cases.POOL, start=26.0), "Goal missed: 2.60 times the start"),
        (GOOD, "Goal met: 0.50 times erl's gen_server"),
        (but(cases.OBSERVED, crash=660.0), "Goal missed: 1.10 times erl's gen_server"),
        (GOOD, "Goal met: 4.00 s of CPU to stop"),
        (but(cases.POOL, stop=51.0), "Goal missed: 5.10 s of CPU to stop"),
    ],
)
def test_goals_are_judged(results: list[Result], said: str) -> None:
    assert any(line.startswith(said) for line in report.goals(run_of(results)))


def test_a_short_run_says_that_it_is_none() -> None:
    assert len(report.goals(run_of(GOOD))) == 4
    short = run_of([result(cases.TASK, count=10), result(cases.POOL, count=10)])
    assert report.goals(short)[-1] == "The goals are for 100,000 children; this run had 10."


def test_tables_have_the_figures_and_no_empty_rows() -> None:
    text = report.markdown(run_of(GOOD))
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines()]
    assert ["pool child / bare task", "start", "2.40"] in cells
    assert [cases.POOL, "3,500", "", "24.0", "", "", "", "40.0", "4.00"] in cells
    assert not any(row[0] == cases.ORDERED for row in cells)


def test_results_replace_what_is_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{report.BEGIN}\nold\n{report.END}\n\nAfter.\n")
    report.write(page, run_of(GOOD))
    once = page.read_text()
    report.write(page, run_of(GOOD))
    assert page.read_text() == once
    assert once.startswith("# Title\n\n")
    assert once.endswith(f"{report.END}\n\nAfter.\n")
    assert report.markdown(run_of(GOOD)) in once
    assert "old" not in once


def test_a_page_without_markers_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n")
    with pytest.raises(BenchError, match="no place for the results"):
        report.write(page, run_of(GOOD))
    assert page.read_text() == "# Title\n"


def test_the_page_has_its_place() -> None:
    text = (ROOT / "docs" / "supervisors" / "cost.md").read_text()
    assert text.count(report.BEGIN) == text.count(report.END) == 1


def test_the_clock_of_a_process_is_its_own() -> None:
    before_s = time.process_time()
    read_s = runs.cpu_s(os.getpid())
    assert before_s <= read_s <= time.process_time()


@pytest.mark.slow
@pytest.mark.system
def test_a_small_run_has_every_case(tmp_path: Path) -> None:
    told = tmp_path / "figures.json"
    small = ["--children", "40", "--rounds", "1", "--no-erl", "--json", str(told)]
    done = subprocess.run(
        [sys.executable, "-m", "bench.supervisors", *small],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(told.read_text())
    (results,) = measured["rounds"]
    assert {(one["case"]["label"], one["count"]) for one in results} == {
        (case.label, 40) for case in CASES if not case.is_erl
    }
    # Of one case alone the start may cost less than the line that tells of it.
    assert sum(one["phases"]["start"]["cpu_s"] for one in results) > 0
    for one in results:
        assert one["phases"]["start"]["count"] == one["phases"]["stop"]["count"] == one["count"]
        supervised = one["case"]["key"] in {"pool", "pool_fresh", "pool_observed", "pool_started", "ordered"}
        assert (one["phases"].keys() >= QUERIES | ONE_BY_ONE) == supervised
    assert all(one["phases"]["start"]["allocated"] > 0 for one in measured["traced"])
    assert measured["medians"][cases.POOL]["40"]["crash"] > 0
    assert "### 40 children" in done.stdout
    assert "`python -m bench.supervisors --children 40 --rounds 1 --no-erl`" in done.stdout
    assert "erl:" not in done.stdout


@pytest.mark.system
@pytest.mark.skipif(shutil.which("erlc") is None, reason="needs Erlang: Debian's erlang-base")
@pytest.mark.parametrize("case", [case for case in CASES if case.is_erl], ids=lambda case: case.key)
def test_erlang_does_the_same_phases(case: Case, tmp_path: Path) -> None:
    assert runs.compile_erl(tmp_path)
    phases = runs.run(case, 50, tmp_path).phases
    bare = {"nothing", "start", "stop"}
    common = bare | ONE_BY_ONE | {"counted", "which_children", "count_children", "warm_up"}
    pool = {"boot", "before_storm", "storm"}
    expected = {"erl_spawn": bare, "erl_ordered_server": common}
    assert set(phases) == expected.get(case.key, common | pool)
    assert phases["start"].count == phases["stop"].count == 50
    assert phases["start"].allocated > 50 * 1_000
    if "crash" in phases:
        counts = (phases["warm_up"].count, phases["crash"].count, phases["terminate"].count)
        assert counts == (worker.WARM_UP, worker.CRASHES, worker.TERMINATED)


@pytest.mark.system
def test_a_crash_that_is_not_reported_voids_the_run(tmp_path: Path) -> None:
    case = replace(case_of(cases.OBSERVED), report="what nobody writes")
    with pytest.raises(BenchError, match="did not report every crash"):
        runs.run(case, 10, tmp_path)


@pytest.mark.system
def test_a_process_that_ends_early_voids_the_run(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"ended early:(.|\n)*invalid choice: 'unheard-of'"):
        runs.run(Case("unheard-of", "unheard-of"), 10, tmp_path)
