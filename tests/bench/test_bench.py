"""The whole benchmark, small, against the real server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.system
def test_a_small_run_loses_nothing(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    small = [
        "--pairs",
        "3",
        "--in-flight",
        "2",
        "--seconds",
        "1",
        "--warm-up",
        "0.5",
        "--idle",
        "20",
        "--profile",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *small, "--folder", str(tmp_path), "--json", str(figures)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(figures.read_text())
    (phase,) = told["phases"]
    assert phase["delivered"] > 0
    assert (phase["lost"], phase["twice"]) == (0, 0)
    assert told["idle"]["connections"] == 20
    assert told["profile"]["total_s"] > 0
    assert "Nothing lost, nothing twice." in done.stdout
