"""Stores on a real Cassandra for tests: a keyspace that is migrated once, emptied for each test, and answers on order.

`tests/contracts/conftest.py` uses `migrated` and `empty` as well.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import trio
from cassandra import ConsistencyLevel

from chappe.settings import Cassandra
from chappe.stores.cassandra.messages import CassandraMessageStore, Options, open_message_store
from chappe.stores.cassandra.migrate import migrate
from chappe.stores.cassandra.session import close, connect
from tests.services import Services

TABLES = ("chatlog", "chatlog_buckets", "inbox", "inbox_days", "receipts", "newest")


def settings_of(services: Services, nodes: int = 1) -> Cassandra:
    """Return where a Cassandra of this test session is; it is started if need be."""
    address = services("cassandra", nodes=nodes).cassandra.address
    return Cassandra(
        hosts=tuple(address["contact_points"]),
        port=address["port"],
        keyspace="chappe_tests",
        datacenter=address["datacenter"],
        replicas=nodes,
    )


_made: set[str] = set()


def migrated(settings: Cassandra) -> Cassandra:
    """Make the keyspace, once; return the same settings."""
    if repr(settings) not in _made:
        trio.run(migrate, settings)
        _made.add(repr(settings))
    return settings


def empty(settings: Cassandra) -> None:
    """Throw away what is in the tables."""
    with_session(settings, lambda session: [session.execute(f"TRUNCATE {t}", timeout=60) for t in TABLES])


def with_session(settings: Cassandra, work: Callable[[Any], Any]) -> Any:
    """Return `work(session)`, with a session of the plain driver."""
    session = connect(settings, settings.keyspace)
    try:
        return work(session)
    finally:
        close(session)


@asynccontextmanager
async def opened(
    settings: Cassandra, now_ms: int = 0, **options: Any
) -> AsyncIterator[CassandraMessageStore]:
    """Open a store whose clock stands still: at 0 no id is ever too old."""
    async with open_message_store(settings, lambda: now_ms, replace(Options(), **options)) as store:
        yield store


class HeldFuture:
    """A driver's future whose callbacks run when the test says so."""

    def __init__(self, future: Any, gate: Gate) -> None:
        self._future = future
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._future, name)

    def add_callbacks(self, callback: Any, errback: Any, *, callback_args: Any, errback_args: Any) -> None:
        def hold(call: Any) -> Callable[[Any], None]:
            return lambda value: self._gate.arrived(lambda: call(value, *callback_args))

        assert callback_args == errback_args
        self._future.add_callbacks(hold(callback), hold(errback))


class Gate:
    """Stands between a bridge and the driver's session: statements pass, answers wait while it `is_shut`.

    A statement for one of the `unreachable` partitions asks for more replicas than there are.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._waiting: list[Callable[[], None]] = []
        self._changed = threading.Condition()
        self.is_shut = False
        self.sent = 0
        self.unreachable: set[bytes] = set()
        self.statements: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def execute_async(self, statement: Any, **how: Any) -> HeldFuture:
        self.sent += 1
        if statement.routing_key in self.unreachable:
            statement.consistency_level = ConsistencyLevel.THREE
        self.statements.append(statement)
        return HeldFuture(self._session.execute_async(statement, **how), self)

    def arrived(self, call: Callable[[], None]) -> None:
        with self._changed:
            if self.is_shut:
                self._waiting.append(call)
                self._changed.notify_all()
                return
        call()

    def until_waiting(self, count: int) -> list[Callable[[], None]]:
        """Return the answers that wait, once there are so many. Blocks."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._waiting) >= count, timeout=30)
            return list(self._waiting)

    def open(self) -> None:
        """Let the waiting answers through, from this thread, and all later ones."""
        with self._changed:
            self.is_shut = False
            waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()


def gated(store: CassandraMessageStore) -> Gate:
    """Put a gate before a store's session."""
    gate = Gate(store._bridge._session)
    store._bridge._session = gate
    return gate
