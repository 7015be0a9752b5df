"""`chappe store`: what it prints, and how it ends. What it finds is tested in `tests/chappe/stores/survey`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio
from typer.testing import CliRunner, Result

from chappe.cli.exits import ExitCode
from chappe.cli.main import app
from chappe.cli.output import iso
from chappe.ids import floor_id, millis
from chappe.settings import Cassandra as CassandraSettings
from chappe.stores.folder import open_data_folder
from chappe.stores.sqlite.messages import open_message_store
from chappe.stores.survey.rules import Fault
from tests.chappe.stores.cassandra.cluster import empty, migrated, opened, settings_of
from tests.chappe.stores.survey.world import World, populate
from tests.contracts import samples
from tests.services import Services, services

__all__ = ["services"]  # a fixture: pytest finds it here


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two people who said something longer than W + S ago, in the data folder of the settings."""
    monkeypatch.setenv("CHAPPE_NODE_STORES__DATA", str(tmp_path))
    return trio.run(populated, tmp_path)


async def populated(tmp_path: Path) -> World:
    world = await populate(f"sqlite:///{tmp_path}/users.sqlite")
    at_ms = time.time_ns() // 1_000_000 - 60_000
    world.said = [
        samples.message(world.conv, world.laptop, world.phone, at=floor_id(at_ms + n)) for n in range(30)
    ]
    async with open_message_store(tmp_path / "messages.sqlite") as store:
        await store.append(world.said, [])
        await store.settle()
    return world


def store(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["store", *arguments])


def lose_a_message(folder: Path, world: World) -> None:
    with closing(sqlite3.connect(folder / "messages.sqlite")) as file, file:
        file.execute("DELETE FROM chatlog WHERE id = ?", (world.said[0].id,))


def test_a_clean_store(world: World, tmp_path: Path) -> None:
    with open_data_folder(tmp_path):  # as a running node holds it
        result = store("check")
    assert (result.exit_code, result.stderr) == (ExitCode.OK, "")
    assert result.stdout.splitlines() == [
        "read: 60 rows of inbox, 30 rows of chatlog, 0 rows of receipts",
        "clean",
    ]


def test_what_is_broken_ends_with_1_and_shows_ids_only(world: World, tmp_path: Path) -> None:
    lose_a_message(tmp_path, world)
    result = store("check")
    assert result.exit_code == ExitCode.FAILED
    assert "broken  2 inbox rows whose message is not in the chat log" in result.stdout
    assert f"id={world.said[0].id.hex()}" in result.stdout
    assert "not clean" in result.stdout
    assert "ciphertext" not in result.stdout
    assert b"ciphertext".hex() not in result.stdout
    found: dict[str, Any] = json.loads(store("check", "--json").stdout)
    assert found["clean"] is False
    assert found["rows"] == {"inbox": 60, "chatlog": 29, "receipts": 0}
    assert found["faults"]["no_log_row"]["count"] == 2
    assert {one["id"] for one in found["faults"]["no_log_row"]["examples"]} == {world.said[0].id.hex()}
    assert found["faults"]["wrong_day"] == {"broken": True, "count": 0, "repaired": 0, "examples": []}


def test_stats(world: World) -> None:
    said: dict[str, Any] = json.loads(store("stats", "--json").stdout)
    assert said["messages"]["engine"] == "sqlite"
    assert said["messages"]["is_estimate"] is False
    assert said["messages"]["tables"][1]["rows"] == 30
    assert said["users"]["accounts"] == 2
    assert said["messages"]["newest"] == iso(millis(world.said[-1].id))
    text = store("stats")
    assert text.exit_code == ExitCode.OK
    assert f"table=chatlog key={world.conv.hex()} rows=30" in text.stdout
    assert "prekeys_left_per_device: of=2 p50=4 p99=4 max=4" in text.stdout


