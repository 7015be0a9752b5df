"""What is compared: the stores of a node and its number of workers, and whose CPU is looked at."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from chappe.settings import ENV_PREFIX
from deploy.services import Fleet

from .. import proc
from ..node import CONFIG


@dataclass(frozen=True, slots=True)
class Setup:
    """A way to run Chappe. `servers` are the pids of the servers under it, by their names."""

    stores: str
    workers: int
    settings: Mapping[str, str] = field(default_factory=dict)
    servers: Mapping[str, int] = field(default_factory=dict)

    def cpu_s(self, gateway: int) -> dict[str, float]:
        """Return the CPU seconds so far of the gateway, all its processes, and of each server."""
        pids = {"gateway": gateway, **self.servers}
        return {name: proc.family_s(pid) for name, pid in pids.items()}


def sqlite() -> Setup:
    """Everything in one process."""
    return Setup("SQLite", 1)


def real(fleet: Fleet, workers: int) -> Setup:
    """Return Chappe on Cassandra, PostgreSQL and Redis, on a database and a keyspace that are new. Blocks."""
    name = f"bench_{secrets.token_hex(4)}"
    url = make_url(fleet.postgres.address["url"])
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    ring = fleet.cassandra.address
    hosts = ring["contact_points"]
    settings = {
        "GATEWAY__WORKERS": str(workers),
        "STORES__MESSAGES": "cassandra",
        "STORES__USERS_URL": url.set(database=name).render_as_string(hide_password=False),
        "CASSANDRA__HOSTS": json.dumps(hosts),
        "CASSANDRA__PORT": str(ring["port"]),
        "CASSANDRA__DATACENTER": ring["datacenter"],
        "CASSANDRA__KEYSPACE": name,
        "CASSANDRA__REPLICAS": str(len(hosts)),
        "BUS__URL": fleet.redis.address["url"],
        "BUS__PREFIX": f"{name}:",
    }
    _migrate(settings)
    servers = {
        server.name: server.identity.pid
        for service in (fleet.cassandra, fleet.postgres, fleet.redis)
        for server in service.servers
        if server.identity
    }
    return Setup(f"Cassandra ({len(hosts)}), PostgreSQL, Redis", workers, settings, servers)


def disk_bytes(fleet: Fleet, setup: Setup) -> int:
    """Return how much of a setup's messages is on the first node's disk, in its tables, compressed. Blocks."""
    subprocess.run(fleet.cassandra.nodetool(1, ["flush"]), check=True, capture_output=True)
    tables = fleet.cassandra.servers[0].folder / "data" / setup.settings["CASSANDRA__KEYSPACE"]
    return sum(file.stat().st_size for file in tables.rglob("*") if file.is_file())


def _migrate(settings: Mapping[str, str]) -> None:
    environment = os.environ | {f"{ENV_PREFIX}{name}": value for name, value in settings.items()}
    chappe = Path(sys.executable).with_name("chappe")
    subprocess.run([chappe, "migrate", "--config", CONFIG], env=environment, check=True, capture_output=True)


def marks(setup: Setup, gateway: int) -> tuple[list[dict[str, float]], Callable[[], None]]:
    """Return a list, and what appends to it how much CPU was used so far."""
    taken: list[dict[str, float]] = []
    return taken, lambda: taken.append(setup.cpu_s(gateway))
