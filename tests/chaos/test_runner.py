"""The runner on real processes: whatever ends a run, everything is put right and nobody stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chaos import runner
from chaos.analysis.sends import Send
from chaos.cli import app
from chaos.faults.processes import frozen
from chaos.journal import NAME, Journal
from chaos.lab import Lab
from chaos.outcome import Outcome, load_all
from chaos.runner import Order
from chaos.scenario import Pass, People, Scenario
from chaos.undo import EndProcesses, marked
from deploy.services import Identity

TWO = People(people=2, with_two=0, per_s=2.0, in_process=2)
ROOT = Path(__file__).parents[2]


def scenario(fault: object, **more: object) -> Scenario:
    return Scenario("It holds.", "Nobody.", fault, people=TWO, name="made-up", **more)  # type: ignore[arg-type]


def marks(journal: Path) -> list[str]:
    """Return the marks of a run's processes."""
    return [
        line.split('"mark":"')[1].split('"')[0]
        for line in journal.read_text().splitlines()
        if '"mark"' in line
    ]


def nobody_is_left(folder: Path) -> None:
    assert Journal.load(folder / NAME).open == []
    [mark] = marks(folder / NAME)
    assert list(marked(mark)) == []


async def carry_out(folder: Path, fault: object, **more: object) -> Outcome:
    outcome = await runner.run(Order(scenario(fault, **more), folder, seed=1))
    nobody_is_left(folder)
    assert load_all(folder) == [(folder, outcome)]
    assert not (folder / "work").exists()
    return outcome


@pytest.mark.system
@pytest.mark.usefixtures("watched")
async def test_a_fault_that_harms_nobody_keeps_every_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "BEFORE_S", 0.5)
    monkeypatch.setattr(runner, "AFTER_S", 0.5)

    async def fault(lab: Lab) -> None:
        await lab.chat(5)

    outcome = await carry_out(tmp_path / "run", fault, passes=Pass(availability=0.5))
    assert outcome.is_kept, outcome
    assert outcome.devices == 2
    assert outcome.figures is not None
    assert outcome.figures.sends >= 5
    assert outcome.fault_ms is not None


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.usefixtures("watched")
async def test_a_fault_that_fails_is_rolled_back_and_told(tmp_path: Path) -> None:
    async def fault(lab: Lab) -> None:
        pid = lab.nodes[0].pid
        async with frozen(lab, pid, "the node"):
            raise RuntimeError("the fault itself broke")

    outcome = await carry_out(tmp_path / "run", fault)
    assert not outcome.is_kept
    assert outcome.problem == "RuntimeError: the fault itself broke"


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.usefixtures("watched")
async def test_a_fault_is_bounded_in_time(tmp_path: Path) -> None:
    async def fault(lab: Lab) -> None:
        async with frozen(lab, lab.nodes[0].pid, "the node"):
            await lab.chat(10**6)

    outcome = await carry_out(tmp_path / "run", fault, fault_s=0.5)
    assert outcome.problem == "AssertionError: The fault took longer than 0.5 s."


FREEZES = """
import sys, trio
from pathlib import Path
sys.path.insert(0, "tests/chaos")
from chaos import cli, scenario
from chaos.faults.processes import frozen
from chaos.scenario import People, Scenario

async def fault(lab):
    async with frozen(lab, lab.nodes[0].pid, "the node"):
        await trio.sleep_forever()

people = People(people=2, with_two=0, per_s=2.0, in_process=2)
cli.load_all = lambda: {"freezes": Scenario("a", "b", fault, people=people, name="freezes")}
cli.app(["run", "freezes", "--seed", "1", "--folder", sys.argv[1]])
"""


def begin(folder: Path) -> subprocess.Popen[bytes]:
    """Start a run as a shell script's background job, which ignores Ctrl-C; return when its node is frozen."""
    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c", FREEZES, str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    journal = folder / "freezes-1" / NAME
    deadline = time.monotonic() + 120.0
    while not (journal.exists() and "SIGSTOP" in journal.read_text()):
        assert process.poll() is None, "The run ended."
        assert time.monotonic() < deadline, "The node is not frozen."
        time.sleep(0.05)
    return process


@pytest.mark.system
@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_rolls_back(tmp_path: Path, number: signal.Signals) -> None:
    with begin(tmp_path) as process:
        process.send_signal(number)
        assert process.wait(60) == 130
    nobody_is_left(tmp_path / "freezes-1")


@pytest.mark.system
@pytest.mark.usefixtures("watched")
def test_what_a_killed_runner_left_is_rolled_back_by_the_next_command(tmp_path: Path) -> None:
    with begin(tmp_path) as process:
        process.kill()
    [mark] = marks(tmp_path / "freezes-1" / NAME)
    assert list(marked(mark)), "The frozen node should still be there."
    watchers = [
        Identity(**json.loads(path.read_text())) for path in tmp_path.rglob("watchers/*/process.json")
    ]
    assert [one.is_alive() for one in watchers] == [True, True]
    done = CliRunner().invoke(app, ["rollback", "--folder", str(tmp_path)])
    assert done.exit_code == 0, done.output
    nobody_is_left(tmp_path / "freezes-1")
    assert not any(one.is_alive() for one in watchers)


@pytest.mark.parametrize(
    ("took_ms", "is_so"),
    [
        ([], False),
        ([10, 10], False),
        ([10, 10, 10], True),
        ([10] * 9 + [None], True),
        ([10, 10, None], False),
    ],
)
def test_a_steady_state_is_when_sends_are_answered_at_once(took_ms: list[int | None], is_so: bool) -> None:
    now_ms = 100_000
    at_ms = now_ms - 3000
    sent = [Send(str(n), at_ms, took and at_ms + took, ()) for n, took in enumerate(took_ms)]
    too_new = [Send(f"new {n}", now_ms - 100, None, ()) for n in range(9)]
    assert runner.is_settled([*sent, *too_new], now_ms) == is_so


def test_the_own_process_is_never_among_the_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAPPE_CHAOS_RUN", "me")
    EndProcesses("me").perform()
    assert os.getpid()
