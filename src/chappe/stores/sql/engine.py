"""The SQL database: how it is opened, how work runs in it, and what its driver's errors mean.

The stores hand in functions that take a SQLAlchemy connection; each runs in a worker thread of its lane, in one
transaction, all or nothing. The URL decides the engine: `sqlite:///path` or `postgresql+psycopg://user@host/name`.
SQLite has one writer, so writes queue for one thread here instead of sleeping in its busy handler. PostgreSQL gets a
connection a thread and no more, and hears from every session how long a statement, a lock and an idle transaction
may take: what is past its deadline here must not go on there.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple, Unpack

import trio
from sqlalchemy import Connection, Engine, NullPool, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError

from ...errors import MissingExtra, SettingsError, StoreUnavailable
from ..sqlite.faults import is_unavailable
from ..threads import Threads
from .lanes import SIZES, Lane, Lanes
from .schema import SCHEMA_VERSION
from .state import State, check, state_of

if TYPE_CHECKING:
    from .migrate import Migration

DEADLINE_S: Final = 5.0
STATEMENT_MS: Final = 4_000  # under the deadline, so that the reason is heard before time is up
LOCK_MS: Final = 3_000  # under the statement's, so that a lock is named as the reason
MIGRATION_S: Final = 3600.0

READ_ONLY_SQLSTATE: Final = "25006"  # a PostgreSQL that was made a replica

_URLS: Final = "write sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME"

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Database:
    """An open database. Made by `open_database`; the stores of this package are views of it."""

    def __init__(self, engine: Engine, sizes: Mapping[Lane, int]) -> None:
        self._engine = engine
        is_sqlite = engine.dialect.name == "sqlite"
        self.insert: Callable[[Table[Any]], sqlite.Insert | postgresql.Insert]
        self.insert = sqlite.insert if is_sqlite else postgresql.insert
        self._writing = engine.execution_options(writing=True)
        self._lanes = Lanes(sizes, DEADLINE_S, one_writer=is_sqlite)

    async def read(self, work: Callable[[Connection], T], lane: Lane = Lane.ADMIN) -> T:
        """Run `work`, which only reads, in a transaction. Raises: `StoreUnavailable`."""
        return await _translated(self._lanes.reads[lane], _in_transaction, self._engine, work)

    async def write(self, work: Callable[[Connection], T], lane: Lane = Lane.ADMIN) -> T:
        """Run `work` in a transaction that is durable on return.

        Raises: `StoreUnavailable`; `sqlalchemy.exc.IntegrityError`, which the stores turn into what it means.
        """
        return await _translated(self._lanes.writes[lane], _in_transaction, self._writing, work)

    async def aclose(self) -> None:
        """Close the connections once no thread uses them; nothing can be called afterwards."""
        if await self._lanes.drain():
            self._engine.dispose()


@asynccontextmanager
async def open_database(url: str, sizes: Mapping[Lane, int] = SIZES) -> AsyncIterator[Database]:
    """Open the database; `sizes` says how many threads each lane gets.

    A SQLite file is made and brought to this Chappe's schema, so a caller holds its folder. PostgreSQL may have
    nodes of another release on it and is changed by `chappe migrate` only.

    Raises: `SettingsError` for a URL that cannot be used, for missing migrations and for tables of a newer Chappe;
    `StoreUnavailable` when it cannot be reached.
    """
    engine = _engine(_parsed(url), sum(sizes.values()) + 1)
    deadline_s = MIGRATION_S if engine.dialect.name == "sqlite" else 2 * DEADLINE_S
    try:
        await _translated(Threads(1, deadline_s), _prepare, engine)
    except BaseException:
        engine.dispose()
        raise
    database = Database(engine, sizes)
    try:
        yield database
    finally:
        await database.aclose()


def default_url(folder: Path) -> str:
    """Return the database of a node whose settings name none: a SQLite file in its data folder."""
    return f"sqlite:///{folder / 'users.sqlite'}"


def migrate_database(url: str, to: int | None = None) -> tuple[State, list[Migration]]:
    """Do what `migrate.migrate` does; blocks, for as long as it takes.

    Raises: `SettingsError`, `StoreUnavailable`.
    """
    with _migration_engine(_parsed(url)) as engine, _translating(), _saying_why():
        return _migrate(engine, to)


def state_of_database(url: str) -> State:
    """Return which schema the database has; nothing is changed, and no file is made. Blocks.

    Raises: `SettingsError`, `StoreUnavailable`.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        return State(0, 0)
    with _migration_engine(parsed) as engine, _translating(), _saying_why(), engine.connect() as connection:
        return state_of(connection)


