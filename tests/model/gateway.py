"""A gateway of real parts: what `chappe.node` wires up, but for sockets, accounts and the operators' endpoints.

The store, the wires and the bus' middle are the adversary's, and so is the wall clock.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from functools import partial

import trio

from chappe.bus.bus import GatewayBus
from chappe.bus.memory import MemoryHub
from chappe.domain.accounts import Device, Direct
from chappe.errors import StoreUnavailable
from chappe.gateway.connection import Connection
from chappe.gateway.directory import Directory
from chappe.gateway.dispatch import Dispatch, Parts
from chappe.gateway.hub import Hub
from chappe.gateway.pump import Pump
from chappe.gateway.router import Services
from chappe.gateway.serve import Handlers, _read, _write, pump_spec
from chappe.gateway.signin import SignIn
from chappe.gateway.sink import Sink
from chappe.gateway.times import Delays
from chappe.ids import ConversationId, DeviceId, HybridClock, UserId
from chappe.metrics import Metrics
from chappe.protocol.frames import VERSION, Challenge
from chappe.settings import Accounts, LimitSettings, Settings
from chappe.workers.log_writer import LogWriter, LogWriters
from chappe.workers.presence import PresenceServer
from chappe.workers.rereads import Rereads
from chappe.workers.shared_limits import SharedLimits
from supervisors import (
    AutoShutdown,
    ChildStartFailed,
    ChildTerminated,
    DynamicSupervisor,
    Event,
    GaveUp,
    Restart,
    Supervisor,
    child,
    supervisor_child,
)

from .network import Gate, Middle, Wire
from .rules import TIMING, Rules
from .store import Rows, SharedStore

BEGIN_MS = 1_700_000_000_000
SERVER = "model"
METRICS = Metrics()
LIMITS = LimitSettings(live_events=3, messages_burst=1000)  # a live queue that overflows, and does so soon


@dataclass
class Everything:
    """What all gateways share."""

    rules: Rules
    devices: dict[DeviceId, Device]
    directs: dict[ConversationId, Direct]
    rows: Rows = field(default_factory=Rows)
    bus: MemoryHub = field(default_factory=MemoryHub)
    bugs: list[str] = field(default_factory=list)


class Users:
    """The part of a user store that sending and signing in need; it never fails."""

    def __init__(self, world: Everything) -> None:
        self._world = world

    async def device(self, device: DeviceId) -> Device | None:
        await trio.lowlevel.checkpoint()
        return self._world.devices.get(device)

    async def devices(self, user: UserId) -> list[Device]:
        await trio.lowlevel.checkpoint()
        return [device for device in self._world.devices.values() if device.user == user]

    async def direct(self, conv: ConversationId) -> Direct | None:
        await trio.lowlevel.checkpoint()
        return self._world.directs.get(conv)


class Gateway:
    """One life of a gateway, from its start to its end."""

    def __init__(self, world: Everything, skew_ms: int) -> None:
        rules = world.rules
        self.skew_ms = skew_ms
        self.is_dead = False
        self.scope = trio.CancelScope()
        self.gates = {name: Gate() for name in ("devices", "bus", "store")}
        self.middle = Middle(world.bus, self.gates["bus"])
        self.store = SharedStore(world.rows, rules, self.now_ms, self.gates["store"])
        self._world = world
        self._wires: set[Wire] = set()
        self._numbers = 0
        self.hub = Hub()
        bus = GatewayBus(self.middle)
        users = Users(world)
        directory = Directory(users)
        self.clock = HybridClock(self.now_ms, secrets.randbits(48))
        writers = LogWriters(
            [
                LogWriter(self.store, METRICS, batch=8, queue=16, deadline_s=rules.ack_deadline_s())
                for _ in range(2)
            ]
        )
        presence = PresenceServer(users, self.hub, bus, METRICS, self.now_ms)
        rereads = Rereads(self.hub, bus, directory.forget_all, is_sole=False)
        self.router = rules.router(
            Services(self.hub, directory, self.store, writers, bus, self.clock, METRICS, self.now_ms),
            LIMITS,
            TIMING,
        )
        self.router._late_ms = rules.late_ms()
        limits = SharedLimits(bus, LIMITS, self.now_ms)
        if not rules.do_cursors_follow_reads:
            self.router.live_horizon = self.router.horizon
        delays = Delays(METRICS, self.now_ms)
        parts = Parts(
            hub=self.hub,
            router=self.router,
            signin=SignIn(users, directory, None, Accounts(), limits, self.now_ms),
            bus=bus,
            limits=limits,
            calls=None,
            requests=None,
            metrics=METRICS,
            delays=delays,
            now_ms=self.now_ms,
            admitted=lambda _: None,
        )
        settings = Settings(gateway={"name": SERVER}, limits=LIMITS, timing=TIMING)
        dispatch = Dispatch(parts, settings, rules.resend_ms())
        pump = Pump(
            self.store, METRICS, self.router.horizon, self.router.live_horizon, self.clock.observe, delays
        )
        self._bus = bus
        self._handlers = Handlers(dispatch.frames, pump.run, self._left, delays.written)
        self._pool: DynamicSupervisor | None = None
        sink = Sink(self.hub, directory, presence, rereads, self.clock.observe)
        self._supervisor = Supervisor(
            [
                child(bus.run, sink, id="bus"),
                *(child(writer.run, id=f"log-writer-{n}") for n, writer in enumerate(writers)),
                child(rereads.run, id="rereads"),
                supervisor_child(self._make_pool, id="connections"),
            ],
            name="gateway",
            observer=self._observe,
        )

    def now_ms(self) -> int:
        return BEGIN_MS + int(trio.current_time() * 1000) + self.skew_ms

    async def run(self) -> None:
        """Live until killed."""
        with self.scope:
            self.clock.observe(await self.store.newest_id())
            await self._supervisor.run()

    def kill(self) -> None:
        """Die at once: nothing goes out any more, by any way."""
        self.is_dead = True
        for gate in self.gates.values():
            gate.shut()
        for wire in self._wires:
            wire.hang_up()
        self.scope.cancel()

    def connect(self, wire: Wire) -> bool:
        """Take a device's connection; say whether there is anybody to take it."""
        if self.is_dead or self._pool is None:
            return False
        self._numbers += 1
        connection = Connection(self._numbers, "", secrets.token_bytes(32), LIMITS, TIMING)
        self.hub.add(connection)
        self._pool.start_child_nowait(
            child(self._serve, connection, wire, id=str(connection.id), restart=Restart.TEMPORARY)
        )
        return True

    def _make_pool(self) -> DynamicSupervisor:
        self._pool = DynamicSupervisor(name="connections")
        return self._pool

    async def _serve(self, connection: Connection, wire: Wire) -> None:
        """`gateway.serve` without its WebSocket."""
        self._wires.add(wire)
        connection.post(Challenge(connection.nonce, SERVER, [VERSION]))
        supervisor = Supervisor(
            [
                child(
                    _write, connection, wire, self._handlers,
                    id="writer", restart=Restart.TEMPORARY, significant=True,
                ),
                child(
                    _read, connection, wire, self._handlers,
                    id="reader", restart=Restart.TEMPORARY, significant=True,
                ),
            ],
            name="session",
            intensity=5,
            period_s=30.0,
            auto_shutdown=AutoShutdown.ANY_SIGNIFICANT,
        )  # fmt: skip
        connection.start_pump = partial(supervisor.start_child, pump_spec(connection, self._handlers))
        try:
            with connection.scope:
                await supervisor.run()
        except GaveUp:
            pass
        finally:
            connection.session.close()
            self._wires.discard(wire)
            wire.hang_up()
            self.hub.leave(connection)
            self._left(connection)

    def _left(self, connection: Connection) -> None:
        if connection.device is not None:
            self._bus.release_nowait(connection.device, connection.id)

    def _observe(self, event: Event) -> None:
        """Whatever crashes for another reason than the weather is a bug, though its supervisor heals it."""
        if not isinstance(event, ChildTerminated | ChildStartFailed) or event.report is None:
            return
        kind = event.report.error.partition(":")[0]
        if not kind.endswith((StoreUnavailable.__name__, GaveUp.__name__)):
            self._world.bugs.append(event.report.text)
