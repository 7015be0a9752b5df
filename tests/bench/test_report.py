"""The report says what the figures say, and goes where the markers are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench import report
from bench.errors import BenchError
from bench.idle import Idle
from bench.proc import Cpu, Memory
from bench.traffic import Phase

PHASE = Phase(
    in_flight=8,
    window_s=10.0,
    delivered=100_000,
    delivered_p50_ms=21.5,
    delivered_p99_ms=60.25,
    sent_p50_ms=20.0,
    server=Cpu(8.0, 6.5),
    generator_s=2.5,
    acknowledged=130_000,
    lost=0,
    twice=0,
)
IDLE = Idle(2000, Memory(50 * 2**20, 48 * 2**20), Memory(110 * 2**20, 107 * 2**20))
RUN = report.Run("a machine", "ext4", "abc1234", "python -m bench", 50, [PHASE], 100.0, IDLE)


def test_table_has_the_figures_per_message() -> None:
    head, _rule, row = (
        [cell.strip() for cell in line.strip("| ").split("|")]
        for line in report.markdown(RUN).splitlines()
        if line.startswith("|")
    )
    told = dict(zip(head, row, strict=True))
    assert told["delivered/s"] == "10,000"
    assert told["server us/message"] == "80"
    assert told["event loop us"] == "65"
    assert told["other threads us"] == "15"
    assert told["server cores"] == "0.80"
    assert told["generator cores"] == "0.25"


def test_the_yardstick_makes_a_ratio() -> None:
    assert "spent 100 us of CPU" in report.markdown(RUN)
    assert f"{PHASE.server_us / 100:.2f} at {PHASE.in_flight}" in report.markdown(RUN)


def test_few_idle_connections_are_no_measure() -> None:
    few = replace(RUN, idle=replace(IDLE, connections=60))
    assert not any("idle" in line for line in report.goals(few))


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (RUN, "Goal met: 80 us"),
        (replace(RUN, phases=[replace(PHASE, server=Cpu(9.1, 6.5))]), "Goal missed: 91 us"),
        (RUN, "Goal met: 30.7 KiB"),
        (replace(RUN, idle=replace(IDLE, connections=1000)), "Goal missed: 61.4 KiB"),
        (RUN, "Nothing lost, nothing twice."),
        (replace(RUN, phases=[replace(PHASE, lost=1, twice=2)]), "FAILED: 3 messages"),
        (replace(RUN, profiled=replace(PHASE, lost=1)), "FAILED: 1 messages"),
    ],
)
def test_goals_are_judged(run: report.Run, said: str) -> None:
    assert any(line.startswith(said) for line in report.goals(run))


def test_profile_shows_own_time_and_the_dearest_line() -> None:
    profile = {
        "total_s": 5.0,
        "own": [
            ["send", "/x/site-packages/trio/_socket.py", 2.0],
            ["run", "/y/src/chappe/gateway/pump.py", 1.0],
        ],
        "lines": [
            ["send", "/x/site-packages/trio/_socket.py", 41, 1.5],
            ["run", "/y/src/chappe/gateway/pump.py", 7, 1.0],
            ["send", "/x/site-packages/trio/_socket.py", 40, 0.5],
        ],
        "below": [["main", "/y/elsewhere.py", 5.0], ["run", "/y/src/chappe/gateway/pump.py", 3.0]],
    }
    text = report.markdown(replace(RUN, profile=profile, profiled=PHASE))
    assert "| 40.0% |       20.0 | `send`   | `trio/_socket.py:41`       |" in text
    assert "| 20.0% |       10.0 | `run`    | `chappe/gateway/pump.py:7` |" in text
    assert "| 60.0% |       30.0 | `run`    | `chappe/gateway/pump.py:7` |" in text
    assert "elsewhere" not in text


def test_json_holds_what_the_table_holds() -> None:
    told = json.loads(report.as_json(RUN))
    assert told["phases"][0]["server_us"] == 80
    assert told["phases"][0]["per_s"] == 10_000
    assert told["idle"]["rss_kib"] == pytest.approx(30.72)


def test_results_replace_what_is_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{report.BEGIN}\nold\n{report.END}\n\nAfter.\n")
    report.write_docs(page, RUN)
    once = page.read_text()
    report.write_docs(page, RUN)
    assert page.read_text() == once
    assert once.startswith("# Title\n\n")
    assert once.endswith(f"{report.END}\n\nAfter.\n")
    assert report.markdown(RUN) in once
    assert "old" not in once


def test_a_page_without_markers_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n")
    with pytest.raises(BenchError, match="no place for the results"):
        report.write_docs(page, RUN)
    assert page.read_text() == "# Title\n"


def test_the_page_has_its_place() -> None:
    text = (Path(__file__).parents[2] / "docs" / "performance.md").read_text()
    assert text.count(report.BEGIN) == text.count(report.END) == 1
