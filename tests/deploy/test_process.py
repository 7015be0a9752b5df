"""Processes are found again, signalled only if they are the same, and stopped for certain."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.services import Identity, NotReady, Server
from deploy.services.process import Recipe

ROOT = Path(__file__).parents[2]
Start = Callable[[str], Server]

# Each says that it is ready by making a file, so that no test guesses how long a start takes.
GOOD = "open('ready', 'w').close(); import signal; signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {GOOD}; signal.pause()"
PARENT = "import os; os.fork() and open('ready', 'w').close(); import signal; signal.pause()"
POLITE = (
    "import signal, sys; "
    "signal.signal(signal.SIGTERM, lambda *_: (open('goodbye', 'w').close(), sys.exit())); "
    f"{GOOD}"
)
# Starts a server, and buries it a while after its death only, as the init of a container may.
SLOW_PARENT = """
import os, sys, time
from pathlib import Path
from deploy.services import Server
from deploy.services.process import Recipe
server = Server("small", Path(sys.argv[1]), Recipe(lambda: sys.argv[2:], lambda: None))
server.start()
print(flush=True)
pid = server.identity.pid
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
time.sleep(0.3)
os.waitpid(pid, 0)
"""
FAILING = "import sys; sys.exit('no space left')"


def argv(program: str, folder: Path) -> list[str]:
    return [sys.executable, "-c", f"import os; os.chdir({str(folder)!r}); {program}"]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Start]:
    made: list[Server] = []

    def server(program: str) -> Server:
        ready = tmp_path / "ready"
        ask = lambda: None if ready.exists() else "not yet"  # noqa: E731
        made.append(Server("small", tmp_path, Recipe(lambda: argv(program, tmp_path), ask)))
        return made[-1]

    yield server
    for one in made:
        one.kill()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def eventually(claim: Callable[[], bool]) -> bool:
    """Whether it becomes true within ten seconds: the kernel delivers signals when it comes to it."""
    deadline = time.monotonic() + 10
    while not claim() and time.monotonic() < deadline:
        time.sleep(0.001)
    return claim()


def running(server: Server) -> Identity:
    identity = server.identity
    assert identity is not None
    return identity


def test_a_server_is_started_once_and_found_again(make: Start) -> None:
    server = make(GOOD)
    assert server.start()
    server.wait_ready()
    assert not server.start()
    again = make(GOOD)
    assert again.identity == server.identity
    assert again.is_ready


def test_a_stopped_server_leaves_nothing(make: Start) -> None:
    server = make(GOOD)
    server.start()
    server.wait_ready()
    pid = running(server).pid
    assert server.stop()
    assert not Path(f"/proc/{pid}").exists()
    assert server.identity is None
    assert not server.stop()


def test_who_ignores_the_request_is_killed(make: Start) -> None:
    server = make(STUBBORN)
    server.start()
    server.wait_ready()
    identity = running(server)
    assert not identity.wait(0.0)
    identity.signal(signal.SIGTERM)
    assert identity.is_alive()
    assert server.stop(grace_s=0.05)
    assert not identity.is_alive()


def test_another_process_with_the_same_pid_is_left_alone(make: Start) -> None:
    server = make(GOOD)
    server.start()
    identity = running(server)
    for earlier in (
        dataclasses.replace(identity, started=identity.started - 1),
        dataclasses.replace(identity, boot="another"),
    ):
        assert not earlier.is_alive()
        assert not earlier.signal(signal.SIGKILL)
    assert identity.is_alive()


def test_a_dead_process_gets_no_signal(make: Start) -> None:
    server = make(GOOD)
    server.start()
    identity = running(server)
    assert server.kill()
    assert not identity.signal(0)
    assert identity.wait(0.0)


def test_a_frozen_server_stands_still_with_its_children(make: Start) -> None:
    server = make(PARENT)
    server.start()
    server.wait_ready()
    parent = running(server).pid
    [child] = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    try:
        server.freeze()
        assert all(eventually(lambda pid=pid: state(pid) == "T") for pid in (parent, int(child)))
        server.thaw()
        assert all(eventually(lambda pid=pid: state(pid) != "T") for pid in (parent, int(child)))
    finally:
        os.kill(int(child), signal.SIGKILL)


def test_a_frozen_server_is_stopped_in_good_order(make: Start, tmp_path: Path) -> None:
    server = make(POLITE)
    server.start()
    server.wait_ready()
    server.freeze()
    assert server.stop()
    assert (tmp_path / "goodbye").exists()


def test_a_start_waits_until_the_remains_of_the_last_one_are_buried(make: Start, tmp_path: Path) -> None:
    words = [sys.executable, "-c", SLOW_PARENT, str(tmp_path), *argv(GOOD, tmp_path)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        server = make(GOOD)
        remains = Path(f"/proc/{running(server).pid}")
        server.kill()
        assert remains.exists()
        assert server.start()
        assert not remains.exists()


def test_who_does_not_run_cannot_be_frozen(make: Start) -> None:
    with pytest.raises(NotReady, match="small does not run"):
        make(GOOD).freeze()


def test_a_start_that_fails_tells_what_the_server_said_this_time(make: Start, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("an old line\n")
    server = make(FAILING)
    server.start()
    with pytest.raises(NotReady, match=r"small ended while it started: no space left \(all of it: .*/log\)"):
        server.wait_ready()


def test_a_start_has_an_end(tmp_path: Path) -> None:
    server = Server("slow", tmp_path, Recipe(lambda: argv(GOOD, tmp_path), lambda: "not yet", ready_s=0.0))
    server.start()
    try:
        with pytest.raises(NotReady, match=r"slow is not ready after 0 s: not yet; see .*/log"):
            server.wait_ready()
    finally:
        server.kill()
