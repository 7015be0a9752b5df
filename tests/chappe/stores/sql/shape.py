"""The shape of a database, and what a change of it takes from programs that know the shape before.

The tests hold every migration that says "expand" against this. What only adds is fine: tables, columns that may stay
away in an INSERT, plain indexes. Everything else could fail a statement of an older release.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, inspect


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the database has it."""

    type: str
    may_stay_away: bool
    is_nullable: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its columns by name, and every rule that can refuse a row."""

    columns: dict[str, Column]
    rules: frozenset[str]


def shape_of(connection: Connection) -> dict[str, Table]:
    """Return all tables but Alembic's own."""
    inspector = inspect(connection)
    return {
        name: Table(
            {
                one["name"]: Column(
                    str(one["type"]), one["nullable"] or one["default"] is not None, one["nullable"]
                )
                for one in inspector.get_columns(name)
            },
            frozenset(
                [
                    f"primary key {inspector.get_pk_constraint(name)['constrained_columns']}",
                    *(f"unique {one['column_names']}" for one in inspector.get_unique_constraints(name)),
                    *(
                        f"unique {one['column_names']}"
                        for one in inspector.get_indexes(name)
                        if one["unique"]
                    ),
                    *(f"check {one['sqltext']}" for one in inspector.get_check_constraints(name)),
                    *(
                        f"{one['constrained_columns']} in {one['referred_table']} {one['referred_columns']}"
                        for one in inspector.get_foreign_keys(name)
                    ),
                ]
            ),
        )
        for name in inspector.get_table_names()
        if name != "alembic_version"
    }


def taken_away(before: dict[str, Table], after: dict[str, Table]) -> Iterator[str]:
    """Yield what programs that know `before` can no longer count on, in words."""
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            yield f"table {name} is gone"
            continue
        for column, was in old.columns.items():
            if new.columns.get(column) != was:
                yield f"column {name}.{column} was {was} and is {new.columns.get(column)}"
        for column, now in new.columns.items():
            if column not in old.columns and not now.may_stay_away:
                yield f"new column {name}.{column} is wanted in every INSERT"
        for rule in new.rules ^ old.rules:
            yield f"{name}: rule {rule} changed"
