"""The comparison of stores: what the report says, and a small run of the whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.proc import Cpu
from bench.stores.report import DriverCost, Measured, driver, table
from bench.traffic import Phase
from tests.services import PLACE, leave_out

ROOT = Path(__file__).parents[2]
PHASE = Phase(8, 10.0, 100_000, 21.5, 60.25, 20.0, Cpu(8.0, 6.5), 2.5, 130_000, 0, 0)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("| ").split("|")]


def test_the_nodes_of_a_ring_are_one_column_and_what_is_not_there_is_empty() -> None:
    ring = {"gateway": 12.0, "cassandra-1": 1.0, "cassandra-2": 2.0, "cassandra-3": 3.0, "redis": 0.5}
    alone, shared = Measured("SQLite", 1, PHASE, {"gateway": 5.0}), Measured("Cassandra (3)", 2, PHASE, ring)
    head, _rule, first, second = table([alone, shared]).splitlines()
    said = [dict(zip(cells(head), cells(row), strict=True)) for row in (first, second)]
    columns = ("stores", "workers", "delivered/s", "gateway us", "cassandra us", "redis us")
    assert [tuple(row[name] for name in columns) for row in said] == [
        ("SQLite", "1", "10,000", "50", "", ""),
        ("Cassandra (3)", "2", "10,000", "120", "60", "5"),
    ]


@pytest.mark.parametrize(("loop_us", "word"), [(25.0, "met"), (25.1, "missed")])
def test_the_goal_is_of_both_threads_together(loop_us: float, word: str) -> None:
    assert driver(DriverCost(8, 20.0, loop_us)).startswith(f"Goal {word}: driver and bridge")


@pytest.mark.slow
@pytest.mark.system
def test_a_small_run_loses_nothing() -> None:
    small = ["--pairs", "3", "--in-flight", "2", "--seconds", "1", "--warm-up", "0.5"]
    done = subprocess.run(
        [sys.executable, "-m", "bench.stores", *small, "--folder", str(PLACE)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if done.returncode == 3:
        leave_out(done.stderr)
    assert done.returncode == 0, done.stderr
    assert "Nothing lost, nothing twice." in done.stdout
    assert done.stdout.count("| Cassandra (1), PostgreSQL, Redis |") == 2
