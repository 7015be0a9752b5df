"""The schema's migrations: what they make, what they leave alone, and who may run them when."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect, select, text

from chappe.errors import SettingsError, StoreUnavailable
from chappe.stores.sql import engine, migrate, state
from chappe.stores.sql.engine import migrate_database, open_database, state_of_database
from chappe.stores.sql.schema import SCHEMA_VERSION, metadata
from chappe.stores.sql.state import State
from chappe.stores.sql.users import SqlUserStore

from .conftest import AddMigration
from .recording import FOLDER, record, recorded, replay
from .shape import shape_of, taken_away

ADDITIVE = (
    "ALTER TABLE accounts ADD COLUMN note VARCHAR(16)",
    "ALTER TABLE people ADD COLUMN level INTEGER NOT NULL DEFAULT 0",
    "CREATE TABLE extra (id INTEGER PRIMARY KEY)",
    "CREATE INDEX ix_devices_linked_ms ON devices (linked_ms)",
)
RELEASES = sorted({int(file.name.split(".")[0]) for file in FOLDER.iterdir()})


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    plain = create_engine(url)
    try:
        with plain.begin() as connection:
            yield connection
    finally:
        plain.dispose()


def engine_of(url: str) -> str:
    return url.partition(":")[0].partition("+")[0]


def send(url: str, release: int, *parts: int) -> None:
    """Send what the last release with that schema sent."""
    with connected(url) as connection:
        replay(connection, [one for one in recorded(release, engine_of(url)) if one.part in parts])


def rows_of(url: str) -> dict[tuple[str, str], list[str]]:
    """Return the contents of every column, sorted."""
    with connected(url) as connection:
        inspector = inspect(connection)
        return {
            (table, column["name"]): sorted(
                map(repr, connection.execute(text(f'SELECT "{column["name"]}" FROM "{table}"')).scalars())
            )
            for table in inspector.get_table_names()
            for column in inspector.get_columns(table)
        }


def test_migrations_are_numbered_without_gaps() -> None:
    assert [one.number for one in migrate.migrations()] == list(range(1, SCHEMA_VERSION + 1))
    assert all(one.title for one in migrate.migrations())


def test_together_they_make_the_tables_that_the_queries_are_stated_in(empty_url: str) -> None:
    before, applied = migrate_database(empty_url)
    assert before == State(0, 0)
    assert [one.number for one in applied] == list(range(1, SCHEMA_VERSION + 1))
    with connected(empty_url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_what_says_expand_takes_nothing_away(empty_url: str) -> None:
    for one in migrate.migrations():
        with connected(empty_url) as connection:
            before = shape_of(connection)
        migrate_database(empty_url, one.number)
        with connected(empty_url) as connection:
            assert one.is_contract or not list(taken_away(before, shape_of(connection))), one


@pytest.mark.parametrize(
    ("statement", "breaks"),
    [
        *((statement, None) for statement in ADDITIVE),
        ("DROP TABLE directs", "table directs is gone"),
        ("ALTER TABLE devices RENAME COLUMN name TO title", "column devices.name was"),
        ("ALTER TABLE contacts RENAME TO friends", "table contacts is gone"),
        ("CREATE UNIQUE INDEX u ON devices (name)", "devices: rule unique"),
    ],
)
def test_the_comparison_sees_what_would_break_an_older_release(
    empty_url: str, statement: str, breaks: str | None
) -> None:
    migrate_database(empty_url)
    with connected(empty_url) as connection:
        before = shape_of(connection)
        connection.execute(text(statement))
        found = list(taken_away(before, shape_of(connection)))
    assert (breaks is None) == (not found)
    assert breaks is None or any(one.startswith(breaks) for one in found)


def test_the_comparison_sees_stricter_columns(postgres_url: str) -> None:
    migrate_database(postgres_url)
    for statement in (
        "ALTER TABLE accounts ALTER COLUMN username TYPE VARCHAR(8)",
        "ALTER TABLE contacts ALTER COLUMN phone SET NOT NULL",
        "ALTER TABLE directs ADD COLUMN kind INTEGER NOT NULL",
        "ALTER TABLE people ADD CONSTRAINT c CHECK (last_seen_ms > 0)",
    ):
        with connected(postgres_url) as connection:
            before = shape_of(connection)
            connection.execute(text(statement))
            assert list(taken_away(before, shape_of(connection))), statement


def test_every_schema_that_a_release_had_was_recorded() -> None:
    assert list(range(1, max(SCHEMA_VERSION, 2))) == RELEASES


async def test_what_this_release_sends_can_be_recorded(empty_url: str, add_migration: AddMigration) -> None:
    add_migration(*ADDITIVE)
    sent = await record(empty_url)
    there = rows_of(empty_url)
    cascade = " CASCADE" if engine_of(empty_url) == "postgresql" else ""
    with connected(empty_url) as connection:
        for table in inspect(connection).get_table_names():
            connection.execute(text(f'DROP TABLE "{table}"{cascade}'))
        replay(connection, sent)
    assert rows_of(empty_url) == there


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("moment", ["in the middle", "before the first"])
def test_an_older_release_works_on_the_newest_schema(
    empty_url: str, add_migration: AddMigration, release: int, moment: str, tmp_path: Any
) -> None:
    send(empty_url, release, 0, 1)
    if moment == "in the middle":
        migrate_database(empty_url)
    else:
        newest = add_migration(*ADDITIVE)
        migrate_database(empty_url)
        assert state_of_database(empty_url) == State(newest, 1)
    send(empty_url, release, 2)
    if engine_of(empty_url) == "sqlite":
        alone = f"sqlite:///{tmp_path}/alone.sqlite"
        send(alone, release, 0, 1, 2)
        there = rows_of(empty_url)
        assert {name: there.get(name) for name in rows_of(alone)} == rows_of(alone)


def test_a_change_that_is_no_expansion_fails_an_older_release(
    empty_url: str, add_migration: AddMigration
) -> None:
    send(empty_url, 1, 0, 1)
    add_migration("ALTER TABLE devices RENAME COLUMN name TO title")
    migrate_database(empty_url)
    with pytest.raises(Exception, match="name"):
        send(empty_url, 1, 2)


async def test_a_database_from_before_the_migrations_is_taken_over(
    empty_url: str, add_migration: AddMigration
) -> None:
    send(empty_url, 1, 0, 1)
    before = rows_of(empty_url)
    newest = add_migration(*ADDITIVE)
    done = await trio.to_thread.run_sync(migrate_database, empty_url)
    assert done[0] == State(1, 1)
    assert [one.number for one in done[1]] == list(range(2, newest + 1))
    after = rows_of(empty_url)
    assert {name: after[name] for name in before} == before
    assert state_of_database(empty_url) == State(newest, 1)
    async with open_database(empty_url) as database:
        found = await SqlUserStore(database).account_by_name("zoë1")
        assert found is not None


def test_doing_it_again_changes_nothing(empty_url: str) -> None:
    migrate_database(empty_url)
    before = rows_of(empty_url)
    assert migrate_database(empty_url) == (State(SCHEMA_VERSION, 1), [])
    assert rows_of(empty_url) == before


def test_of_many_at_once_one_migrates_and_the_others_wait(
    empty_url: str, add_migration: AddMigration
) -> None:
    newest = add_migration(*ADDITIVE)
    together, applied, failed = threading.Barrier(6), [], []

    def run() -> None:
        together.wait(10)
        try:
            applied.append([one.number for one in migrate_database(empty_url)[1]])
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert sorted(applied) == [[]] * 5 + [list(range(1, newest + 1))]


def test_one_that_fails_leaves_nothing_and_can_be_repeated(
    empty_url: str, add_migration: AddMigration, tmp_path: Any
) -> None:
    migrate_database(empty_url)
    number = add_migration("CREATE TABLE half (id INTEGER)", "raise RuntimeError('half-way')")
    before = rows_of(empty_url)
    with pytest.raises(RuntimeError, match="half-way"):
        migrate_database(empty_url)
    assert rows_of(empty_url) == before
    file = migrate.MIGRATIONS / "versions" / f"schema_{number:04}.py"
    file.write_text(file.read_text().replace("raise RuntimeError('half-way')", "pass"))
    assert [one.number for one in migrate_database(empty_url)[1]] == [number]


def test_nothing_runs_backwards_or_beyond_what_is_known(empty_url: str, add_migration: AddMigration) -> None:
    newest = add_migration(*ADDITIVE)
    migrate_database(empty_url)
    with pytest.raises(SettingsError, match="only go forwards"):
        migrate_database(empty_url, newest - 1)
    with pytest.raises(SettingsError, match=f"knows schemas up to {newest}"):
        migrate_database(empty_url, newest + 1)
    assert state_of_database(empty_url).found == newest


def test_one_can_stop_on_the_way(empty_url: str, add_migration: AddMigration) -> None:
    newest = add_migration(*ADDITIVE)
    migrate_database(empty_url, newest - 1)
    assert state_of_database(empty_url) == State(newest - 1, 1)
    assert [one.number for one in migrate_database(empty_url)[1]] == [newest]


async def test_postgresql_is_not_changed_by_a_node(postgres_url: str, add_migration: AddMigration) -> None:
    with pytest.raises(SettingsError, match=r"is empty .* run `chappe migrate`"):
        async with open_database(postgres_url):
            pass
    assert state_of_database(postgres_url) == State(0, 0)
    await trio.to_thread.run_sync(migrate_database, postgres_url)
    async with open_database(postgres_url):
        pass
    add_migration(*ADDITIVE)
    with pytest.raises(SettingsError, match="run `chappe migrate`"):
        async with open_database(postgres_url):
            pass


async def test_a_sqlite_file_is_brought_forward_by_the_node(
    tmp_path: Any, add_migration: AddMigration
) -> None:
    url = f"sqlite:///{tmp_path}/users.sqlite"
    async with open_database(url):
        assert state_of_database(url).found == SCHEMA_VERSION
    newest = add_migration(*ADDITIVE)
    async with open_database(url):
        assert state_of_database(url) == State(newest, 1)


async def test_a_newer_schema_is_refused_once_it_takes_something_away(
    empty_url: str, add_migration: AddMigration, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_migration(*ADDITIVE)
    contract = add_migration("DROP TABLE extra", phase="contract")

    def know(schema: int) -> None:
        for module in (engine, state):
            monkeypatch.setattr(module, "SCHEMA_VERSION", schema)

    migrate_database(empty_url, contract - 1)
    know(SCHEMA_VERSION)
    async with open_database(empty_url) as database:  # it only adds: a node that restarts goes on
        await SqlUserStore(database).ping()
    know(contract)
    migrate_database(empty_url)
    assert state_of_database(empty_url) == State(contract, contract - 1)
    know(contract - 1)
    async with open_database(empty_url):
        pass
    know(SCHEMA_VERSION)
    with pytest.raises(SettingsError, match=f"schema {contract} and this Chappe knows {SCHEMA_VERSION}"):
        async with open_database(empty_url):
            pass
    with pytest.raises(SettingsError, match="start the newer Chappe"):
        migrate_database(empty_url)


def test_a_migration_does_not_queue_for_long_behind_a_busy_table(
    postgres_url: str, add_migration: AddMigration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "LOCK_WAIT_MS", 50)
    migrate_database(postgres_url)
    add_migration(*ADDITIVE)
    with connected(postgres_url) as reader:
        reader.execute(select(metadata.tables["accounts"])).close()
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            migrate_database(postgres_url)
    assert state_of_database(postgres_url).found == SCHEMA_VERSION
    assert len(migrate_database(postgres_url)[1]) == 1


def test_an_index_can_be_built_while_its_table_is_in_use(
    postgres_url: str, add_migration: AddMigration
) -> None:
    migrate_database(postgres_url)
    number = add_migration(
        "CREATE TABLE extra (id INTEGER PRIMARY KEY)",
        "with op.get_context().autocommit_block(): op.execute("
        "'CREATE INDEX CONCURRENTLY ix_devices_name ON devices (name)')",
    )
    assert [one.number for one in migrate_database(postgres_url)[1]] == [number]
    assert state_of_database(postgres_url).found == number
    with connected(postgres_url) as connection:
        assert "ix_devices_name" in {one["name"] for one in inspect(connection).get_indexes("devices")}
        assert "extra" in inspect(connection).get_table_names()


def test_a_database_of_something_else_is_refused(empty_url: str) -> None:
    migrate_database(empty_url)
    with connected(empty_url) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'ae1027a6acf'"))
    with pytest.raises(SettingsError, match="no schema of Chappe"):
        migrate_database(empty_url)
