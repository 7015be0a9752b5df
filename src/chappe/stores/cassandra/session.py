"""Opens the driver: where the nodes are, how long anything may take, which policies hold.

`messages.py` and `migrate.py` begin here. The event loop is libev, compiled into the driver's wheel: of the driver's
own choices asyncore is deprecated in Python 3.11 and gone in 3.12, the asyncio one costs more, and both would run in a
thread of their own as well. Everything here blocks: call it in a thread.
Source: https://docs.datastax.com/en/developer/python-driver/
"""

from __future__ import annotations

import logging
import socket
import ssl
from pathlib import Path
from typing import Any, Final, Protocol

from cassandra import AuthenticationFailed, ConsistencyLevel, UnresolvableContactPoints
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.io.libevreactor import LibevConnection
from cassandra.policies import (
    AddressTranslator,
    ConstantSpeculativeExecutionPolicy,
    DCAwareRoundRobinPolicy,
    ExponentialReconnectionPolicy,
    TokenAwarePolicy,
)
from cassandra.query import tuple_factory

from ...errors import SettingsError
from . import faults
from .retries import RetryIdempotent

# What a statement is sent with: what is idempotent is sent to a second node, too, when the first one is slow.
READ: Final = "read"
WRITE: Final = EXEC_PROFILE_DEFAULT

REQUEST_S: Final = (
    4.5  # under the 5 s deadline of an operation, and over the servers' own 2 s for a write, twice
)
# Far above a healthy p99, so that a second request is rare unless a node is ill. A write costs three replicas, not one.
SPECULATE_AFTER_S: Final = {READ: 0.2, WRITE: 0.5}
CONNECT_S: Final = 5.0
HEARTBEAT_S: Final = 5.0
PROTOCOL: Final = 5


class Connection(LibevConnection):  # type: ignore[misc] # the driver has no types
    """Reads and writes in larger pieces than the driver's 4 KiB: a batch or a page is one system call, not eight."""

    in_buffer_size = 64 * 1024
    out_buffer_size = 64 * 1024


class _Translator(AddressTranslator):  # type: ignore[misc] # the driver has no types
    def __init__(self, reached: dict[str, str]) -> None:
        self._reached = reached

    def translate(self, addr: str) -> str:
        return self._reached.get(addr, addr)


class Where(Protocol):
    """Where the cluster is and what it is called, as the section `cassandra` of the settings says it.

    `translate` has the addresses at which nodes are reached that announce others. `replicas` is used once, when the
    keyspace is made. `ca` is the file of the certificate that signed the nodes'.
    """

    @property
    def hosts(self) -> tuple[str, ...]: ...
    @property
    def port(self) -> int: ...
    @property
    def translate(self) -> dict[str, str]: ...
    @property
    def keyspace(self) -> str: ...
    @property
    def datacenter(self) -> str: ...
    @property
    def replicas(self) -> int: ...
    @property
    def username(self) -> str | None: ...
    @property
    def password(self) -> str | None: ...
    @property
    def ca(self) -> Path | None: ...


def connect(settings: Where, keyspace: str | None, consistency: int | None = None) -> Any:
    """Return a driver's session; `close` ends it. Blocks. `consistency` is LOCAL_QUORUM unless given.

    Raises: `SettingsError` when the cluster refuses these settings, `StoreUnavailable` when it is away.
    """
    profiles = {name: _profile(settings, consistency, after_s) for name, after_s in SPECULATE_AFTER_S.items()}
    cluster = Cluster(
        list(settings.hosts),
        port=settings.port,
        address_translator=_Translator(settings.translate),
        execution_profiles=profiles,
        protocol_version=PROTOCOL,
        connection_class=Connection,
        compression=False,  # ciphertext does not compress
        connect_timeout=CONNECT_S,
        # Without it a batch of 64 messages waited 70 of its 100 ms for delayed acknowledgements.
        sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        control_connection_timeout=CONNECT_S,
        idle_heartbeat_interval=HEARTBEAT_S,
        idle_heartbeat_timeout=HEARTBEAT_S,
        reconnection_policy=ExponentialReconnectionPolicy(0.5, 30.0),
        auth_provider=_login(settings),
        ssl_context=_tls(settings),
    )
    try:
        return cluster.connect(keyspace)
    except UnresolvableContactPoints as error:
        raise SettingsError(
            f"None of Cassandra's hosts has an address: {', '.join(settings.hosts)}."
        ) from error
    except NoHostAvailable as error:
        cluster.shutdown()
        inner = error.errors.values() if isinstance(error.errors, dict) else ()
        if any(isinstance(one, AuthenticationFailed) for one in inner):
            raise SettingsError("Cassandra refused the user name or password.") from error
        raise faults.translated(error) from error
    except BaseException:
        cluster.shutdown()
        raise


def _login(settings: Where) -> PlainTextAuthProvider | None:
    return PlainTextAuthProvider(settings.username, settings.password) if settings.username else None


def _tls(settings: Where) -> ssl.SSLContext | None:
    if settings.ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca)
    except OSError as error:  # ssl.SSLError is one, for a file that holds no certificate
        raise SettingsError(f"Cannot read cassandra.ca, {settings.ca}: {error.strerror or error}.") from error


def close(session: Any) -> None:
    """End a session and all that it runs. Blocks."""
    session.cluster.shutdown()


def _profile(settings: Where, consistency: int | None, speculate_after_s: float) -> ExecutionProfile:
    return ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(settings.datacenter)),
        retry_policy=RetryIdempotent(),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM if consistency is None else consistency,
        serial_consistency_level=ConsistencyLevel.SERIAL,
        request_timeout=REQUEST_S,
        row_factory=tuple_factory,
        speculative_execution_policy=ConstantSpeculativeExecutionPolicy(speculate_after_s, 1),
    )


# The driver writes a line for every warning that comes with an answer; the bridge counts them instead.
logging.getLogger("cassandra.protocol").addFilter(
    lambda record: not str(record.msg).startswith("Server warning")
)
