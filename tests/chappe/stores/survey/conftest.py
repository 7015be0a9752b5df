"""A PostgreSQL and a Cassandra for these tests; what is in them, `world.py` makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chappe.settings import Cassandra as CassandraSettings
from chappe.stores.cassandra.session import close, connect
from chappe.stores.sql.engine import migrate_database
from tests.chappe.stores.cassandra.cluster import empty, migrated, settings_of
from tests.services import Databases, Services, services

__all__ = ["services"]  # a fixture: pytest finds it here


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Where accounts are, in a file."""
    return f"sqlite:///{tmp_path / 'users.sqlite'}"


@pytest.fixture(scope="session")
def databases(services: Services) -> Databases:
    return Databases(services("postgres").postgres.address["url"], migrate_database)


@pytest.fixture
def settings(services: Services) -> CassandraSettings:
    """A keyspace with all tables, and nothing in them."""
    settings = migrated(settings_of(services))
    empty(settings)
    return settings


@pytest.fixture
def session(settings: CassandraSettings) -> Iterator[Any]:
    """A session of the plain driver, to do damage with."""
    opened = connect(settings, settings.keyspace)
    yield opened
    close(opened)
