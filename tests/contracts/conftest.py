"""The adapters under contract. `CHAPPE_TEST_POSTGRES_URL` names a PostgreSQL whose tables may be dropped."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from chappe.ports import KeyStore, MessageStore, UserStore
from chappe.stores.sql.engine import Database, open_database
from chappe.stores.sql.keys import SqlKeyStore
from chappe.stores.sql.schema import metadata
from chappe.stores.sql.users import SqlUserStore
from chappe.stores.sqlite.messages import open_message_store

POSTGRES_URL = os.environ.get("CHAPPE_TEST_POSTGRES_URL")
needs_postgres = pytest.mark.skipif(POSTGRES_URL is None, reason="CHAPPE_TEST_POSTGRES_URL is not set")

# Opens a store in a folder; opened again on the same folder, it finds what was there.
OpenMessages = Callable[[Path], AbstractAsyncContextManager[MessageStore]]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/users.sqlite3"
    assert POSTGRES_URL is not None
    engine = create_engine(POSTGRES_URL)
    metadata.drop_all(engine)
    engine.dispose()
    return POSTGRES_URL


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


@pytest.fixture(params=[_open_sqlite, _open_sqlite_settled], ids=["sqlite", "sqlite-settled"])
def open_messages(request: pytest.FixtureRequest) -> OpenMessages:
    return request.param


@pytest.fixture
async def messages(open_messages: OpenMessages, tmp_path: Path) -> AsyncIterator[MessageStore]:
    async with open_messages(tmp_path) as store:
        yield store
