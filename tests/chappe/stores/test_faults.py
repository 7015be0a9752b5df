"""Disk full, locked, damaged, too new: a typed error, nothing half-written, and work goes on afterwards."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from chappe.errors import SettingsError, StoreUnavailable
from chappe.ids import FIRST_ID, ConversationId, DeviceId
from chappe.stores.sql import engine
from chappe.stores.sql.engine import open_database
from chappe.stores.sql.users import SqlUserStore
from chappe.stores.sqlite import database, staging
from chappe.stores.sqlite.messages import open_message_store
from tests.contracts import samples


@contextmanager
def disk_full_beyond(size: int) -> Iterator[None]:
    """Let the kernel refuse to make any file of this process larger than `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("rows", [64, 100_000], ids=["while moving", "while appending"])
async def test_a_full_disk_loses_nothing_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(staging, "GENERATION_ROWS", rows)
    conv, device = ConversationId(samples.new_id()), DeviceId(samples.new_id())
    stored, refused = [], 0
    async with open_message_store(tmp_path / "log") as store:
        with disk_full_beyond(1_000_000):
            for _ in range(60):
                batch = [samples.message(conv, device, body=bytes(1000)) for _ in range(20)]
                try:
                    await store.append(batch, [])
                    stored += batch
                except StoreUnavailable:
                    refused += 1
            if rows > 1000:
                with pytest.raises(StoreUnavailable):
                    await store.settle()
        assert refused > 5
        assert stored
        assert [row.id for row in await store.inbox(device, FIRST_ID, 5000)] == [m.id for m in stored]
        more = [samples.message(conv, device)]
        await store.append(more, [])
        await store.ping()
        stored += more
        assert [row.id for row in await store.history(conv, None, 5000)] == [m.id for m in reversed(stored)]
    async with open_message_store(tmp_path / "log") as store:
        assert [row.id for row in await store.inbox(device, FIRST_ID, 5000)] == [m.id for m in stored]
        await store.settle()
        assert [row.id for row in await store.inbox(device, FIRST_ID, 5000)] == [m.id for m in stored]


async def test_a_locked_file_is_a_typed_error_and_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_MS", 20)
    async with open_message_store(tmp_path / "log") as store:
        other = sqlite3.connect(tmp_path / "log", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        said = samples.message(ConversationId(samples.new_id()))
        for call in (store.ping, lambda: store.append([said], [])):
            with pytest.raises(StoreUnavailable):
                await call()
        assert await store.history(said.conv, None, 10) == []
        other.execute("ROLLBACK")
        other.close()
        await store.append([said], [])
        assert await store.history(said.conv, None, 10) == [samples.log_row(said)]


async def test_a_file_that_is_no_database_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"this is a letter, not a database " * 100)
    with pytest.raises(StoreUnavailable):
        async with open_message_store(tmp_path / "log"):
            pass
    with pytest.raises(StoreUnavailable):
        async with open_message_store(tmp_path / "no such folder" / "log"):
            pass


async def test_the_files_of_a_newer_chappe_are_left_alone(tmp_path: Path) -> None:
    async with open_message_store(tmp_path / "log"):
        pass
    connection = sqlite3.connect(tmp_path / "log")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SettingsError, match="schema 99"):
        async with open_message_store(tmp_path / "log"):
            pass

    url = f"sqlite:///{tmp_path}/users"
    async with open_database(url) as users:
        await users.write(lambda c: c.execute(text("UPDATE schema_version SET version = 99")).close())
    with pytest.raises(SettingsError, match="schema 99"):
        async with open_database(url):
            pass


@pytest.mark.parametrize(
    "url", ["sqlite:////no/such/folder/users", "postgresql+psycopg://nobody@127.0.0.1:1/x"]
)
async def test_a_database_that_cannot_be_reached_is_a_typed_error(url: str) -> None:
    with pytest.raises(StoreUnavailable):
        async with open_database(url):
            pass


async def test_sql_work_is_all_or_nothing_on_a_locked_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "STATEMENT_MS", 20)
    async with open_database(f"sqlite:///{tmp_path}/users") as opened:
        users = SqlUserStore(opened)
        other = sqlite3.connect(tmp_path / "users", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        registration = samples.registration()
        with pytest.raises(StoreUnavailable):
            await users.create_account(registration)
        other.execute("ROLLBACK")
        other.close()
        assert await users.account(registration.account.user) is None
        await users.create_account(registration)


async def test_a_bug_is_not_taken_for_an_outage_and_errors_tell_no_secrets(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path}/users") as opened:
        with pytest.raises(OperationalError) as failed:
            await opened.write(
                lambda c: c.execute(text("INSERT INTO nowhere VALUES (:hash)"), {"hash": "s3cret"}).close()
            )
    assert "s3cret" not in str(failed.value)


def test_a_transaction_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    connection = database.open_writer(tmp_path / "log")

    def fail_half_way() -> None:
        with database.transaction(connection):
            connection.execute("INSERT INTO journal (batch) VALUES (x'01')")
            connection.execute("INSERT INTO journal (batch) VALUES (?)", ())

    with pytest.raises(sqlite3.ProgrammingError):
        fail_half_way()
    with database.transaction(connection):
        connection.execute("INSERT INTO journal (batch) VALUES (x'02')")
    assert connection.execute("SELECT batch FROM journal").fetchall() == [(b"\x02",)]
    connection.close()
