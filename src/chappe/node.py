"""A node, wired up from its parts: who knows whom, and the supervision tree that runs them.

`app.py` opens stores, bus and sockets and makes a `Node` of them; here they are ports. The order of the children is the
order of dependence: listeners start last and stop first, so that a node drains before anything under it goes away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import trio

from supervisors import (
    ChildSpec,
    DynamicSupervisor,
    Event,
    PartitionSupervisor,
    Supervisor,
    child,
    supervisor_child,
    trap_stop,
)
from supervisors import Node as TreeNode

from .errors import StoreUnavailable
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
from .gateway.sink import Sink
from .gateway.sweeper import sweep
from .gateway.times import Delays
from .gateway.tls import server_context
from .gauges import Watched, add_gauges
from .http.app import Insight, serve_http
from .ids import HybridClock
from .logs import on_supervisor_event
from .metrics import Metrics
from .ports import Bus, BusSink, KeyStore, MessageStore, UserStore
from .protocol.codes import CloseCode
from .settings import Settings
from .workers.clock import ClockCheck
from .workers.expiry import ExpiringMessages, ExpiringUsers, expire
from .workers.log_writer import LogWriter, LogWriters
from .workers.presence import PresenceServer
from .workers.rereads import Rereads
from .workers.shared_limits import SharedLimits

# What is lost when it takes longer: when those were last seen who are here at the stop.
PRESENCE_STOP_S = 2.0

# For what waits to go out to other gateways, and the goodbye.
BUS_STOP_S = 5.0

# Children of one supervisor that a scrape looks at for mailboxes: more than partitions, fewer than connections.
MOST_SERVERS = 50


class Users(UserStore, ExpiringUsers, Protocol):
    """A user store, and what it drops now and then."""


class RunningBus(Bus, Protocol):
    """A bus, and the task that serves it."""

    async def run(self, sink: BusSink, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until asked to stop."""


@dataclass(frozen=True, slots=True)
class Rim:
    """What a node is wired to. `inbox` is None when rows expire by themselves; `restored_ms`: see `UserStore`."""

    users: Users
    keys: KeyStore
    messages: MessageStore
    inbox: ExpiringMessages | None
    bus: RunningBus
    sockets: list[trio.SocketListener]
    http_socket: trio.SocketListener
    restored_ms: int = 0


