"""One Cassandra for all of these tests, and an empty store on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from chappe.settings import Cassandra
from chappe.stores.cassandra.messages import CassandraMessageStore
from chappe.stores.cassandra.session import close, connect
from tests.services import Services, services

from .cluster import empty, migrated, opened, settings_of

__all__ = ["services"]  # a fixture: pytest finds it here


@pytest.fixture(scope="session")
def server(services: Services) -> Cassandra:
    """Where it is; the keyspace may not be there yet."""
    return settings_of(services)


@pytest.fixture
def settings(server: Cassandra) -> Cassandra:
    """A keyspace with all tables, and nothing in them."""
    empty(migrated(server))
    return server


@pytest.fixture
def session(server: Cassandra) -> Iterator[Any]:
    """A session of the plain driver, to look behind the store."""
    opened = connect(migrated(server), server.keyspace)
    yield opened
    close(opened)


@pytest.fixture
async def store(settings: Cassandra) -> AsyncIterator[CassandraMessageStore]:
    """A store whose clock stands at 0, so that the samples' ids are never too old."""
    async with opened(settings) as one:
        yield one
