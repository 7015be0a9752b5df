"""Brings a keyspace to the schema this Chappe knows: `chappe migrate` calls `migrate`, every start `check_schema`.

The steps are the files in `migrations/`, in the order of their numbers, each recorded with its checksum when done.
There is no way back. Every statement may be executed twice, so a step that broke off half-way is done again. A file
is never changed once it was released: a later one alters what it made. Its first line says the smallest number that
code must know to go on working afterwards, so that nodes of the version before run on during an upgrade.

One runner at a time, by a lock: a row written by lightweight transaction, which vanishes by itself `LOCK_S` after its
owner died. Two runners that change a schema at once can make two tables of one name; the tables that are needed before
there is a lock get their ids from here, so that they are the same table whoever makes them.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final
from uuid import UUID, uuid4, uuid5

import trio
from cassandra import ConsistencyLevel, InvalidRequest, Timeout
from cassandra.protocol import ErrorMessage
from cassandra.query import SimpleStatement

from ...errors import SettingsError, StoreUnavailable
from . import faults
from .session import Where, close, connect

LOCK_S: Final = 120
LOCK_WAIT_S: Final = 180.0
LOCK_POLL_S: Final = 0.25
LOOKS: Final = 40
STATEMENT_S: Final = 30.0
CAS_UNKNOWN: Final = 0x1700  # a lightweight transaction that others outran: the driver has no class for it

_HEADER = re.compile(r"-- works with code that knows migration: (\d+)\n")
_TABLES: Final = {
    "schema_migrations": "number int PRIMARY KEY, name text, checksum text, needs int, applied_at timestamp",
    "schema_lock": "name text PRIMARY KEY, owner uuid",
}
_IDS: Final = UUID("3a4bd3c8-7f4b-4f0e-9d3e-0c6a2f6f1d01")  # where the ids of these two come from


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its text, and the smallest number that code must know once it is applied."""

    number: int
    name: str
    text: str

    @property
    def title(self) -> str:
        """What it is about, in words."""
        return self.name.removesuffix(".cql").partition("_")[2].replace("_", " ")

    @property
    def checksum(self) -> str:
        """What is recorded, to find a file that was changed afterwards."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def needs(self) -> int:
        """The smallest migration that code must know to work with the schema after this one."""
        header = _HEADER.match(self.text)
        if header is None:
            raise SettingsError(f"{self.name} must begin with a line '{_HEADER.pattern.rstrip()}'.")
        return int(header[1])

    @property
    def statements(self) -> list[str]:
        """Its CQL statements; each ends with a semicolon at the end of a line."""
        text = re.sub(r"^--.*\n", "", self.text, flags=re.MULTILINE)
        return [part.strip() for part in re.split(r";[ \t]*(?:\n|$)", text) if part.strip()]


def known() -> list[Migration]:
    """Return the migrations of this Chappe, in order."""
    files = (resources.files(__package__) / "migrations").iterdir()
    return [
        Migration(int(file.name[:4]), file.name, file.read_text(encoding="utf-8"))
        for file in sorted(files, key=lambda file: file.name)
        if file.name.endswith(".cql")
    ]


async def migrate(settings: Where, migrations: Sequence[Migration] | None = None) -> list[str]:
    """Make the keyspace if it is not there, apply what is missing; return the names of what was applied.

    Not to be cancelled: it ends after the statement it is at, with what was done until then.
    Raises: `SettingsError` when the keyspace is ahead of this Chappe, or was made from other files;
    `StoreUnavailable` when the cluster is away, does not agree on a schema, or another runner has the lock.
    """
    return await trio.to_thread.run_sync(
        _migrate, settings, known() if migrations is None else list(migrations)
    )


async def missing(settings: Where) -> tuple[int, list[Migration]]:
    """Return the number of the keyspace's schema, 0 when there is none, and what was not applied; change nothing.

    Raises: as `migrate`.
    """
    return await trio.to_thread.run_sync(_missing, settings)


def _missing(settings: Where) -> tuple[int, list[Migration]]:
    session = connect(settings, None)
    try:
        try:
            applied = _applied(session, settings.keyspace)
        except InvalidRequest:  # no such keyspace, or no such table
            applied = {}
        return max(applied, default=0), _pending(applied, known())
    except Exception as error:
        raise faults.translated(error) from error
    finally:
        close(session)


def check_schema(session: Any, keyspace: str, migrations: Sequence[Migration] | None = None) -> None:
    """Return if this code can work with the keyspace as it is. Blocks.

    Raises: `SettingsError` when something was not applied, or something was that this code is too old for.
    """
    migrations = known() if migrations is None else migrations
    try:
        applied = _applied(session, keyspace)
    except InvalidRequest:
        applied = {}
    pending = _pending(applied, migrations)
    if pending:
        raise SettingsError(
            f"The keyspace {keyspace} has not got {pending[0].name}: run `chappe migrate`, then start again."
        )


def _migrate(settings: Where, migrations: Sequence[Migration]) -> list[str]:
    session = connect(settings, None, ConsistencyLevel.QUORUM)
    try:
        keyspace = settings.keyspace
        session.cluster.max_schema_agreement_wait = STATEMENT_S
        _define(
            session,
            f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication ="
            f" {{'class': 'NetworkTopologyStrategy', '{settings.datacenter}': {settings.replicas}}}",
        )
        session.set_keyspace(keyspace)
        for table, columns in _TABLES.items():
            number = uuid5(_IDS, f"{keyspace}.{table}")
            _define(session, f"CREATE TABLE IF NOT EXISTS {table} ({columns}) WITH id = {number}")
        with _lock(session) as owner:
            done = []
            for migration in _pending(_applied(session, keyspace), migrations):
                for statement in migration.statements:
                    _keep_lock(session, owner)
                    _define(session, statement)
                session.execute(
                    "INSERT INTO schema_migrations (number, name, checksum, needs, applied_at)"
                    " VALUES (%s, %s, %s, %s, toTimestamp(now()))",
                    (migration.number, migration.name, migration.checksum, migration.needs),
                )
                done.append(migration.name)
            return done
    except Exception as error:
        raise faults.translated(error) from error
    finally:
        close(session)


def _applied(session: Any, keyspace: str) -> dict[int, tuple[str, str, int]]:
    rows = session.execute(f"SELECT number, name, checksum, needs FROM {keyspace}.schema_migrations")  # noqa: S608 - checked
    return {number: (name, checksum, needs) for number, name, checksum, needs in rows}


def _pending(applied: dict[int, tuple[str, str, int]], migrations: Sequence[Migration]) -> list[Migration]:
    newest = max((migration.number for migration in migrations), default=0)
    for number, (name, _, needs) in sorted(applied.items()):
        if needs > newest:
            raise SettingsError(
                f"The keyspace is at {name} (number {number}), which this Chappe is too old for: there is no way back;"
                " use the newer Chappe."
            )
    for migration in migrations:
        found = applied.get(migration.number)
        if found is not None and found[1] != migration.checksum:
            raise SettingsError(f"{found[0]} was changed after it was applied; put the old text back.")
    pending = [migration for migration in migrations if migration.number not in applied]
    if pending and any(number > pending[0].number for number in applied):
        raise SettingsError(
            f"{pending[0].name} is missing below what was applied: these are other migrations."
        )
    return pending


def _define(session: Any, statement: str) -> None:
    """Execute a change of the schema, and wait until all nodes have it.

    The driver waits after a change of its own, by what one node has heard of the others. When there was nothing to
    change, another runner's may be on its way still: so each node of this data centre is asked itself.
    """
    session.execute(SimpleStatement(statement, is_idempotent=True), timeout=STATEMENT_S)
    look = SimpleStatement("SELECT schema_version FROM system.local", is_idempotent=True)
    deadline = time.monotonic() + STATEMENT_S
    while True:
        hosts = [host for host, pool in session.get_pool_state().items() if pool["open_count"]]
        if len({session.execute(look, host=host).one()[0] for host in hosts}) == 1:
            return
        if time.monotonic() > deadline:
            raise StoreUnavailable("Cassandra's nodes do not agree on the schema yet; run this again.")
        time.sleep(LOCK_POLL_S)


@contextmanager
def _lock(session: Any) -> Iterator[UUID]:
    owner = uuid4()
    deadline = time.monotonic() + LOCK_WAIT_S
    take = "INSERT INTO schema_lock (name, owner) VALUES ('migrate', %s) IF NOT EXISTS USING TTL %s"
    while not _has_lock_after(session, owner, take, (owner, LOCK_S)):
        if time.monotonic() > deadline:
            raise StoreUnavailable("Another `chappe migrate` runs; wait for it, then run this again.")
        time.sleep(LOCK_POLL_S)
    try:
        yield owner
    finally:
        give = "DELETE FROM schema_lock WHERE name = 'migrate' IF owner = %s"
        while _has_lock_after(session, owner, give, (owner,)) and time.monotonic() < deadline:
            time.sleep(LOCK_POLL_S)


def _keep_lock(session: Any, owner: UUID) -> None:
    keep = "UPDATE schema_lock USING TTL %s SET owner = %s WHERE name = 'migrate' IF owner = %s"
    if not _has_lock_after(session, owner, keep, (LOCK_S, owner, owner)):
        raise StoreUnavailable("The lock was lost to another `chappe migrate`; run this again.")


def _has_lock_after(session: Any, owner: UUID, transaction: str, values: tuple[object, ...]) -> bool:
    """Execute a lightweight transaction, then look who has the lock: when several try at once, many end as unknown.

    Looking ends so too, when it finds somebody's half-done transaction and is outrun in finishing it.
    """
    _settled(session, transaction, values)
    look = SimpleStatement(
        "SELECT owner FROM schema_lock WHERE name = 'migrate'", consistency_level=ConsistencyLevel.SERIAL
    )
    for _ in range(LOOKS):
        result = _settled(session, look, ())
        if result is not None:
            row = result.one()
            return row is not None and row[0] == owner
        time.sleep(LOCK_POLL_S)
    raise StoreUnavailable("Cassandra does not say who may migrate; run this again.")


def _settled(session: Any, statement: Any, values: tuple[object, ...]) -> Any:
    """Return the result of a lightweight transaction; None when it is not known whether it happened.

    Also when the node has not heard of the lock's table: another runner has just made it.
    """
    try:
        return session.execute(statement, values)
    except (Timeout, InvalidRequest):
        return None
    except ErrorMessage as error:
        if error.code == CAS_UNKNOWN:
            return None
        raise
