"""The parent's rules, on real processes that speak the link's protocol."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from chappe.cli.exits import ExitCode
from chappe.cli.picture import TreeNode
from chappe.fleet.worker import Job, Ready, Worker, WorkerEnded

from .fleets import PATIENCE_S, fleet, is_alive, until_gone

pytestmark = pytest.mark.system


async def test_a_killed_worker_is_back_and_the_others_never_stopped(tmp_path: Path) -> None:
    async with fleet(tmp_path, 2) as running:
        before = await running.crew(2)
        os.kill(before["worker-1"], signal.SIGKILL)
        await until_gone(before["worker-1"])
        with trio.fail_after(PATIENCE_S):
            while (after := await running.crew(2))["worker-1"] == before["worker-1"]:
                pass
        assert after["worker-2"] == before["worker-2"]
        assert await running.restarts() == 1
        assert "was ended by SIGKILL" in running.logged


async def test_a_worker_that_ends_by_itself_is_back_too(tmp_path: Path) -> None:
    async with fleet(tmp_path, 1) as running:
        [first] = (await running.crew(1)).values()
        os.kill(first, signal.SIGTERM)  # it drains and ends with 0, but nobody here asked it to
        await until_gone(first)
        await running.ready(1)
        [second] = (await running.crew(1)).values()
        assert (first in running.drained(), second != first) == (True, True)


async def test_a_frozen_worker_is_replaced(tmp_path: Path) -> None:
    # Long enough for the other one to beat in time, however busy the machine is.
    async with fleet(tmp_path, 2, silent_s=12.0) as running:
        before = await running.crew(2)
        os.kill(before["worker-2"], signal.SIGSTOP)
        await until_gone(before["worker-2"])
        await running.ready(2)
        assert "was silent for 12 s" in running.logged
        assert (await running.crew(2))["worker-1"] == before["worker-1"]


async def test_the_time_to_begin_is_no_silence() -> None:
    speaks_late = "import socket, time; time.sleep(1); socket.socket(fileno=0).sendall(b'ready 4242\\n')"
    job = Job([sys.executable, "-c", speaks_late], dict(os.environ), b"", silent_s=0.01)
    worker = Worker("worker-1", job)
    started: list[Ready] = []
    with pytest.RaisesGroup(WorkerEnded, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            started.append(await nursery.start(worker.run))
    assert [ready.http_port for ready in started] == [4242]


async def test_the_end_of_the_parent_is_that_of_its_workers(tmp_path: Path) -> None:
    async with fleet(tmp_path, 2) as running:
        pids = set((await running.crew(2)).values())
        running.process.kill()
        await until_gone(*pids)
        assert running.drained() == pids


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_drains_all_at_once(tmp_path: Path, number: signal.Signals) -> None:
    async with fleet(tmp_path, 3) as running:
        pids = set((await running.crew(3)).values())
        running.process.send_signal(number)
        running.process.send_signal(number)  # an impatient second one changes nothing
        assert await running.ended() == ExitCode.OK
        assert running.drained() == pids
        assert not any(map(is_alive, pids))


async def test_a_stop_while_workers_start_is_a_stop(tmp_path: Path) -> None:
    async with fleet(tmp_path, 2) as running:
        with trio.fail_after(PATIENCE_S):
            while True:  # it answers before its workers do
                with suppress(OSError):
                    if (await running.get("/readyz"))[0] == 503:
                        break
        running.process.terminate()
        assert await running.ended() == ExitCode.OK
        assert "crashed" not in running.logged


async def test_a_worker_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    async with fleet(tmp_path, 1, stop_s=1.0) as running:
        [pid] = (await running.crew(1)).values()
        os.kill(pid, signal.SIGSTOP)
        running.process.terminate()
        assert await running.ended() == ExitCode.OK
        assert (is_alive(pid), running.drained()) == (False, set())


async def test_workers_are_replaced_one_by_one_and_the_port_is_never_closed(tmp_path: Path) -> None:
    async with fleet(tmp_path, 2) as running:
        before = await running.crew(2)
        answered, refused, in_a_row = 0, 0, 0

        async def knock(*, task_status: trio.TaskStatus[None]) -> None:
            nonlocal answered, refused, in_a_row
            task_status.started()
            while True:
                try:
                    stream = await trio.open_tcp_stream("127.0.0.1", running.port)
                except OSError:
                    in_a_row += 1
                    refused = max(refused, in_a_row)
                else:
                    answered, in_a_row = answered + 1, 0
                    await stream.aclose()
                await trio.sleep(0.002)

        async with trio.open_nursery() as nursery:
            await nursery.start(knock)
            for _ in range(2):
                running.process.send_signal(signal.SIGHUP)
                with trio.fail_after(PATIENCE_S):
                    while any(map(is_alive, before.values())):
                        alive = json.loads((await running.get("/targets"))[1])
                        assert len(alive) >= 3  # the parent and two workers, at any moment
                await until_gone(*before.values())
                await running.ready(2)
                after = await running.crew(2)
                assert set(before.values()).isdisjoint(after.values())
                assert set(before.values()) <= running.drained()
                before = after
            nursery.cancel_scope.cancel()
        # The kernel resets who is in the middle of a handshake with the very socket that closes; the next try succeeds.
        assert (refused <= 1, answered > 100) == (True, True)
        assert await running.restarts() == 0  # to replace is not to crash
        assert set(before) <= {"worker-1", "worker-2", "worker-3"}


async def test_a_replacement_that_does_not_start_leaves_the_old_ones(tmp_path: Path) -> None:
    async with fleet(tmp_path, 2) as running:
        before = await running.crew(2)
        (tmp_path / "all.start").touch()
        running.process.send_signal(signal.SIGHUP)
        with trio.fail_after(PATIENCE_S):
            while "replacement_failed" not in running.logged:  # noqa: ASYNC110 - in another process
                await trio.sleep(0.05)
        assert await running.crew(2) == before
        (tmp_path / "all.start").unlink()
        running.process.send_signal(signal.SIGHUP)
        await until_gone(*before.values())


async def test_a_storm_of_restarts_ends_the_parent(tmp_path: Path) -> None:
    (tmp_path / "all.crash").touch()
    async with fleet(tmp_path, 2) as running:
        assert await running.ended() == ExitCode.FAILED
        assert running.logged.count("child_restarted") <= 10  # five for each worker
        assert "ended with exit code 9" in running.logged.splitlines()[-1]


@pytest.mark.slow  # the waits between ten tries
async def test_one_that_never_comes_up_ends_the_parent_and_the_others_drain(tmp_path: Path) -> None:
    (tmp_path / "worker-2.crash").touch()
    async with fleet(tmp_path, 2) as running:
        steady = (await running.crew(1))["worker-1"]
        assert await running.ended() == ExitCode.FAILED
        last = running.logged.splitlines()[-1]
        assert "The workers cannot be kept running: worker-2" in last
        assert "ended with exit code 9" in last
        assert (is_alive(steady), steady in running.drained()) == (False, True)


async def test_a_first_start_that_fails_ends_the_parent(tmp_path: Path) -> None:
    (tmp_path / "all.start").touch()
    async with fleet(tmp_path, 2) as running:
        assert await running.ended() == ExitCode.FAILED
        assert "ended with exit code 7" in running.logged.splitlines()[-1]


async def test_what_operators_see(tmp_path: Path) -> None:
    async with fleet(tmp_path, 2) as running:
        await running.ready(2)
        assert await running.get("/healthz") == (200, "ok\n")
        assert await running.get("/readyz") == (200, "ready\n")
        tree = json.loads((await running.get("/tree?format=json"))[1])
        assert {
            child["name"]: [inner["name"] for inner in child["children"]] for child in tree["children"]
        } == {
            "http": [],
            "roster": [],
            "worker-1": ["node"],
            "worker-2": ["node"],
        }
        assert set(TreeNode.__struct_fields__) == set(tree)  # so `chappe top` reads it
        assert "└─ node" in (await running.get("/tree"))[1]
        metrics = (await running.get("/metrics"))[1]
        assert "chappe_workers 2.0" in metrics
        targets = json.loads((await running.get("/targets"))[1])
        assert [target["labels"] for target in targets] == [
            {"__metrics_path__": "/metrics", "node": "here", "worker": "parent"},
            {"__metrics_path__": "/metrics/worker-1", "node": "here", "worker": "worker-1"},
            {"__metrics_path__": "/metrics/worker-2", "node": "here", "worker": "worker-2"},
        ]
        assert [target["targets"] for target in targets] == [["x"]] * 3  # where it was asked
        assert await running.get("/metrics/worker-1") == (
            200,
            "ready\n",
        )  # what the stand-in says to everything
        assert (await running.get("/metrics/worker-3"))[0] == 404


async def test_one_ready_worker_is_enough_and_the_others_problems_are_listed(tmp_path: Path) -> None:
    async with fleet(tmp_path, 2) as running:
        before = await running.crew(2)
        (tmp_path / "worker-1.unready").touch()
        assert await running.get("/readyz") == (200, "ready\nworker-1: The store is away.\n")
        os.kill(before["worker-2"], signal.SIGSTOP)
        status, body = await running.get("/readyz")
        assert (status, body.splitlines()[0]) == (503, "No worker is ready.")
        assert "worker-2: It does not answer." in body
        assert '"worker-2"' in (await running.get("/tree?format=json"))[1]  # shown all the same
