"""`chappe migrate`, on a SQLite file: what it says, what it leaves alone, and how it ends."""

from __future__ import annotations

import json
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner, Result

from chappe.cli.exits import ExitCode
from chappe.cli.main import app
from chappe.stores.cassandra.migrate import known
from chappe.stores.folder import open_data_folder
from chappe.stores.sql.schema import SCHEMA_VERSION
from tests.chappe.stores.cassandra.cluster import settings_of
from tests.services import Services, services

__all__ = ["services"]  # a fixture: pytest finds it here


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHAPPE_NODE_STORES__DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def migrate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["migrate", *arguments])


def report(*arguments: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(migrate("--json", *arguments).stdout)
    return cast("dict[str, Any]", result["stores"][0])


def test_checking_makes_nothing(data: Path) -> None:
    result = migrate("--check")
    assert result.exit_code == ExitCode.FAILED
    first, *missing = result.stdout.splitlines()
    assert first == f"users (sqlite): schema 0, 0 applied, {SCHEMA_VERSION} missing"
    assert missing[0].split() == [
        "missing",
        "0001",
        *["The", "first", "tables:", "accounts,", "devices,", "keys", "and", "contacts"],
    ]
    assert not data.exists()


def test_migrating_once_is_enough(data: Path) -> None:
    done = report()
    assert (done["store"], done["engine"], done["schema"], done["missing"]) == (
        "users",
        "sqlite",
        SCHEMA_VERSION,
        [],
    )
    assert [one["number"] for one in done["applied"]] == list(range(1, SCHEMA_VERSION + 1))
    assert set(done["applied"][0]) == {"number", "title", "contract"}
    assert report()["applied"] == []
    assert migrate("--check").exit_code == ExitCode.OK
    assert (data / "users.sqlite").exists()


def test_a_schema_that_nobody_knows(data: Path) -> None:
    result = migrate("--to", str(SCHEMA_VERSION + 1))
    assert result.exit_code == ExitCode.USAGE
    [sentence] = result.stderr.splitlines()
    assert "install a newer one" in sentence
    with closing(sqlite3.connect(data / "users.sqlite")) as file:
        assert file.execute("SELECT * FROM sqlite_master").fetchall() == []


def test_the_folder_of_a_running_node_is_left_alone(data: Path) -> None:
    with open_data_folder(data):
        result = migrate()
        assert result.exit_code == ExitCode.STORE
        assert "in use" in result.stderr
    assert not (data / "users.sqlite").exists()


def test_a_database_that_does_not_answer(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAPPE_NODE_STORES__USERS_URL", "postgresql+psycopg://nobody:s3cret@127.0.0.1:9/x")
    for arguments in ((), ("--check",)):
        result = migrate(*arguments)
        assert result.exit_code == ExitCode.FAILED
        [sentence] = result.stderr.splitlines()
        assert "refused" in sentence
        assert "s3cret" not in sentence
    assert not data.exists()


def test_a_keyspace_is_made_and_brought_forward(
    data: Path, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    cassandra = settings_of(services)
    monkeypatch.setenv("CHAPPE_NODE_STORES__MESSAGES", "cassandra")
    monkeypatch.setenv("CHAPPE_NODE_CASSANDRA__HOSTS", json.dumps(cassandra.hosts))
    for key in ("port", "datacenter", "replicas"):
        monkeypatch.setenv(f"CHAPPE_NODE_CASSANDRA__{key.upper()}", str(getattr(cassandra, key)))
    monkeypatch.setenv("CHAPPE_NODE_CASSANDRA__KEYSPACE", f"chappe_cli_{secrets.token_hex(4)}")
    newest = known()[-1].number
    assert f"messages (cassandra): schema 0, 0 applied, {newest} missing" in migrate("--check").stdout
    assert f"messages (cassandra): schema {newest}, {newest} applied, 0 missing" in migrate().stdout
    assert migrate("--check").exit_code == ExitCode.OK
    monkeypatch.setenv("CHAPPE_NODE_STORES__LOG_DAYS", "90")
    assert "  adjusted  chatlog is compacted in windows of 3 days" in migrate().stdout.splitlines()
    assert "adjusted" not in migrate().stdout
    monkeypatch.setenv("CHAPPE_NODE_CASSANDRA__PORT", "9")
    result = migrate("--check")
    assert result.exit_code == ExitCode.FAILED
    [sentence] = result.stderr.splitlines()
    assert "Cassandra" in sentence