def test_a_backup_can_be_put_in_place_and_is_whole(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "backups" / "today"
    with open_data_folder(tmp_path):  # as a running node holds it
        result = store("backup", str(target), "--json")
        assert store("restored").exit_code == ExitCode.STORE
    assert (result.exit_code, result.stderr) == (ExitCode.OK, "")
    said = json.loads(result.stdout)
    assert [one["store"] for one in said["files"]] == ["messages", "users"]
    assert all(Path(one["file"]).stat().st_size == one["bytes"] for one in said["files"])
    again = store("backup", str(target))
    assert (again.exit_code, "overwrites nothing" in again.stderr) == (ExitCode.USAGE, True)
    monkeypatch.setenv("CHAPPE_NODE_STORES__DATA", str(target))
    assert json.loads(store("check", "--json").stdout)["rows"] == {"inbox": 60, "chatlog": 30, "receipts": 0}
    done = json.loads(store("restored", "--json").stdout)
    assert done["dropped_keys"] == 8  # two devices with four each
    assert json.loads(store("restored", "--json").stdout)["restored_at"] > done["restored_at"]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)]
)
def test_a_backup_that_is_ended_leaves_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: ExitCode
) -> None:
    monkeypatch.setattr("chappe.cli.output.Bar.at", lambda *_: os.kill(os.getpid(), number))
    before = signal.getsignal(signal.SIGTERM)
    assert store("backup", str(tmp_path / "backups" / "today")).exit_code == code
    assert list((tmp_path / "backups").iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("command", ["stats", "check", "restored"])
def test_where_there_is_no_store_none_is_made(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAPPE_NODE_STORES__DATA", str(tmp_path / "data"))
    result = store(command)
    assert result.exit_code == ExitCode.USAGE
    assert "--config" in result.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", ["stats", "check", "restored"])
def test_a_store_that_is_away_is_not_one_with_faults(
    world: World, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAPPE_NODE_STORES__USERS_URL", "postgresql+psycopg://nobody:s3cret@127.0.0.1:9/x")
    result = store(command)
    assert result.exit_code == ExitCode.UNREACHABLE
    [sentence] = result.stderr.splitlines()
    assert "s3cret" not in sentence


def test_the_page_says_what_every_fault_means() -> None:
    page = (Path(__file__).parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [fault.name for fault in Fault if f"`{fault.name.lower()}`" not in page] == []


@pytest.mark.system
def test_on_a_terminal_it_shows_how_far_it_is(world: World) -> None:
    ours, theirs = os.openpty()
    command = [str(Path(sys.executable).with_name("chappe")), "store", "check"]
    with subprocess.Popen(command, stderr=theirs, stdout=subprocess.PIPE, text=True) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # so Linux says that nobody has the other end any more
            while piece := os.read(ours, 65_536):
                shown += piece
        out, _ = process.communicate(timeout=60)
    os.close(ours)
    assert out.splitlines()[-1] == "clean"
    assert [table for table in (b"inbox", b"chatlog", b"receipts") if table not in shown] == []
    assert b"100 %" in shown
    assert b"60 rows" in shown


@pytest.mark.system
def test_ctrl_c_ends_it(world: World, tmp_path: Path) -> None:
    script = (
        "import chappe.stores.survey.sqlite as s; s.PAGE_ROWS = 1; from chappe.cli.main import run; run()"
    )
    command = [sys.executable, "-c", script, "store", "check", "--rate", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        # It reads a row a second, sixty of them: whenever the signal comes after the start, it is at work.
        while "users.sqlite" not in open_files(process.pid):
            time.sleep(0.02)
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (ExitCode.INTERRUPTED, "", "")


def open_files(pid: int) -> str:
    try:
        return " ".join(str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return ""


@pytest.fixture
def cluster(services: Services, monkeypatch: pytest.MonkeyPatch) -> CassandraSettings:
    """An empty keyspace, and settings that name it."""
    where = migrated(settings_of(services))
    empty(where)
    named = {
        "STORES__MESSAGES": "cassandra",
        "CASSANDRA__HOSTS": json.dumps(where.hosts),
        "CASSANDRA__PORT": str(where.port),
        "CASSANDRA__KEYSPACE": where.keyspace,
        "CASSANDRA__DATACENTER": where.datacenter,
    }
    for name, value in named.items():
        monkeypatch.setenv(f"CHAPPE_NODE_{name}", value)
    return where


def test_on_a_cluster(world: World, cluster: CassandraSettings) -> None:
    async def talk() -> None:
        async with opened(cluster) as messages:
            await messages.append(world.said, [])

    trio.run(talk)
    result = store("check", "--json", "--rate", "100000")
    assert result.exit_code == ExitCode.OK, result.output
    assert json.loads(result.stdout)["rows"] == {"inbox": 60, "chatlog": 30, "receipts": 0}
    narrow = store("check", "--partition-rows", "20")
    assert narrow.exit_code == ExitCode.FAILED
    assert "partitions over the limit of bytes or rows" in narrow.stdout
    said: dict[str, Any] = json.loads(store("stats", "--json").stdout)["messages"]
    assert (said["engine"], said["is_estimate"]) == ("cassandra", True)
    assert said["spreads"]["days_per_device"]["of"] == 2
    said = json.loads(store("stats", "--json", "--scan").stdout)["messages"]
    assert {one["table"]: one["rows"] for one in said["tables"]} == {
        "inbox": 60,
        "chatlog": 30,
        "receipts": 0,
    }
