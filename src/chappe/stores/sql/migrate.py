"""Bringing a database's schema forward, by Alembic (https://alembic.sqlalchemy.org).

`engine.py` calls it for a SQLite file at start and for `chappe migrate`; what a migration may do is said in
`migrations/__init__.py`, what the database says of itself is read in `state.py`. Rejected: `alembic upgrade` with an
ini file and `env.py`: a second command line, and process-wide state where two threads may migrate two databases.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.runtime.migration import MigrationStep
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, Engine, text, update

from ...errors import SettingsError
from .schema import schema_version
from .state import State, refuse_newer, state_of

MIGRATIONS: Final = Path(__file__).parent / "migrations"
MIGRATION_LOCK: Final = 0x43686170  # "Chap": two that migrate at once do so one after the other
LOCK_WAIT_MS: Final = 2_000  # a migration that waits for a table makes everybody else wait behind it


@dataclass(frozen=True, slots=True)
class Migration:
    """One step from the schema before it to `number`. `is_contract`: nodes two schemas back cannot go on."""

    number: int
    title: str
    is_contract: bool


def migrations() -> list[Migration]:
    """Return every migration there is, in order."""
    return [_described(script) for script in _scripts(ScriptDirectory(str(MIGRATIONS)))]


def migrate(engine: Engine, to: int | None = None) -> tuple[State, list[Migration]]:
    """Bring the database forward to schema `to`, or to the newest; return what it had and what was applied.

    Blocks. Each migration is one transaction with its number, on SQLite all of them are one. Whoever else migrates
    meanwhile is waited for. Doing it again applies nothing.

    Raises: `SettingsError` when `to` is behind the database or not known, or the database is too new.
    """
    with _alone(engine) as connection:
        before = state_of(connection)
        refuse_newer(before)
        directory = ScriptDirectory(str(MIGRATIONS))
        known = _scripts(directory)
        newest = len(known) if to is None else to
        if to is None and before.found > newest:
            newest = before.found  # a newer Chappe was here, and what it did suits this one
        if newest < before.found:
            raise SettingsError(
                f"The database has schema {before.found} and migrations only go forwards: "
                f"to have schema {newest} again, restore a backup."
            )
        if newest > max(len(known), before.found):
            raise SettingsError(
                f"This Chappe knows schemas up to {len(known)}; install a newer one for {newest}."
            )
        pending = known[before.found : newest]
        if pending:
            _apply(connection, directory, pending)
        return before, [_described(script) for script in pending]


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A connection to change the schema with, while nobody else does."""
    if engine.dialect.name == "sqlite":
        with engine.execution_options(writing=True).begin() as connection:
            yield connection
        return
    with engine.connect() as connection:
        # However long the other one takes; only the tables are not to be waited for.
        connection.execute(text("SET lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        connection.execute(text(f"SET lock_timeout = {LOCK_WAIT_MS}"))
        connection.commit()
        try:
            yield connection
        finally:
            connection.invalidate()  # the lock, held by the session, goes with it


def _apply(connection: Connection, directory: ScriptDirectory, pending: list[Script]) -> None:
    if connection.dialect.name != "sqlite":
        connection.commit()  # in a transaction of ours, Alembic would leave the commits to us

    def steps(*_: Any) -> list[Any]:
        return [MigrationStep.upgrade_from_script(directory.revision_map, script) for script in pending]

    def applied(*, step: Any, **_: Any) -> None:
        migration = _described(step.up_revision)
        if migration.is_contract:
            connection.execute(update(schema_version).values(version=migration.number - 1))

    options = {
        "fn": steps,
        "on_version_apply": (applied,),
        "transaction_per_migration": True,
    }
    context = MigrationContext.configure(connection, opts=options)
    # The operations are an argument: Alembic's own `op` is one for the whole process, and threads would share it.
    context.run_migrations(op=Operations(context))


def _scripts(directory: ScriptDirectory) -> list[Script]:
    return list(directory.walk_revisions())[::-1]


def _described(script: Script) -> Migration:
    phase = script.module.PHASE
    assert phase in {"expand", "contract"}, script.path
    return Migration(int(script.revision), script.doc.rstrip("."), phase == "contract")
