"""The composition root: the one place that knows every concrete part of a node, and draws its supervision tree.

`chappe serve` calls `run`; tests and the demonstration may start a `Node` inside their own trio run. The order of the
children is the order of dependence: listeners start last and stop first, so that a node drains before anything under
it goes away.
"""

from __future__ import annotations

import gc
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import structlog
import trio

from supervisors import (
    ChildSpec,
    DynamicSupervisor,
    Event,
    Supervisor,
    child,
    supervisor_child,
    trap_stop,
)
from supervisors import Node as TreeNode

from .errors import SettingsError, StoreUnavailable
from .gateway.calls import Backends, Calls
from .gateway.code_senders import ConsoleSender
from .gateway.connection import Connection
from .gateway.directory import Directory
from .gateway.dispatch import Dispatch, Parts
from .gateway.hub import Hub
from .gateway.listener import Door, Listener
from .gateway.pump import Pump
from .gateway.requests import Requests
from .gateway.router import Router, Services
from .gateway.serve import Handlers
from .gateway.signin import SignIn
from .gateway.sweeper import sweep
from .gateway.tls import server_context
from .http.app import Insight, serve_http
from .ids import HybridClock
from .logs import configure, on_supervisor_event
from .metrics import Metrics
from .ports import KeyStore
from .protocol.codes import CloseCode
from .settings import Settings
from .stores.folder import open_data_folder
from .stores.sql.engine import open_database
from .stores.sql.keys import SqlKeyStore
from .stores.sql.users import SqlUserStore
from .stores.sqlite.messages import SqliteMessageStore, open_message_store
from .stores.threads import SWITCH_INTERVAL_S
from .workers.expiry import expire
from .workers.log_writer import LogWriter
from .workers.presence import PresenceServer

log = structlog.get_logger("node")


def now_ms() -> int:
    """Return the wall clock, in milliseconds since 1970 (UTC)."""
    return time.time_ns() // 1_000_000


