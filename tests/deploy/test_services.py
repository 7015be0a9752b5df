"""PostgreSQL and Redis for real, and the command line over them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.services import NAMES, Fleet, Misused, NotReady, Unavailable, Wishes
from deploy.services.__main__ import main

from ..services import Services, leave_out

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.system

Command = Callable[..., int]


@pytest.fixture(scope="module", autouse=True)
def _can_be_had(tmp_path_factory: pytest.TempPathFactory) -> None:
    fleet = Fleet(tmp_path_factory.mktemp("nothing"))
    for name in ("postgres", "redis"):
        try:
            fleet[name].check()
        except Unavailable as error:
            leave_out(str(error))


@pytest.fixture
def command(place: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    def run(*words: str) -> int:
        # The program takes SIGTERM for itself; the tests' process keeps what it has.
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        try:
            return main([words[0], "--folder", str(place), *words[1:]])
        finally:
            monkeypatch.undo()

    return run


def pids(fleet: Fleet) -> dict[str, int | None]:
    return {name: one["servers"][0]["pid"] for name, one in fleet.status().items()}


def sql(fleet: Fleet, statement: str) -> list[Any]:
    url = fleet.postgres.address["url"].replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_up_twice_is_up_once_and_down_keeps_the_data(place: Path) -> None:
    fleet = Fleet(place)
    fleet.up(["postgres", "redis"])
    before = fleet.status()
    fleet.up(["postgres", "redis"])
    assert fleet.status() == before
    assert all(server["ready"] for service in before.values() for server in service["servers"])
    assert json.loads((place / "state.json").read_text()) == before
    assert (place / "state.json").stat().st_mode & 0o077 == 0

    sql(fleet, "CREATE TABLE kept AS SELECT 42 AS answer")
    fleet.down()
    assert pids(fleet) == {"postgres": None, "redis": None}
    fleet.down()
    again = Fleet(place)
    again.up(["postgres"])
    assert again.postgres.address == fleet.postgres.address
    assert sql(again, "SELECT answer FROM kept") == [(42,)]


def test_what_crashed_comes_back_alone_with_what_was_committed(place: Path) -> None:
    fleet = Fleet(place)
    fleet.up(["postgres", "redis"])
    before = pids(fleet)
    sql(fleet, "CREATE TABLE kept AS SELECT 42 AS answer")
    fleet.postgres.servers[0].kill()
    assert pids(fleet) == before | {"postgres": None}
    fleet.up(["postgres", "redis"])
    assert sql(fleet, "SELECT answer FROM kept") == [(42,)]
    after = pids(fleet)
    assert after["redis"] == before["redis"]
    assert after["postgres"] != before["postgres"]


def test_a_crash_of_postgres_under_a_client_that_works_is_no_trouble(place: Path) -> None:
    fleet = Fleet(place)
    fleet.up(["postgres"])
    url = fleet.postgres.address["url"].replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE half AS SELECT generate_series(1, 1000)")
        fleet.postgres.servers[0].kill()
        fleet.up(["postgres"])
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert sql(fleet, "SELECT to_regclass('half')") == [(None,)]


def test_postgres_waits_for_the_disk_and_keeps_strangers_out(services: Services) -> None:
    fleet = services("postgres")
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert sql(fleet, f"SHOW {setting}") == [("on",)]
    assert sql(fleet, "SHOW listen_addresses") == [("127.0.0.1",)]
    url = fleet.postgres.address["url"].replace("+psycopg", "")
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(psycopg.conninfo.make_conninfo(url, password="a guess"))


def test_a_port_that_was_asked_for_is_taken_and_kept(place: Path) -> None:
    free = Fleet(place)
    free.up(["redis"])
    port = free.redis.settings["port"]
    other = port + 1 if port < 31_999 else port - 1
    with pytest.raises(Misused, match=f"redis runs on port {port}"):
        Fleet(place, Wishes(ports={"redis": other})).up(["redis"])
    free.down()
    Fleet(place, Wishes(ports={"redis": other})).up(["redis"])
    assert Fleet(place).status()["redis"]["url"] == f"redis://127.0.0.1:{other}/0"


def test_a_start_that_fails_takes_down_what_it_started_and_nothing_else(place: Path) -> None:
    fleet = Fleet(place)
    fleet.up(["redis"])
    before = pids(fleet)["redis"]
    fleet.up(["postgres"])
    fleet.down(["postgres"])
    (place / "postgres" / "data" / "postgresql.conf").write_text("shared_buffers = nonsense\n")
    with pytest.raises(NotReady, match=r"postgres ended while it started: .*nonsense"):
        Fleet(place).up(["postgres", "redis"])
    assert pids(fleet) == {"postgres": None, "redis": before}

    fleet.down(["redis"])
    with pytest.raises(NotReady):
        fleet.up(["postgres", "redis"])
    assert pids(fleet) == {"postgres": None, "redis": None}


def test_an_interrupted_up_leaves_nothing_running(place: Path) -> None:
    # PostgreSQL starts but takes nobody in: it waits for a base backup's log that does not come.
    fleet = Fleet(place)
    fleet.up(["postgres"])
    fleet.down()
    (place / "postgres" / "data" / "standby.signal").touch()
    with (place / "postgres" / "data" / "postgresql.conf").open("a") as file:
        file.write("hot_standby = off\n")
    words = [
        sys.executable,
        "-m",
        "deploy.services",
        "up",
        "--only",
        "postgres,redis",
        "--folder",
        str(place),
    ]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert [process.stderr.readline() for _ in range(2)] == ["redis: starting\n", "postgres: starting\n"]
        while not fleet.postgres.servers[0].identity:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert pids(fleet) == {"postgres": None, "redis": None}


def test_the_command_line_does_it_all(
    command: Command, capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    assert command("status", "--only", "redis") == 1
    assert capsys.readouterr().out == "redis      never started here\n"
    assert command("up", "--only", "redis", "--json") == 0
    out, err = capsys.readouterr()
    [redis] = json.loads(out).values()
    assert err.startswith("redis: starting\nredis: ready after ")
    assert command("up", "--only", "redis") == 0
    assert capsys.readouterr().err.startswith("redis: ready after ")
    assert command("restart", "--only", "redis") == 0
    assert capsys.readouterr().out == f"redis      {redis['url']}\n"
    assert command("status", "--only", "redis") == 0
    assert Fleet(place).redis.servers[0].kill()
    assert command("status", "--only", "redis") == 1
    assert capsys.readouterr().out.endswith(f"{redis['url']}  (redis is down)\n")
    assert command("nodetool", "status") == 2
    assert command("down", "--wipe") == 0
    assert not (place / "redis").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            ["up", "--only", "mysql"],
            "no service is called 'mysql'; there are postgres, redis, prometheus, alertmanager, cassandra",
        ),
        (["up", "--scrape", "127.0.0.1:7401"], "is not like http://"),
        (["up", "--pace", "1000"], "no number from 1 to 300"),
        (["up", "--port", "redis"], "'redis' is not like postgres=5433"),
        (["up", "--cassandra-nodes", "2"], "invalid choice"),
        ([], "COMMAND"),
    ],
)
def test_a_wrong_command_line_is_refused(
    words: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert why in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_what_is_missing_is_named_with_the_package_to_install(
    name: str,
    command: Command,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    place: Path,
) -> None:
    empty = place / "empty"
    found = Path.glob
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(empty))
        patch.delenv("JAVA_HOME", raising=False)
        patch.setattr(
            Path,
            "glob",
            lambda path, pattern: () if str(path).startswith("/usr/lib") else found(path, pattern),
        )
        with pytest.raises(Unavailable, match=r"not installed; on Debian: apt-get install [a-z0-9-]+\.$"):
            Fleet(place, Wishes(jars=empty)).up([name])
    assert not place.exists()
    place.mkdir()


def test_a_folder_that_the_user_of_postgres_cannot_enter_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has to become somebody else")
    (tmp_path / "closed").mkdir(mode=0o700)
    with pytest.raises(Unavailable, match=r"who cannot enter .*--folder"):
        Fleet(tmp_path / "closed").up(["postgres"])


def test_a_strict_umask_does_not_keep_postgres_from_its_data(place: Path) -> None:
    before = os.umask(0o077)
    try:
        Fleet(place).up(["postgres"])
    finally:
        os.umask(before)
    assert Fleet(place).postgres.is_running


def test_a_folder_of_somebody_else_is_refused(place: Path) -> None:
    (place.parent / place.name).mkdir()
    link = place / "link"
    link.symlink_to(place)
    with pytest.raises(Unavailable, match="belongs to somebody else"):
        Fleet(link).up(["redis"])
