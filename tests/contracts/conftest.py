"""The adapters under contract. Those that need a server are left out, and say so, where it cannot be had."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trio

from chappe.ports import KeyStore, MessageStore, UserStore
from chappe.stores.sql.engine import Database, migrate_database, open_database
from chappe.stores.sql.keys import SqlKeyStore
from chappe.stores.sql.users import SqlUserStore
from chappe.stores.sqlite.messages import open_message_store

from ..chappe.stores.cassandra.cluster import empty, migrated, opened, settings_of
from ..services import Databases, Services, services

__all__ = ["services"]  # a fixture: pytest finds it here

# Opens a store in a folder; opened again on the same folder, it finds what was there.
OpenMessages = Callable[[Path], AbstractAsyncContextManager[MessageStore]]


@pytest.fixture(scope="session")
def databases(services: Services) -> Databases:
    return Databases(services("postgres").postgres.address["url"], migrate_database)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/users.sqlite3"
        return
    databases: Databases = request.getfixturevalue("databases")
    with databases.clone() as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as opened:
        yield opened


@pytest.fixture
def users(database: Database) -> UserStore:
    return SqlUserStore(database)


@pytest.fixture
def keys(database: Database) -> KeyStore:
    return SqlKeyStore(database)


@asynccontextmanager
async def _open_sqlite(folder: Path) -> AsyncIterator[MessageStore]:
    async with open_message_store(folder / "messages.sqlite3") as store:
        yield store


@asynccontextmanager
async def _open_sqlite_settled(folder: Path) -> AsyncIterator[MessageStore]:
    """Like the other one, but every append goes through to the tables at once."""
    async with open_message_store(folder / "messages.sqlite3") as store:
        append = store.append

        async def append_and_settle(*args: object) -> None:
            await append(*args)  # type: ignore[arg-type]
            await store.settle()

        store.append = append_and_settle  # type: ignore[method-assign, assignment]
        yield store


# By parameter: how many nodes keep the rows. The ring takes its time to start.
CASSANDRAS = {"cassandra": 1, "cassandra-ring": 3}


@pytest.fixture(
    params=["sqlite", "sqlite-settled", "cassandra", pytest.param("cassandra-ring", marks=pytest.mark.slow)]
)
def open_messages(request: pytest.FixtureRequest) -> OpenMessages:
    if request.param == "sqlite":
        return _open_sqlite
    if request.param == "sqlite-settled":
        return _open_sqlite_settled
    services: Services = request.getfixturevalue("services")
    settings = migrated(settings_of(services, nodes=CASSANDRAS[request.param]))

    @asynccontextmanager
    async def open_cassandra(folder: Path) -> AsyncIterator[MessageStore]:
        if not (folder / "used").exists():  # a new folder stands for a new store
            await trio.to_thread.run_sync(empty, settings)
            (folder / "used").touch()
        async with opened(settings) as store:
            yield store

    return open_cassandra


@pytest.fixture
async def messages(open_messages: OpenMessages, tmp_path: Path) -> AsyncIterator[MessageStore]:
    async with open_messages(tmp_path) as store:
        yield store
