"""Migrations: in order, once, whoever else tries; forwards only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import trio
from pydantic import ValidationError

from chappe.errors import SettingsError
from chappe.settings import Cassandra
from chappe.stores.cassandra.migrate import Migration, check_schema, known, migrate
from chappe.stores.cassandra.session import close, connect

from .cluster import opened

_numbers = count(1)


# What may be executed again after a step that broke off: it makes nothing new, or sets what is set already.
TWICE = r"IF NOT EXISTS|^ALTER TABLE \w+ WITH "


def step(number: int, body: str = "", needs: int = 1) -> Migration:
    body = body or f"CREATE TABLE IF NOT EXISTS table{number} (a int PRIMARY KEY);"
    return Migration(
        number, f"{number:04}_test.cql", f"-- works with code that knows migration: {needs}\n\n{body}\n"
    )


@pytest.fixture
def fresh(server: Cassandra) -> Iterator[Cassandra]:
    settings = server.model_copy(update={"keyspace": f"chappe_migrations_{next(_numbers)}"})
    yield settings
    session = connect(settings, None)
    session.execute(f"DROP KEYSPACE IF EXISTS {settings.keyspace}", timeout=60)
    close(session)


@pytest.fixture
def plain(server: Cassandra) -> Iterator[Any]:
    session = connect(server, None)
    yield session
    close(session)


def tables(session: Any, settings: Cassandra) -> set[str]:
    rows = session.execute(
        "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s", (settings.keyspace,)
    )
    return {row[0] for row in rows} - {"schema_migrations", "schema_lock"}


async def test_each_is_applied_once_and_in_order(fresh: Cassandra, plain: Any) -> None:
    assert await migrate(fresh, [step(1)]) == ["0001_test.cql"]
    two = step(2, "-- a remark; of two parts\nALTER TABLE table1 ADD IF NOT EXISTS b int;\nCREATE TABLE IF NOT\n"
               "EXISTS table2 (a int PRIMARY KEY);")  # fmt: skip
    assert await migrate(fresh, [step(1), two, step(3)]) == [two.name, "0003_test.cql"]
    assert await migrate(fresh, [step(1), two, step(3)]) == []
    assert tables(plain, fresh) == {"table1", "table2", "table3"}
    check_schema(plain, fresh.keyspace, [step(1), two, step(3)])


async def test_runners_at_the_same_time_apply_each_once(fresh: Cassandra, plain: Any) -> None:
    done: list[str] = []

    async def run() -> None:
        done.extend(await migrate(fresh, [step(1), step(2)]))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(run)
    assert done == ["0001_test.cql", "0002_test.cql"]
    assert plain.execute(f"SELECT * FROM {fresh.keyspace}.schema_lock").one() is None


async def test_there_is_no_way_back(fresh: Cassandra, plain: Any) -> None:
    await migrate(fresh, [step(1), step(2, needs=2)])
    with pytest.raises(SettingsError, match="too old"):
        await migrate(fresh, [step(1)])
    with pytest.raises(SettingsError, match="too old"):
        check_schema(plain, fresh.keyspace, [step(1)])
    assert tables(plain, fresh) == {"table1", "table2"}


async def test_the_version_before_runs_on_after_a_step_it_can_live_with(fresh: Cassandra, plain: Any) -> None:
    await migrate(fresh, [step(1), step(2, needs=1)])
    check_schema(plain, fresh.keyspace, [step(1)])
    assert await migrate(fresh, [step(1)]) == []


async def test_a_file_that_was_changed_or_left_out_is_refused(fresh: Cassandra) -> None:
    await migrate(fresh, [step(1)])
    other = step(1, "CREATE TABLE IF NOT EXISTS other (a int PRIMARY KEY);")
    with pytest.raises(SettingsError, match="changed"):
        await migrate(fresh, [other])
    await migrate(fresh, [step(1), step(3)])
    with pytest.raises(SettingsError, match="missing below"):
        await migrate(fresh, [step(1), step(2), step(3)])


async def test_a_step_that_broke_off_is_done_again(fresh: Cassandra, plain: Any) -> None:
    good = "CREATE TABLE IF NOT EXISTS one (a int PRIMARY KEY);"
    with pytest.raises(Exception, match="nonsense"):
        await migrate(fresh, [step(1, f"{good}\nnonsense;")])
    assert tables(plain, fresh) == {"one"}
    assert plain.execute(f"SELECT * FROM {fresh.keyspace}.schema_lock").one() is None
    assert await migrate(fresh, [step(1, good)]) == ["0001_test.cql"]


async def test_a_store_does_not_open_without_its_schema(fresh: Cassandra) -> None:
    with pytest.raises(SettingsError, match="chappe migrate"):
        async with opened(fresh):
            pass


def test_the_files_are_numbered_without_gaps_and_each_says_what_it_needs() -> None:
    migrations = known()
    assert [m.number for m in migrations] == list(range(1, len(migrations) + 1))
    for m in migrations:
        assert 1 <= m.needs <= m.number
        assert all(re.search(TWICE, statement) for statement in m.statements)


def test_a_file_without_its_first_line_is_refused() -> None:
    with pytest.raises(SettingsError, match="begin"):
        _ = Migration(1, "0001_x.cql", "CREATE TABLE x (a int PRIMARY KEY);").needs


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="keyspace"):
        Cassandra(keyspace="x; DROP KEYSPACE chappe")
    assert "secret" not in repr(Cassandra(username="me", password="secret"))
