"""Which schema a database has, and whether this Chappe can use it.

`engine.py` asks at start, `migrate.py` before it changes anything. Two numbers stand in the database: Alembic's table
has the last migration that was applied, `schema_version` the least schema that a program must know to use it.
Databases older than the migrations have the second table alone, and in it a 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, inspect, select, text

from ...errors import SettingsError
from .schema import SCHEMA_VERSION, schema_version

NUMBERED: Final = "alembic_version"  # Alembic's own table


@dataclass(frozen=True, slots=True)
class State:
    """`found` is the number of the database's schema, 0 when there is none; whoever uses it must know `oldest`."""

    found: int
    oldest: int


def state_of(connection: Connection) -> State:
    """Return which schema this database has. Raises: `SettingsError` when no Chappe can have made it."""
    tables = inspect(connection).get_table_names()
    if schema_version.name not in tables:
        return State(0, 0)
    oldest = connection.execute(select(schema_version.c.version)).scalar_one()
    if NUMBERED not in tables:
        return State(oldest, oldest)
    numbered = connection.execute(text(f"SELECT version_num FROM {NUMBERED}")).scalar_one()  # noqa: S608 - a constant
    if not numbered.isdecimal():
        raise SettingsError(
            f"The database is at {numbered!r}, which is no schema of Chappe: name another one."
        )
    return State(int(numbered), oldest)


def check(state: State) -> None:
    """Return if this Chappe can use the database as it is. Raises: `SettingsError`."""
    refuse_newer(state)
    if state.found < SCHEMA_VERSION:
        has = f"has schema {state.found}" if state.found else "is empty"
        raise SettingsError(
            f"The database {has} and this Chappe needs schema {SCHEMA_VERSION}: run `chappe migrate`, "
            "then start again."
        )


def refuse_newer(state: State) -> None:
    """Return unless the database asks for a newer Chappe; a newer schema that only adds to ours is no reason.

    Raises: `SettingsError`.
    """
    if state.oldest > SCHEMA_VERSION:
        raise SettingsError(
            f"The database has schema {max(state.found, state.oldest)} and this Chappe knows {SCHEMA_VERSION}: "
            "start the newer Chappe that wrote it, or name another database."
        )
