"""Real servers for development and tests, without Docker: PostgreSQL, Redis and Cassandra on loopback, and
Prometheus with Alertmanager to watch nodes.

`python -m deploy.services up` is for people; tests use `Fleet` and the classes of its services, down to single nodes
that can be killed, frozen and started again. The rest of the project imports nothing from here. Only the standard
library is needed, so that the program runs before anything is installed.
"""

from __future__ import annotations

from .alertmanager import Alertmanager
from .cassandra import Cassandra
from .errors import Misused, NotReady, ServicesError, Unavailable
from .fleet import NAMES, STORES, WATCHERS, Fleet, Wishes, default_folder
from .postgres import Postgres
from .process import Identity, Server
from .prometheus import Prometheus
from .redis import Redis
from .service import Service

__all__ = [
    "NAMES",
    "STORES",
    "WATCHERS",
    "Alertmanager",
    "Cassandra",
    "Fleet",
    "Identity",
    "Misused",
    "NotReady",
    "Postgres",
    "Prometheus",
    "Redis",
    "Server",
    "Service",
    "ServicesError",
    "Unavailable",
    "Wishes",
    "default_folder",
]
