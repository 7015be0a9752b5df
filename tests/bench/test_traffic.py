"""The ledger and the connection notice what a server can do wrong; the stand-in does each on purpose."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from bench import proc, traffic
from bench.accounts import sign_up_all
from bench.errors import BenchError
from bench.node import running

STANDIN = Path(__file__).with_name("standin.py")


def measured(folder: Path, fault: str) -> traffic.Phase:
    async def run() -> traffic.Phase:
        async with running(folder, under=(sys.executable, str(STANDIN), fault)) as node:
            people = await sign_up_all(node, 4, lambda _done: None)
            async with traffic.pairs(node, people) as pairs:
                return await traffic.run_phase(node, pairs, 4, warm_up_s=0.1, window_s=0.3)

    return asyncio.run(run())


def test_a_good_server_loses_nothing(tmp_path: Path) -> None:
    phase = measured(tmp_path, "none")
    assert (phase.lost, phase.twice) == (0, 0)
    assert phase.acknowledged >= phase.delivered > 0
    assert phase.delivered_p99_ms >= phase.delivered_p50_ms > 0
    assert phase.sent_p50_ms > 0
    assert phase.server.whole_s + 1.1 * proc.ROUNDING_S > phase.server.main_s > 0


@pytest.mark.parametrize("fault", ["lose", "rename"])
def test_what_was_acknowledged_but_not_delivered_is_lost(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "DRAIN_S", 0.3)
    phase = measured(tmp_path, fault)
    assert phase.lost > 0
    assert phase.twice == 0


def test_what_came_twice_is_counted(tmp_path: Path) -> None:
    phase = measured(tmp_path, "twice")
    assert phase.twice > 0
    assert phase.lost == 0


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("refuse", "refused a message .overloaded"),
        ("close", "closed a connection with 4503: too much"),
        ("gap", "came where .* was due"),
        ("alter", "another body"),
        ("code", "ended with code 3"),
    ],
)
def test_a_run_that_means_nothing_ends(fault: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=complaint):
        measured(tmp_path, fault)


@pytest.mark.parametrize(
    ("percent", "value"), [(0, 1.0), (1, 1.0), (50, 50.0), (50.5, 51.0), (99, 99.0), (100, 100.0)]
)
def test_percentile_is_the_nearest_rank(percent: float, value: float) -> None:
    assert traffic.percentile([float(number) for number in range(100, 0, -1)], percent) == value


def test_percentile_of_nothing() -> None:
    assert traffic.percentile([], 50) == 0.0
