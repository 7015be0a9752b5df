"""A real server for the SDK's tests: a whole node, in this process, behind real sockets."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, redirect_stdout
from pathlib import Path

import trio

from chappe.app import open_node
from chappe.client import Client, Me, login, register
from chappe.client.store.database import FILE
from chappe.settings import Settings

PASSPHRASE = "correct horse"
PASSWORD = "battery staple 42"


class Server:
    """Starts and stops a node on one port and one data folder, as often as a test wants."""

    def __init__(self, folder: Path, nursery: trio.Nursery) -> None:
        self.folder = folder
        self.port = 0
        self.codes = io.StringIO()
        self._nursery = nursery
        self._stop = trio.Event()
        self._stopped = trio.Event()

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def start(self) -> None:
        await self._nursery.start(self._run)

    async def stop(self) -> None:
        self._stop.set()
        await self._stopped.wait()

    async def code(self) -> str:
        """Read the newest verification code, as a person reads it from a phone."""
        return self.codes.getvalue().split()[-1]

    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:
        self._stop, self._stopped = trio.Event(), trio.Event()
        settings = Settings(
            gateway={"port": self.port},
            http={"port": 0},
            stores={"data": self.folder},
            accounts={"argon2_memory_kib": 64, "argon2_passes": 1},
            limits={"signups_per_address_burst": 1000},
            timing={"goaway_spread_s": 0.2, "drain_s": 2.0},
        )
        with redirect_stdout(self.codes):
            node_manager = open_node(settings)
            node = await node_manager.__aenter__()
        try:
            self.port = node.gateway_port
            async with trio.open_nursery() as nursery:
                await nursery.start(node.supervisor.run)
                task_status.started()
                await self._stop.wait()
                await node.supervisor.stop()
        finally:
            await node_manager.__aexit__(None, None, None)
            self._stopped.set()


@asynccontextmanager
async def running_server(folder: Path) -> AsyncIterator[Server]:
    """Run a server until left."""
    async with trio.open_nursery() as nursery:
        server = Server(folder, nursery)
        await server.start()
        try:
            yield server
        finally:
            with trio.CancelScope(shield=True):
                await server.stop()


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return once something holds; fail after 20 seconds."""
    with trio.fail_after(20):
        while not await holds():  # noqa: ASYNC110 - what a person would see, not an event
            await trio.sleep(0.02)


class Home:
    """Where test people keep their folders, and how they come to be."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self._phones = 30_000_000

    async def registered(self, name: str, folder: str | None = None) -> Me:
        """Register somebody, in a folder of the same name unless another is given."""
        self._phones += 1
        return await register(
            self.server.address,
            self.folder / (folder or name),
            PASSPHRASE,
            username=name,
            phone=f"+49151{self._phones}",
            password=PASSWORD,
            ask_code=self.server.code,
        )

    def again(self) -> None:
        """Give the next one who registers the phone number of the last one."""
        self._phones -= 1

    def client(self, name: str) -> Client:
        """Return somebody's client, to be entered."""
        return Client(self.folder / name, PASSPHRASE)

    def copied(self, name: str, copy: str) -> Client:
        """Return a client on a copy of somebody's folder, as a restored backup would be."""
        (self.folder / copy).mkdir()
        source = sqlite3.connect(self.folder / name / FILE)
        target = sqlite3.connect(self.folder / copy / FILE)
        source.backup(target)
        source.close()
        target.close()
        return self.client(copy)

    async def linked(self, approver: Client, name: str) -> Me:
        """Log a further device of the approver's account in, and approve it."""

        async def approve(code: str) -> None:
            await approver.link(code, name)

        return await login(
            self.server.address,
            self.folder / name,
            PASSPHRASE,
            username=approver.me.username,
            password=PASSWORD,
            device_name=name,
            show_code=approve,
        )
