"""Toxiproxy between two parts: latency, bandwidth, resets and black holes on real TCP connections.

The program is built once by Go at a pinned version and kept beside Cassandra's jars; without Go, or a build, it is
`Unavailable`. Its HTTP API is small enough for the standard library: https://github.com/Shopify/toxiproxy#http-api
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Final

import trio

from deploy.services.errors import Unavailable
from deploy.services.java import default_jars
from deploy.services.process import Recipe, Server
from deploy.services.service import Service, free_port

HOST: Final = "127.0.0.1"
VERSION: Final = "v2.12.0"
MODULE: Final = f"github.com/Shopify/toxiproxy/v2/cmd/server@{VERSION}"
BUILD_S: Final = 300.0


def _program() -> Path:
    return default_jars().parent / f"toxiproxy-{VERSION}" / "server"


def build() -> Path:
    """Return the program, built at the first call. Raises: `Unavailable`."""
    program = _program()
    if program.exists():
        return program
    go = shutil.which("go", path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/go/bin")
    if go is None:
        raise Unavailable(f"Toxiproxy is not there and Go neither; install Go 1.23 or later, or {program}.")
    environment = os.environ | {"GOBIN": str(program.parent), "CGO_ENABLED": "0"}
    program.parent.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            [go, "install", MODULE],
            env=environment,
            capture_output=True,
            text=True,
            timeout=BUILD_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"Go did not build Toxiproxy within {BUILD_S:g} s; try again.") from None
    if done.returncode != 0 or not program.exists():
        raise Unavailable(f"Go cannot build {MODULE}: {done.stderr.strip().splitlines()[-1:]}")
    return program


class Proxy:
    """One proxied connection between two parts; `port` is where the one part connects."""

    def __init__(self, api: str, name: str, port: int) -> None:
        self.port = port
        self._api = api
        self._name = name

    @asynccontextmanager
    async def toxic(
        self, kind: str, stream: str = "downstream", toxicity: float = 1.0, **attributes: int
    ) -> AsyncIterator[None]:
        """Poison the connections, those that are open too, in one direction; upstream is towards the server."""
        toxic = {"name": f"{kind}-{stream}", "type": kind, "stream": stream, "toxicity": toxicity}
        path = f"/proxies/{self._name}/toxics"
        await self._ask("POST", path, toxic | {"attributes": attributes})
        try:
            yield
        finally:
            with trio.CancelScope(shield=True):
                await self._ask("DELETE", f"{path}/{toxic['name']}")

    @asynccontextmanager
    async def cut(self) -> AsyncIterator[None]:
        """Close all connections, and refuse new ones."""
        await self._ask("POST", f"/proxies/{self._name}", {"enabled": False})
        try:
            yield
        finally:
            with trio.CancelScope(shield=True):
                await self._ask("POST", f"/proxies/{self._name}", {"enabled": True})

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        await trio.to_thread.run_sync(partial(_call, self._api, method, path, body))


class Toxiproxy(Service):
    """A Toxiproxy of one's own; `proxy` makes a proxy in it."""

    name: ClassVar[str] = "toxiproxy"

    @cached_property
    def servers(self) -> list[Server]:
        """The one process."""
        return [Server(self.name, self.folder, Recipe(self._argv, self._ask))]

    @property
    def address(self) -> dict[str, Any]:
        """Its API."""
        return {"url": f"http://{HOST}:{self.settings['port']}"}

    def check(self) -> None:
        """Build the program if it is not there."""
        build()

    def prepare(self) -> None:
        """Choose a port."""
        self.keep(port=free_port(HOST))

    def proxy(self, name: str, port: int, *, host: str = HOST, at: str | None = None) -> Proxy:
        """Put a proxy before a port of this machine: at a free port, or at the same one of another address; blocks."""
        own = free_port(HOST) if at is None else port
        ends = {"listen": f"{at or HOST}:{own}", "upstream": f"{host}:{port}"}
        _call(self.address["url"], "POST", "/proxies", {"name": name, "enabled": True} | ends)
        return Proxy(self.address["url"], name, own)

    def _argv(self) -> list[str]:
        return [str(build()), "-host", HOST, "-port", str(self.settings["port"])]

    def _ask(self) -> str | None:
        try:
            _call(self.address["url"], "GET", "/version")
        except OSError as error:
            return str(error)
        return None


def _call(api: str, method: str, path: str, body: dict[str, Any] | None = None) -> None:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(api + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=10.0) as answer:
        answer.read()
