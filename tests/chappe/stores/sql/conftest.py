"""Empty databases, and migrations of a test's own behind the real ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL, make_url

from chappe.stores.sql import engine, migrate, state
from chappe.stores.sql.schema import SCHEMA_VERSION

from ....services import Services, services

__all__ = ["services"]  # a fixture: pytest finds it here

_numbers = count(1)


@pytest.fixture
def postgres_url(services: Services) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    url = make_url(services("postgres").postgres.address["url"])
    name = f"sql{next(_numbers)}"
    _execute(url, f"CREATE DATABASE {name}")
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        _execute(url, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(url: URL, statement: str) -> None:
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/users.sqlite"
    url: str = request.getfixturevalue("postgres_url")
    return url


AddMigration = Callable[..., int]


@pytest.fixture
def add_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AddMigration:
    """Add a migration to the real ones: `add_migration(*statements, phase="expand")` returns its number.

    A statement is SQL, or a line of Python when it begins with "raise" or "with".
    """
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, folder)
    monkeypatch.setattr(migrate, "MIGRATIONS", folder)
    newest = SCHEMA_VERSION

    def add(*statements: str, phase: str = "expand") -> int:
        nonlocal newest
        newest += 1
        lines = [one if one.startswith(("raise ", "with ")) else f"op.execute({one!r})" for one in statements]
        body = "\n    ".join(lines)
        (folder / "versions" / f"schema_{newest:04}.py").write_text(
            f'"""Added by a test."""\nrevision = "{newest:04}"\ndown_revision = "{newest - 1:04}"\n'
            f'PHASE = "{phase}"\n\n\ndef upgrade(op):\n    {body}\n'
        )
        for module in (engine, state):
            monkeypatch.setattr(module, "SCHEMA_VERSION", newest)
        return newest

    return add
