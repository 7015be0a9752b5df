"""The SQL database: how it is opened, how work runs in it, and what its driver's errors mean.

`users.py` and `keys.py` hand in functions that take a SQLAlchemy connection; each runs in a worker thread, in
one transaction, all or nothing. The URL decides the engine: `sqlite:///path` or
`postgresql+psycopg://user@host/name`. SQLite has one writer, so writes queue for one thread here instead of
sleeping in its busy handler.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import trio
from sqlalchemy import Connection, Engine, Table, create_engine, event, insert, inspect, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from ...errors import SettingsError, StoreUnavailable
from ..sqlite.faults import is_unavailable
from ..threads import Threads
from .schema import SCHEMA_VERSION, metadata, schema_version

DEADLINE_S: Final = 5.0
STATEMENT_MS: Final = 4_000  # under the deadline, so that the reason is heard before time is up
THREADS: Final = 4
SCHEMA_LOCK: Final = 0x43686170  # "Chap": nodes that start together create the tables one after the other

READ_ONLY_SQLSTATE: Final = "25006"  # a PostgreSQL that was made a replica

T = TypeVar("T")


class Database:
    """An open database. Made by `open_database`; the stores of this package are views of it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        is_sqlite = engine.dialect.name == "sqlite"
        self.insert: Callable[[Table[Any]], sqlite.Insert | postgresql.Insert]
        self.insert = sqlite.insert if is_sqlite else postgresql.insert
        self._writing = engine.execution_options(writing=True)
        self._reads = Threads(THREADS, DEADLINE_S)
        self._writes = Threads(1 if is_sqlite else THREADS, DEADLINE_S)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which only reads, in a transaction. Raises: `StoreUnavailable`."""
        return await _translated(self._reads, _in_transaction, self._engine, work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that is durable on return.

        Raises: `StoreUnavailable`; `sqlalchemy.exc.IntegrityError`, which the stores turn into what it means.
        """
        return await _translated(self._writes, _in_transaction, self._writing, work)

    async def aclose(self) -> None:
        """Close the connections once no thread uses them; nothing can be called afterwards."""
        if await self._reads.drain() and await self._writes.drain():
            self._engine.dispose()


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """Open the database, making its tables if they are not there.

    Raises: `SettingsError` for tables of a newer Chappe, `StoreUnavailable` when it cannot be reached.
    """
    engine = _engine(make_url(url))
    try:
        await _translated(
            Threads(1, 2 * DEADLINE_S),
            _in_transaction,
            engine.execution_options(writing=True),
            _prepare_tables,
        )
    except BaseException:
        engine.dispose()
        raise
    database = Database(engine)
    try:
        yield database
    finally:
        await database.aclose()


def _engine(url: URL) -> Engine:
    # Parameters never get into the text of an error: password hashes are among them.
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, hide_parameters=True, pool_size=THREADS + 1)
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    settings = f"-c statement_timeout={STATEMENT_MS} -c lock_timeout={STATEMENT_MS}"
    return create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=2 * THREADS,
        connect_args={"connect_timeout": round(DEADLINE_S), "options": settings},
    )


def _configure_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the module would begin at the first write only, too late for a lock
    connection.execute(f"PRAGMA busy_timeout = {STATEMENT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    is_writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def _in_transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.begin() as connection:
        return work(connection)


def _prepare_tables(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": SCHEMA_LOCK})
    if inspect(connection).has_table(schema_version.name):
        found = connection.execute(select(schema_version.c.version)).scalar_one()
        if found > SCHEMA_VERSION:
            raise SettingsError(
                f"The database has schema {found} and this Chappe knows {SCHEMA_VERSION}: "
                "start the newer Chappe that wrote it, or name another database."
            )
    else:
        metadata.create_all(connection)
        connection.execute(insert(schema_version).values(version=SCHEMA_VERSION))


async def _translated(
    threads: Threads,
    run: Callable[[Engine, Callable[[Connection], T]], T],
    engine: Engine,
    work: Callable[[Connection], T],
) -> T:
    try:
        return await threads.run(run, engine, work)
    except trio.TooSlowError:
        raise StoreUnavailable(f"The database did not answer within {DEADLINE_S:g} s; try again.") from None
    except DBAPIError as error:
        if _means_unavailable(error):
            raise StoreUnavailable("The database did not take the work; see to it and try again.") from error
        raise


def _means_unavailable(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.Error):
        return is_unavailable(error.orig)
    if error.connection_invalidated or isinstance(error, OperationalError | InterfaceError):
        return True
    return getattr(error.orig, "sqlstate", None) == READ_ONLY_SQLSTATE
