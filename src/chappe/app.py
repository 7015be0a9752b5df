"""The composition root: the one place that knows every concrete part of a node, and opens what the settings name.

`chappe serve` calls `run`; tests and the demonstration may open a node inside their own trio run. What is made here is
wired up in `node.py`.
"""

from __future__ import annotations

import gc
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import structlog
import trio

from .bus.bus import GatewayBus
from .bus.memory import MemoryHub
from .bus.values import Timing as BusTiming
from .errors import MissingExtra, SettingsError
from .fleet.link import Link
from .ids import HybridClock
from .logs import configure
from .metrics import Metrics
from .node import Node, Rim
from .ports import MessageStore
from .settings import BusSettings, Settings
from .signals import on_signals
from .sockets import listen
from .stores.folder import open_data_folder
from .stores.observed import observed
from .stores.sql.engine import default_url, open_database
from .stores.sql.keys import SqlKeyStore
from .stores.sql.users import SqlUserStore
from .stores.sqlite.messages import SqliteMessageStore, open_message_store
from .stores.threads import SWITCH_INTERVAL_S

log = structlog.get_logger("node")


def now_ms() -> int:
    """Return the wall clock, in milliseconds since 1970 (UTC)."""
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def open_node(settings: Settings, worker: str = "") -> AsyncIterator[Node]:
    """Open the data folder, the stores, the bus and the sockets, and wire a node up; nothing runs yet. `worker` is its
    name if the node has several.

    Raises: `DataFolderInUse`, `SettingsError`, `StoreUnavailable`; what was opened is closed again.
    """
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        await _trace(stack, settings, metrics)
        stores = settings.stores
        folder = stores.data
        if stores.messages == "sqlite" or stores.users_url is None:
            folder = stack.enter_context(open_data_folder(folder))
        database = await stack.enter_async_context(open_database(stores.users_url or default_url(folder)))
        messages: MessageStore
        inbox: SqliteMessageStore | None = None
        if stores.messages == "sqlite":
            path = folder / "messages.sqlite"
            messages = inbox = await stack.enter_async_context(open_message_store(path))
        else:
            messages = await stack.enter_async_context(_open_cassandra(settings, metrics))
        bus = make_bus(settings.bus, metrics, f"{settings.http.node_name}/{worker}")
        clock = HybridClock(now_ms, secrets.randbits(48))
        clock.observe(await messages.newest_id())
        gateway, http = settings.gateway, settings.http
        sockets = await listen(
            stack, gateway.host, gateway.port, gateway.backlog, is_shared=gateway.workers > 1
        )
        http_socket, *_ = await listen(stack, http.host, http.port, gateway.backlog)
        users = SqlUserStore(database)
        rim = Rim(
            observed(users, partial(metrics.store_operation, "users")),
            observed(SqlKeyStore(database), partial(metrics.store_operation, "keys")),
            observed(messages, partial(metrics.store_operation, "messages")),
            inbox,
            bus,
            sockets,
            http_socket,
            await users.restored_ms(),
        )
        yield Node(settings, rim, clock, metrics, now_ms)


async def _trace(stack: AsyncExitStack, settings: Settings, metrics: Metrics) -> None:
    """Have spans made of messages, if the settings want any. Raises: `SettingsError`."""
    tracing = settings.tracing
    if tracing.exporter is None:
        return
    try:
        from .spans import open_spans  # noqa: PLC0415 - an extra
    except ImportError:
        raise SettingsError("tracing.exporter needs the extra `otel`: pip install 'chappe[otel]'.") from None
    spans = open_spans(tracing.exporter, tracing.share, settings.http.node_name)
    stack.push_async_callback(spans.aclose)
    metrics.traces.spans = spans


def make_bus(settings: BusSettings, metrics: Metrics, place: str) -> GatewayBus:
    """Return the bus; `place` is what this process is called in every one of its lives.

    Raises: `SettingsError`.
    """
    timing = BusTiming()
    if settings.url is None:
        return GatewayBus(MemoryHub(timing), timing)
    try:
        from .bus.redis import RedisBroker  # noqa: PLC0415 - an extra: only those who have more nodes need it

        broker = RedisBroker(settings.url, prefix=settings.prefix, timing=timing)
        bus = GatewayBus(broker, timing, place=place)
    except ImportError:
        raise MissingExtra("bus.url", "redis") from None
    except ValueError as error:
        raise SettingsError("bus.url is no address of a Redis: write redis://host:port.") from error
    metrics.watch_bus(bus.counters, bus.waiting)
    bus.tell_published(metrics.traces.published)
    return bus


@asynccontextmanager
async def _open_cassandra(settings: Settings, metrics: Metrics) -> AsyncIterator[MessageStore]:
    """Raises: `SettingsError`, `StoreUnavailable`."""
    try:
        from .stores.cassandra import messages as cassandra  # noqa: PLC0415 - an extra, and half a second to import
    except ImportError:
        raise MissingExtra('stores.messages = "cassandra"', "cassandra") from None
    options = cassandra.Options(
        inbox_days=settings.stores.inbox_days,
        log_days=settings.stores.log_days,
        write_deadline_ms=int(settings.timing.write_deadline_s * 1000),
        requests=settings.cassandra.requests,
        observe=metrics.store_request,
        warn=metrics.store_warning,
    )
    async with cassandra.open_message_store(settings.cassandra, now_ms, options) as store:
        metrics.watch_replicas(store.replicas)
        yield store


async def serve(settings: Settings, parent: socket.socket | None = None, worker: str = "") -> None:
    """Run a node until SIGTERM, SIGINT, SIGHUP or the end of its parent, then drain it and stop."""
    stop = trio.Event()
    actions = dict.fromkeys((signal.SIGTERM, signal.SIGINT, signal.SIGHUP), stop.set)
    async with trio.open_nursery() as helpers:
        await helpers.start(on_signals, actions)
        link = None if parent is None else Link(parent)
        if link is not None:
            helpers.start_soon(link.run, stop.set)
        # The inner nursery holds the root of the tree, above which there is nothing but the service manager.
        async with open_node(settings, worker) as node, trio.open_nursery() as nursery:
            await nursery.start(node.supervisor.run)
            log.info(
                "listening",
                host=settings.gateway.host,
                port=node.gateway_port,
                tls=settings.gateway.self_signed or settings.gateway.certificate is not None,
            )
            if link is not None:
                await link.ready(node.http_port)
            await stop.wait()
            await node.supervisor.stop()
        helpers.cancel_scope.cancel()
    log.info("stopped")


def _calm_the_collector() -> None:
    """Let the garbage collector look less often, and not at what lives as long as the process.

    With the defaults it took a sixth of the event loop's time, visiting every connection's tasks for a few cycles
    that exceptions leave behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def run(settings: Settings, parent: socket.socket | None = None, worker: str = "") -> None:
    """Run a node; blocks. A worker of a fleet has a name, and the link to its parent.

    Raises: `ChappeError` when it cannot start; what a supervisor gave up on when it cannot go on.
    """
    configure(settings.log)
    _calm_the_collector()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    trio.run(serve, settings, parent, worker)
