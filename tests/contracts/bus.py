"""Brokers under contract, and what the bus tests have in common: a real Redis, a sink that remembers, a lossy link.

The Redis is a process of our own on a free port, with its data nowhere. Without a `redis-server` its tests are
skipped, unless CHAPPE_REQUIRE_SERVICES is set: then they fail.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from chappe.bus.broker import Broker, Link
from chappe.bus.bus import GatewayBus
from chappe.bus.memory import MemoryHub
from chappe.bus.redis import RedisBroker
from chappe.bus.values import Bounds, GatewayId, Timing
from chappe.domain.messages import InboxRow
from chappe.ids import ConversationId, DeviceId, UserId

from ..services import leave_out
from . import samples

# Short, but beats are much rarer than what a busy machine may hold back.
TIMING = Timing(beat_s=0.2, silent_s=10.0, refresh_s=1.0, claim_ttl_s=60.0)


async def until(condition: Callable[[], bool], what: str = "", seconds: float = 30.0) -> None:
    """Wait until something holds, that another process or a time to live decides."""
    with trio.move_on_after(seconds):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.01)
        return
    raise AssertionError(f"After {seconds} s still not: {what or condition}.")


async def settled(gateway: Gateway) -> None:
    """Wait until what was given to a bus has been sent: a look-up, then a command behind it on the same connection."""
    await until(lambda: not gateway.bus._outbound)
    for _ in range(3):
        await gateway.bus.online([UserId(samples.new_id())])


class Sink:
    """Remembers everything that it is told."""

    def __init__(self) -> None:
        self.woken: list[tuple[DeviceId, InboxRow]] = []
        self.notes: list[tuple[DeviceId, bytes]] = []
        self.kicks: list[tuple[DeviceId, int]] = []
        self.changes: list[tuple[UserId, list[DeviceId]]] = []
        self.seen: list[tuple[UserId, bool, int]] = []
        self.stales = 0
        self.forgets = 0

    def wake(self, device: DeviceId, row: InboxRow) -> None:
        self.woken.append((device, row))

    def note(self, device: DeviceId, note: bytes) -> None:
        self.notes.append((device, note))

    def kick(self, device: DeviceId, session: int) -> None:
        self.kicks.append((device, session))

    def stale(self) -> None:
        self.stales += 1

    def changed(self, user: UserId, revoked: Sequence[DeviceId]) -> None:
        self.changes.append((user, list(revoked)))

    def presence(self, user: UserId, is_online: bool, at_ms: int) -> None:
        self.seen.append((user, is_online, at_ms))

    def forget(self) -> None:
        self.forgets += 1


class Lossy:
    """A broker whose links lose what `loses` says, given target and frame; and fail to publish while `is_failing`."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.loses: Callable[[GatewayId, bytes], bool] = lambda _to, _frame: False
        self.repeats = 1

    @property
    def is_alone(self) -> bool:
        return self.broker.is_alone

    @asynccontextmanager
    async def open(self, gateway: GatewayId) -> AsyncIterator[Link]:
        async with self.broker.open(gateway) as link:
            publish = link.publish

            async def lossy(frames: Sequence[tuple[GatewayId, bytes]]) -> None:
                kept = [one for one in frames if not self.loses(*one)]
                await publish(kept * self.repeats)

            link.publish = lossy  # type: ignore[method-assign]
            yield link


class Gateway:
    """A bus with its sink, running."""

    def __init__(
        self, broker: Broker, timing: Timing, bounds: Bounds | None = None, place: str | None = None
    ) -> None:
        self.lossy = Lossy(broker)
        self.bus = GatewayBus(self.lossy, timing, bounds, place)
        self.sink = Sink()
        self.scope = trio.CancelScope()
        self.sessions = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with self.scope:
            await self.bus.run(self.sink, task_status=task_status)

    async def connect(self, device: DeviceId, user: UserId | None = None) -> int:
        """Claim a device and return the session."""
        self.sessions += 1
        await self.bus.claim(device, user or UserId(samples.new_id()), self.sessions)
        return self.sessions


class World:
    """Gateways that share one broker, which can be stopped and started."""

    timing = TIMING

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    def broker(self, timing: Timing) -> Broker:
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        raise NotImplementedError

    async def gateway(
        self, timing: Timing | None = None, bounds: Bounds | None = None, place: str | None = None
    ) -> Gateway:
        """Start one more gateway."""
        made = Gateway(self.broker(timing or self.timing), timing or self.timing, bounds, place)
        await self._nursery.start(made.run)
        return made

    async def gateways(self, number: int) -> list[Gateway]:
        """Start several, and wait until they know of each other."""
        made = [await self.gateway() for _ in range(number)]
        for one in made:
            await until(lambda one=one: one.bus.counters.frames_received >= number)  # type: ignore[misc]
        return made


class MemoryWorld(World):
    def __init__(self, nursery: trio.Nursery) -> None:
        super().__init__(nursery)
        self.hub = MemoryHub(self.timing)

    def broker(self, timing: Timing) -> Broker:
        self.hub.timing = timing
        return self.hub

    async def stop(self) -> None:
        self.hub.stop()

    async def start(self) -> None:
        self.hub.start()


class RedisServer:
    """A Redis of our own."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]
        self.process: trio.Process | None = None

    async def start(self) -> None:
        command = [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir"]
        self.process = await trio.lowlevel.open_process(
            [*command, str(self._folder)], stdout=-3, stderr=-3, start_new_session=True
        )
        with trio.fail_after(30):
            while True:
                try:
                    await (await trio.open_tcp_stream("127.0.0.1", self.port)).aclose()
                except OSError:
                    await trio.sleep(0.02)
                else:
                    return

    async def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            with trio.CancelScope(shield=True):
                await self.process.wait()
            self.process = None

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


class RedisWorld(World):
    def __init__(self, nursery: trio.Nursery, server: RedisServer) -> None:
        super().__init__(nursery)
        self.server = server
        self.prefix = f"test-{secrets.token_hex(4)}:"

    def broker(self, timing: Timing) -> Broker:
        return RedisBroker(f"redis://127.0.0.1:{self.server.port}", prefix=self.prefix, timing=timing)

    async def stop(self) -> None:
        await self.server.kill()

    async def start(self) -> None:
        await self.server.start()


def redis_program() -> str:
    """Return the server's path; skip or fail the test without one."""
    program = shutil.which("redis-server")
    if program is None:
        leave_out("There is no redis-server (Debian: apt-get install redis-server).")
    return program


@asynccontextmanager
async def world(program: str | None, folder: Path) -> AsyncIterator[Any]:
    """Open a world around the hub, or around a Redis of this program."""
    async with trio.open_nursery() as nursery:
        if program is None:
            yield MemoryWorld(nursery)
        else:
            server = RedisServer(program, folder)
            await server.start()
            try:
                yield RedisWorld(nursery, server)
            finally:
                nursery.cancel_scope.cancel()
                await server.kill()
        nursery.cancel_scope.cancel()


def conversation(*devices: DeviceId, number: int = 1, body: bytes = b"ciphertext") -> list[Any]:
    """Return messages for these devices."""
    conv = ConversationId(samples.new_id())
    return [samples.message(conv, *devices, body=body) for _ in range(number)]


def rows(messages: Collection[Any], device: DeviceId) -> list[tuple[DeviceId, InboxRow]]:
    """Return what a sink has remembered when it got all of these."""
    return [(device, samples.inbox_row(message, device)) for message in messages]
