"""The journal: nothing is done before it says how to undo it, and a killed runner leaves nothing that stays."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chaos import services
from chaos.cli import app
from chaos.journal import Journal, left_open
from chaos.undo import MARK, EndProcesses, EndServer, Room, Thaw, Unmount
from deploy.services import Identity
from deploy.services.process import Recipe, Server

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@contextmanager
def sleeper(mark: str = "") -> Iterator[tuple[subprocess.Popen[bytes], Identity]]:
    """Lend a process that does nothing."""
    with subprocess.Popen(SLEEP, env=os.environ | {MARK: mark}) as process:
        try:
            identity = Identity.of(process.pid)
            assert identity is not None
            yield process, identity
        finally:
            process.kill()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[0]


def wait_for(pid: int, *states: str) -> None:
    deadline = time.monotonic() + 30.0
    while state(pid) not in states:
        assert time.monotonic() < deadline, f"{pid} is {state(pid)}, not {states}"
        time.sleep(0.01)


def test_what_was_intended_is_in_the_file_until_it_is_undone(tmp_path: Path) -> None:
    journal = Journal.begin(tmp_path)
    first = journal.intend(EndProcesses("x"))
    journal.intend(Unmount("/nowhere"))
    journal.undone(first)
    loaded = Journal.load(journal.path)
    assert loaded.open == journal.open == [Unmount("/nowhere")]
    assert journal.roll_back() == []
    assert Journal.load(journal.path).open == []


def test_half_a_line_of_a_killed_runner_is_no_matter(tmp_path: Path) -> None:
    journal = Journal.begin(tmp_path)
    journal.intend(EndProcesses("x"))
    with journal.path.open("ab") as file:
        file.write(b'{"what": "undo", "num')
    assert Journal.load(journal.path).open == [EndProcesses("x")]


def test_the_newest_is_undone_first_and_a_failure_keeps_only_itself(tmp_path: Path) -> None:
    journal = Journal.begin(tmp_path)
    server = tmp_path / "process.json"
    server.write_text("no identity")
    with sleeper() as (process, identity):
        os.kill(process.pid, signal.SIGSTOP)
        wait_for(process.pid, "T")
        journal.intend(Thaw(*astuple(identity)))
        journal.intend(EndServer(str(server)))
        failed = journal.roll_back()
        assert len(failed) == 1
        assert failed[0].startswith("EndServer")
        assert journal.open == Journal.load(journal.path).open == [EndServer(str(server))]
        wait_for(process.pid, "S", "R")


def test_marked_processes_end_frozen_or_not_and_nobody_else_does() -> None:
    with sleeper("mine") as (_, one), sleeper("mine") as (_, two), sleeper("other") as (_, other):
        two.signal(signal.SIGSTOP)
        EndProcesses("mine").perform()
        assert not one.is_alive()
        assert not two.is_alive()
        assert other.is_alive()


def test_a_process_may_write_again() -> None:
    with sleeper() as (process, identity):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        Room(*astuple(identity)).perform()
        assert resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_pid_that_somebody_else_has_now_is_left_alone() -> None:
    with sleeper() as (process, identity):
        stranger = Identity(identity.pid, identity.started - 1, identity.boot)
        os.kill(process.pid, signal.SIGSTOP)
        wait_for(process.pid, "T")
        Thaw(*astuple(stranger)).perform()
        assert state(process.pid) == "T"


KILLED = """
import os, signal, subprocess, sys
from dataclasses import astuple
from pathlib import Path
from chaos.journal import Journal
from chaos.undo import EndProcesses, Thaw
from deploy.services import Identity

journal = Journal.begin(Path(sys.argv[1]))
journal.intend(EndProcesses("orphans"))
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
child = subprocess.Popen(sleep, stdout=2, env=os.environ | {"%s": "orphans"})
journal.intend(Thaw(*astuple(Identity.of(child.pid))))
os.kill(child.pid, signal.SIGSTOP)
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_command_undoes_what_a_killed_runner_left(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    died = subprocess.run(
        [sys.executable, "-c", KILLED % MARK, str(tmp_path / "run")],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    orphan = int(died.stdout)
    assert Identity.of(orphan)
    assert len(left_open(tmp_path)) == 1
    refused = CliRunner().invoke(app, ["run", "node-killed", "--folder", str(tmp_path)])
    assert refused.exit_code == 2
    done = CliRunner().invoke(app, ["rollback", "--folder", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert not Identity.of(orphan)
    assert left_open(tmp_path) == []


def test_services_are_in_a_journal_of_their_command_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "NAMES", ())
    with services.services(None, tmp_path, str), services.services(None, tmp_path, str):
        journals = [Journal.load(path) for path in tmp_path.glob("services-*/journal.jsonl")]
        assert [len(journal.open) for journal in journals] == [1, 1]
        assert left_open(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_journal_whose_runner_lives_is_its_own_business(tmp_path: Path) -> None:
    Journal.begin(tmp_path).intend(EndProcesses("x"))
    assert left_open(tmp_path) == []


@pytest.mark.parametrize("is_up", [True, False])
def test_a_server_is_found_by_its_file(tmp_path: Path, *, is_up: bool) -> None:
    server = Server("sleep", tmp_path, Recipe(lambda: ["/bin/sleep", "600"], lambda: None))
    if is_up:
        server.start()
    EndServer(str(tmp_path / "process.json")).perform()
    assert server.identity is None
