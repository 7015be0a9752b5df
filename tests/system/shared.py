"""What several nodes share in tests: a database and a bus of the test's own, and a keyspace, on the real services."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache

from chappe.stores.sql.engine import migrate_database
from tests.chappe.stores.cassandra.cluster import migrated, settings_of
from tests.services import Databases, Services

Sections = dict[str, dict[str, object]]


@cache
def _databases(services: Services) -> Databases:
    return Databases(services("postgres").postgres.address["url"], migrate_database)


@contextmanager
def shared_stores(services: Services, keyspace: str) -> Iterator[Sections]:
    """Lend the sections of the settings that say where these are. Blocks; not to be called inside trio."""
    redis = services("redis").redis.address["url"]
    cassandra = migrated(settings_of(services).model_copy(update={"keyspace": keyspace}))
    with _databases(services).clone() as url:
        yield {
            "stores": {"messages": "cassandra", "users_url": url},
            "cassandra": {
                "hosts": list(cassandra.hosts),
                "port": cassandra.port,
                "keyspace": cassandra.keyspace,
                "datacenter": cassandra.datacenter,
            },
            "bus": {"url": redis, "prefix": f"{secrets.token_hex(4)}:"},
        }


def to_toml(sections: Mapping[str, Mapping[str, object]]) -> str:
    """Return sections as a settings file; strings, numbers and lists are written alike in JSON and TOML."""
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        for name, values in sections.items()
    )
