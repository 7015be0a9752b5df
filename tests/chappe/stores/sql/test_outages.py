"""PostgreSQL that goes away, comes back, hangs or is asked too much: a typed error, and work goes on afterwards."""

from __future__ import annotations

import threading

import pytest
import trio
from sqlalchemy import Connection, text

from chappe.errors import SettingsError, StoreUnavailable
from chappe.stores.sql import engine
from chappe.stores.sql.engine import Database, migrate_database, open_database
from chappe.stores.sql.lanes import Lane
from chappe.stores.sql.users import SqlUserStore
from tests.contracts import samples

from ....services import Services


async def migrated(url: str) -> None:
    await trio.to_thread.run_sync(migrate_database, url)


async def works_again(users: SqlUserStore) -> int:
    """Ask until there is an answer; return how many calls failed before it."""
    for failed in range(20):
        try:
            await users.ping()
        except StoreUnavailable:
            continue
        return failed
    raise AssertionError("it did not recover")


@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_a_server_that_was_away_is_used_again(services: Services, postgres_url: str, how: str) -> None:
    await migrated(postgres_url)
    [server] = services("postgres").postgres.servers
    async with open_database(postgres_url) as database:
        users = SqlUserStore(database)
        kept, refused, later = [samples.registration() for _ in range(3)]
        await users.create_account(kept)
        async with trio.open_nursery() as nursery:  # so that the pool has more than one connection to lose
            for _ in range(5):
                nursery.start_soon(users.account, kept.account.user)
        await trio.to_thread.run_sync(server.stop if how == "stopped" else server.kill)
        try:
            for call in (users.ping, lambda: users.create_account(refused)):
                with pytest.raises(StoreUnavailable):
                    await call()
        finally:
            await trio.to_thread.run_sync(server.start)
            await trio.to_thread.run_sync(server.wait_ready)
        assert await works_again(users) <= 1
        assert await users.account(kept.account.user) == kept.account
        assert await users.account(refused.account.user) is None
        for registration in (refused, later):
            await users.create_account(registration)


async def test_connections_that_were_cut_off_cost_one_call_in_all(postgres_url: str) -> None:
    await migrated(postgres_url)
    others = text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'chappe' AND pid <> pg_backend_pid()"
    )
    together = threading.Barrier(3)

    def meet(connection: Connection) -> None:
        connection.execute(text("SELECT 1")).close()
        together.wait(20)

    async with open_database(postgres_url) as database:
        users = SqlUserStore(database)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(database.read, meet, Lane.KEYS)
        assert await database.read(lambda c: c.execute(others).scalar_one()) == 2
        failed = 0
        for _ in range(12):
            try:
                await users.ping()
            except StoreUnavailable:
                failed += 1
        assert failed <= 1


async def test_a_statement_has_a_deadline_of_its_own(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "STATEMENT_MS", 50)
    await migrated(postgres_url)
    async with open_database(postgres_url) as database:
        with pytest.raises(StoreUnavailable) as refused:
            await database.read(lambda c: c.execute(text("SELECT pg_sleep(4)")).close())
        assert "statement timeout" in str(refused.value.__cause__)
        await SqlUserStore(database).ping()


async def test_who_waits_for_a_lock_hears_so_in_time(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LOCK_MS", 50)
    await migrated(postgres_url)
    async with open_database(postgres_url) as database, trio.open_nursery() as nursery:
        held, give_back = trio.Event(), trio.Event()

        def hold(connection: Connection) -> None:
            connection.execute(text("LOCK TABLE accounts")).close()
            trio.from_thread.run_sync(held.set)
            trio.from_thread.run(give_back.wait)

        nursery.start_soon(database.write, hold)
        await held.wait()
        with pytest.raises(StoreUnavailable) as refused:
            await SqlUserStore(database).create_account(samples.registration())
        assert "lock timeout" in str(refused.value.__cause__)
        give_back.set()


async def test_a_process_that_froze_in_a_transaction_gives_its_locks_back(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrated(postgres_url)
    frozen, thawed = trio.Event(), trio.Event()

    def freeze(connection: Connection) -> None:
        connection.execute(text("LOCK TABLE accounts")).close()
        trio.from_thread.run_sync(frozen.set)
        trio.from_thread.run(thawed.wait)
        connection.execute(text("SELECT 1")).close()

    async def freeze_and_fail(database: Database) -> None:
        with pytest.raises(StoreUnavailable):
            await database.write(freeze)

    async with open_database(postgres_url) as other:
        monkeypatch.setattr(engine, "STATEMENT_MS", 100)
        async with open_database(postgres_url) as database, trio.open_nursery() as nursery:
            nursery.start_soon(freeze_and_fail, database)
            await frozen.wait()
            await SqlUserStore(other).create_account(samples.registration())
            thawed.set()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://root:s3cret@localhost/chappe", "mysql is no database"),
        ("postgresql+nothing://root:s3cret@localhost/chappe", "cannot be read"),
        ("s3cret", "cannot be read"),
    ],
)
async def test_a_url_that_cannot_be_used_is_refused_without_its_secrets(url: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as refused:
        async with open_database(url):
            pass
    assert "s3cret" not in str(refused.value)