@contextmanager
def open_for_reading(url: str) -> Iterator[Callable[[Callable[[Connection], T]], T]]:
    """Yield a function that runs work which only reads, in a short transaction of its own; for commands. It blocks.

    Both raise `StoreUnavailable`, the first also `SettingsError` when there is no database of this Chappe's schema.
    """
    with _migration_engine(_existing(url)) as engine:

        def ask(work: Callable[[Connection], T]) -> T:
            with _translating(), _saying_why():
                return _in_transaction(engine, work)

        check(ask(state_of))
        yield ask


def write_alone(url: str, work: Callable[[Connection], T]) -> T:
    """Run work in one transaction, which may take its time; for commands, beside which no node runs. Blocks.

    Raises: `SettingsError` when there is no database of this Chappe's schema; `StoreUnavailable`.
    """
    with _migration_engine(_existing(url)) as engine, _translating(), _saying_why():
        check(_in_transaction(engine, state_of))
        return _in_transaction(engine.execution_options(writing=True), work)


def _existing(url: str) -> URL:
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        raise SettingsError(
            f"There is no database {parsed.database}; name the node's settings with --config."
        )
    return parsed


def _parsed(url: str) -> URL:
    # The URL itself is in no text: it may hold a password.
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
            raise SettingsError(f"{parsed.get_backend_name()} is no database that Chappe can use; {_URLS}.")
        parsed.get_dialect().import_dbapi()
    except (ArgumentError, NoSuchModuleError):
        raise SettingsError(f"The database URL cannot be read; {_URLS}.") from None
    except ImportError:
        raise MissingExtra("stores.users_url on PostgreSQL", "postgresql") from None
    return parsed


def _engine(url: URL, connections: int) -> Engine:
    # Parameters never get into the text of an error: password hashes are among them.
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, hide_parameters=True, pool_size=connections, max_overflow=0)
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    limits = {
        "statement_timeout": STATEMENT_MS,
        "lock_timeout": LOCK_MS,
        # A process that was frozen in the middle of a transaction does not hold its locks for longer.
        "idle_in_transaction_session_timeout": STATEMENT_MS,
    }
    return create_engine(
        url,
        hide_parameters=True,
        # No ping before each use, which would be a third of all round trips: the first call that meets a dead
        # connection fails, may be tried again, and takes all others of its age out of the pool.
        pool_size=connections,
        max_overflow=0,
        connect_args=_connect_args(**limits),
    )


@contextmanager
def _migration_engine(url: URL) -> Iterator[Engine]:
    """A connection for once, whose statements may take as long as a big table needs."""
    if url.get_backend_name() == "sqlite":
        engine = _engine(url, 1)
    else:
        engine = create_engine(url, hide_parameters=True, poolclass=NullPool, connect_args=_connect_args())
    try:
        yield engine
    finally:
        engine.dispose()


def _connect_args(**settings: int) -> dict[str, Any]:
    return {
        "connect_timeout": round(DEADLINE_S),
        "tcp_user_timeout": round(
            DEADLINE_S * 1000
        ),  # a server that is gone without a word frees its threads
        "application_name": "chappe",
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
    }


def _configure_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the module would begin at the first write only, too late for a lock
    connection.execute(f"PRAGMA busy_timeout = {STATEMENT_MS}")
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Turn the write-ahead log on. The first time it takes a lock for which SQLite's busy handler does not wait."""
    until = time.monotonic() + STATEMENT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    is_writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def _in_transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.begin() as connection:
        return work(connection)


def _prepare(engine: Engine) -> None:
    with _saying_why(), engine.begin() as connection:
        state = state_of(connection)
    if engine.dialect.name == "sqlite" and state.found < SCHEMA_VERSION:
        _migrate(engine, None)
    else:
        check(state)


def _migrate(engine: Engine, to: int | None) -> tuple[State, list[Migration]]:
    from .migrate import migrate  # noqa: PLC0415 - Alembic costs a start more than the rest of it; few need it

    return migrate(engine, to)


async def _translated(threads: Threads, run: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
    with _translating():
        return await threads.run(run, *args)


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except trio.TooSlowError:
        raise StoreUnavailable("The database did not answer in time; try again.") from None
    except DBAPIError as error:
        if _means_unavailable(error):
            raise StoreUnavailable("The database did not take the work; see to it and try again.") from error
        raise


@contextmanager
def _saying_why() -> Iterator[None]:
    """The driver's own reason, for operators; it knows hosts, names and files, and no password."""
    try:
        yield
    except DBAPIError as error:
        if not _means_unavailable(error):
            raise
        reason = " ".join(str(error.orig).split()).rstrip(".?")
        raise StoreUnavailable(f"The database cannot be used now: {reason}.") from error


def _means_unavailable(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.Error):
        return is_unavailable(error.orig)
    if error.connection_invalidated or isinstance(error, OperationalError | InterfaceError):
        return True
    return getattr(error.orig, "sqlstate", None) == READ_ONLY_SQLSTATE