class Node:
    """A node, wired up. Make one with `open_node`; `supervisor.run` is what starts it."""

    def __init__(
        self, settings: Settings, rim: Rim, clock: HybridClock, metrics: Metrics, now_ms: Callable[[], int]
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self.hub = hub = Hub()
        self.clock = clock
        self._rim = rim
        self._now_ms = now_ms
        self.gateway_port: int = rim.sockets[0].socket.getsockname()[1]
        self.http_port: int = rim.http_socket.socket.getsockname()[1]
        self._is_draining = False
        self._opened_s = trio.current_time()
        self._pools: dict[str, DynamicSupervisor] = {}
        users, messages, bus = rim.users, rim.messages, rim.bus
        limits, timing = settings.limits, settings.timing
        directory = Directory(users)
        self._writers = self._make_writers()
        self._limits = SharedLimits(bus, limits, now_ms)
        self._clock_check = ClockCheck(users.now_ms, now_ms, timing.skew_s)
        self._presence = PresenceServer(users, hub, bus, metrics, now_ms)
        self._rereads = Rereads(hub, bus, directory.forget_all, is_sole=messages.is_exclusive)
        router = Router(
            Services(hub, directory, messages, self._writers, bus, clock, metrics, now_ms),
            limits,
            timing,
        )
        self._sink = Sink(hub, directory, self._presence, self._rereads, clock.observe)
        delays = Delays(metrics, now_ms)
        pump = Pump(messages, metrics, router.horizon, router.live_horizon, clock.observe, delays)
        parts = Parts(
            hub=hub,
            router=router,
            signin=SignIn(users, directory, ConsoleSender(), settings.accounts, self._limits, now_ms),
            bus=bus,
            limits=self._limits,
            calls=Calls(
                Backends(users, rim.keys, messages, directory, hub, bus, self._presence, limits, now_ms)
            ),
            requests=Requests(partial(self._pools.__getitem__, "requests"), metrics),
            metrics=metrics,
            delays=delays,
            now_ms=now_ms,
            admitted=self._admitted,
        )
        # A gateway that is alone knows what it is writing; of another one's writes nobody knows before W is over.
        resend_ms = 0 if messages.is_exclusive else timing.late_ms
        dispatch = Dispatch(parts, settings, resend_ms, rim.restored_ms)
        handlers = Handlers(dispatch.frames, pump.run, self._left, delays.written)
        door = Door(partial(self._pools.__getitem__, "connections"), hub, handlers, metrics)
        self._listener = Listener(settings, server_context(settings.gateway, settings.stores.data), door)
        self.supervisor = self._draw_tree()
        metrics.tree.watch(partial(self.snapshot, MOST_SERVERS))
        add_gauges(
            metrics,
            Watched(settings, hub, self._writers, self._presence, bus, clock, self._clock_check),
        )

    def snapshot(self, most_children: int | None = None) -> TreeNode:
        """Return the live supervision tree, or of each supervisor at most so many children."""
        root = self.supervisor.snapshot(most_children=most_children)
        return replace(root, running_s=trio.current_time() - self._opened_s)

    async def problems(self) -> list[str]:
        """Return why this node is not ready for traffic."""
        found = []
        if self._is_draining:
            found.append("This node is draining; send clients elsewhere.")
        for name, ask in (("message store", self._rim.messages.ping), ("user store", self._rim.users.ping)):
            try:
                await ask()
            except StoreUnavailable as error:
                found.append(f"The {name} does not answer: {error}")
        found += filter(None, [self._clock_check.problem()])
        ahead_ms = self.clock.ahead_ms()
        if ahead_ms > self.settings.timing.skew_s * 1000:
            found.append(f"The wall clock is {ahead_ms} ms behind the newest message; set it right.")
        return found

    def _draw_tree(self) -> Supervisor:
        settings = self.settings
        rim, now_ms = self._rim, self._now_ms
        breakable = (lambda: self.supervisor) if settings.chaos.enabled else None
        insight = Insight(
            self.metrics.registry, self.problems, self.snapshot, settings.http.node_name, breakable
        )
        return Supervisor(
            [
                child(serve_http, rim.http_socket, insight, id="http"),
                child(rim.bus.run, self._sink, id="bus", shutdown=BUS_STOP_S),
                supervisor_child(self._log_writers, id="log-writers"),
                child(
                    expire,
                    rim.inbox,
                    rim.users,
                    settings.stores.inbox_days,
                    settings.stores.log_days,
                    now_ms,
                    id="expiry",
                ),
                child(self._clock_check.run, id="clock"),
                child(self._presence.run, id="presence", shutdown=PRESENCE_STOP_S),
                child(self._rereads.run, id="rereads"),
                child(self._limits.run, id="shared-limits"),
                self._pool("requests", settings.limits.requests),
                self._pool("connections", settings.limits.connections),
                child(sweep, self.hub, settings.timing, now_ms, self.metrics.loop_lag.observe, id="sweeper"),
                child(self._drain, id="drain", shutdown=settings.timing.drain_s + 1.0),
                supervisor_child(self._listeners, id="listeners"),
            ],
            name="node",
            intensity=10,
            period_s=60.0,
            observer=self._observe,
            shutdown=settings.timing.drain_s + settings.timing.stop_s,
        )

    def _make_writers(self) -> LogWriters:
        stores = self.settings.stores
        number = 1 if self._rim.messages.is_exclusive else stores.log_writers
        return LogWriters(
            [
                LogWriter(
                    self._rim.messages,
                    self.metrics,
                    batch=stores.batch_messages,
                    queue=max(1, stores.queue_messages // number),
                    deadline_s=self.settings.timing.write_deadline_s,
                )
                for _ in range(number)
            ]
        )

    def _log_writers(self) -> PartitionSupervisor:
        shutdown = self.settings.timing.write_deadline_s

        def spec(number: int) -> ChildSpec:
            return child(self._writers[number].run, shutdown=shutdown)

        return PartitionSupervisor(
            spec, partitions=len(self._writers), name="log-writers", intensity=10, period_s=60.0
        )

    def _pool(self, name: str, most: int) -> ChildSpec:
        def make() -> DynamicSupervisor:
            pool = DynamicSupervisor(name=name, max_children=most)
            self._pools[name] = pool
            return pool

        return supervisor_child(make, id=name)

    def _listeners(self) -> Supervisor:
        return Supervisor(
            self._listener.specs(self._rim.sockets),
            name="listeners",
            intensity=10,
            period_s=60.0,
        )

    def _admitted(self, connection: Connection) -> None:
        self._listener.admitted(connection)

    def _left(self, connection: Connection) -> None:
        """Let go of a connection that has ended."""
        self._presence.forget(connection)
        if connection.device is not None:
            self._rim.bus.release_nowait(connection.device, connection.id)
            self._limits.save_nowait(connection.device, connection.buckets)

    def _observe(self, event: Event) -> None:
        self.metrics.tree.observe(event)
        on_supervisor_event(event)

    async def _drain(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """When the node stops: ask the clients to leave, and give them time to."""
        stop = trap_stop()
        task_status.started()
        await stop.wait()
        self._is_draining = True
        # Nobody accepts any more: who knocks now is to hear it at once, not to wait in the backlog.
        for socket in self._rim.sockets:
            await socket.aclose()
        timing = self.settings.timing
        for connection in self.hub:
            if connection.user is None:
                connection.close(CloseCode.GOING_AWAY, "The server is stopping.")
            connection.go_away("The server is stopping.", (0.0, timing.goaway_spread_s))
        with trio.move_on_after(timing.drain_s):
            await self.hub.emptied()