class Node:
    """A node, wired up. Make one with `open_node`; `supervisor.run` is what starts it."""

    def __init__(
        self,
        settings: Settings,
        stores: tuple[SqlUserStore, KeyStore, SqliteMessageStore],
        sockets: tuple[list[trio.SocketListener], trio.SocketListener],
        clock: HybridClock,
    ) -> None:
        users, keys, messages = stores
        self.settings = settings
        self.metrics = metrics = Metrics()
        self.hub = hub = Hub()
        self.clock = clock
        self._sockets, self._http_socket = sockets
        self.gateway_port: int = self._sockets[0].socket.getsockname()[1]
        self.http_port: int = self._http_socket.socket.getsockname()[1]
        self._users, self._messages = users, messages
        self._is_draining = False
        self._pools: dict[str, DynamicSupervisor] = {}
        limits, timing = settings.limits, settings.timing
        directory = Directory(users)
        self._writer = LogWriter(
            messages,
            metrics,
            batch=settings.stores.batch_messages,
            queue=settings.stores.queue_messages,
            deadline_s=timing.write_deadline_s,
        )
        self._presence = PresenceServer(users, hub, metrics, now_ms)
        router = Router(
            Services(hub, directory, messages, self._writer, self.clock, metrics, now_ms), limits, timing
        )
        pump = Pump(messages, metrics, router.horizon, now_ms, timing.late_ms)
        parts = Parts(
            hub=hub,
            router=router,
            signin=SignIn(users, directory, ConsoleSender(), settings.accounts, limits, now_ms),
            calls=Calls(Backends(users, keys, messages, directory, hub, self._presence, limits, now_ms)),
            requests=Requests(partial(self._pools.__getitem__, "requests"), metrics),
            metrics=metrics,
            now_ms=now_ms,
            admitted=self._admitted,
        )
        handlers = Handlers(Dispatch(parts, settings).frames, pump.run, self._presence.forget)
        door = Door(partial(self._pools.__getitem__, "connections"), hub, handlers, metrics, self._observe)
        self._listener = Listener(settings, server_context(settings.gateway, settings.stores.data), door)
        self.supervisor = self._draw_tree()
        self._add_gauges()

    def snapshot(self) -> TreeNode:
        """Return the live supervision tree."""
        return self.supervisor.snapshot()

    async def problems(self) -> list[str]:
        """Return why this node is not ready for traffic."""
        found = []
        if self._is_draining:
            found.append("This node is draining; send clients elsewhere.")
        for name, ask in (("message store", self._messages.ping), ("user store", self._users.ping)):
            try:
                await ask()
            except StoreUnavailable as error:
                found.append(f"The {name} does not answer: {error}")
        ahead_ms = self.clock.ahead_ms()
        if ahead_ms > self.settings.timing.skew_s * 1000:
            found.append(f"The wall clock is {ahead_ms} ms behind the newest message; set it right.")
        return found

    def _draw_tree(self) -> Supervisor:
        settings = self.settings
        insight = Insight(self.metrics.registry, self.problems, self.snapshot)
        return Supervisor(
            [
                child(serve_http, self._http_socket, insight, id="http"),
                child(self._writer.run, id="log-writer", shutdown=settings.timing.write_deadline_s),
                child(expire, self._messages, self._users, settings.stores.inbox_days, now_ms, id="expiry"),
                child(self._presence.run, id="presence"),
                self._pool("requests", settings.limits.requests),
                self._pool("connections", settings.limits.connections),
                child(sweep, self.hub, settings.timing, now_ms, id="sweeper"),
                child(self._drain, id="drain", shutdown=settings.timing.drain_s + 1.0),
                supervisor_child(self._listeners, id="listeners"),
            ],
            name="node",
            intensity=10,
            period_s=60.0,
            observer=self._observe,
        )

    def _pool(self, name: str, most: int) -> ChildSpec:
        def make() -> DynamicSupervisor:
            pool = DynamicSupervisor(name=name, max_children=most, observer=self._observe)
            self._pools[name] = pool
            return pool

        return supervisor_child(make, id=name)

    def _listeners(self) -> Supervisor:
        return Supervisor(
            self._listener.specs(self._sockets),
            name="listeners",
            intensity=10,
            period_s=60.0,
            observer=self._observe,
        )

    def _admitted(self, connection: Connection) -> None:
        self._listener.admitted(connection)

    def _observe(self, event: Event) -> None:
        self.metrics.on_supervisor_event(event)
        on_supervisor_event(event)

    async def _drain(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """When the node stops: ask the clients to leave, and give them time to."""
        stop = trap_stop()
        task_status.started()
        await stop.wait()
        self._is_draining = True
        # Nobody accepts any more: who knocks now is to hear it at once, not to wait in the backlog.
        for socket in self._sockets:
            await socket.aclose()
        timing = self.settings.timing
        for connection in self.hub:
            if connection.user is None:
                connection.close(CloseCode.GOING_AWAY, "The server is stopping.")
            connection.go_away("The server is stopping.", (0.0, timing.goaway_spread_s))
        with trio.move_on_after(timing.drain_s):
            await self.hub.emptied()

    def _add_gauges(self) -> None:
        gauge = self.metrics.gauge
        gauge("chappe_connections", "Open connections.", lambda: len(self.hub))
        gauge("chappe_devices_online", "Devices signed in.", lambda: self.hub.signed_in)
        gauge("chappe_log_queue_messages", "Messages waiting for the log.", lambda: self._writer.waiting)
        gauge(
            "chappe_clock_ahead_seconds",
            "Message ids ahead of the wall clock.",
            lambda: self.clock.ahead_ms() / 1000,
        )


@asynccontextmanager
async def open_node(settings: Settings) -> AsyncIterator[Node]:
    """Open the data folder, the stores and the sockets, and wire a node up; nothing runs yet.

    Raises: `DataFolderInUse`, `SettingsError`, `StoreUnavailable`; what was opened is closed again.
    """
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(open_data_folder(settings.stores.data))
        url = settings.stores.users_url or f"sqlite:///{folder / 'users.sqlite'}"
        database = await stack.enter_async_context(open_database(url))
        messages = await stack.enter_async_context(open_message_store(folder / "messages.sqlite"))
        clock = HybridClock(now_ms, secrets.randbits(48))
        clock.observe(await messages.newest_id())
        gateway, http = settings.gateway, settings.http
        sockets = await _listen(stack, gateway.host, gateway.port, gateway.backlog)
        http_socket, *_ = await _listen(stack, http.host, http.port, gateway.backlog)
        stores = SqlUserStore(database), SqlKeyStore(database), messages
        yield Node(settings, stores, (sockets, http_socket), clock)


async def _listen(stack: AsyncExitStack, host: str, port: int, backlog: int) -> list[trio.SocketListener]:
    try:
        sockets = await trio.open_tcp_listeners(port, host=host, backlog=backlog)
    except OSError as error:
        raise SettingsError(f"Cannot listen on {host} port {port}: {error.strerror or error}.") from error
    for socket in sockets:
        stack.push_async_callback(socket.aclose)
    return sockets


async def serve(settings: Settings) -> None:
    """Run a node until SIGTERM or SIGINT, then drain it and stop."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with open_node(settings) as node, trio.open_nursery() as nursery:
            await nursery.start(node.supervisor.run)
            log.info(
                "listening",
                host=settings.gateway.host,
                port=node.gateway_port,
                tls=settings.gateway.self_signed or settings.gateway.certificate is not None,
            )
            async for number in signals:
                log.info("stopping", signal=signal.Signals(number).name)
                break
            await node.supervisor.stop()
    log.info("stopped")


def _calm_the_collector() -> None:
    """Let the garbage collector look less often, and not at what lives as long as the process.

    With the defaults it took a sixth of the event loop's time, visiting every connection's tasks for a few cycles
    that exceptions leave behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def run(settings: Settings) -> None:
    """Run a node; blocks.

    Raises: `ChappeError` when it cannot start; what a supervisor gave up on when it cannot go on.
    """
    configure(settings.log)
    _calm_the_collector()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    trio.run(serve, settings)
