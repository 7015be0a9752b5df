"""Redis 7 or later from the distribution's package: one server that keeps nothing, as a bus needs no past."""

from __future__ import annotations

import shutil
import socket
from functools import cached_property
from typing import Any, ClassVar

from .errors import Unavailable
from .process import Recipe, Server
from .service import Service, free_port

HOST = "127.0.0.1"


class Redis(Service):
    """A Redis of one's own."""

    name: ClassVar[str] = "redis"

    @cached_property
    def servers(self) -> list[Server]:
        """The one server."""
        return [Server("redis", self.folder, Recipe(self._argv, self._ask))]

    @property
    def address(self) -> dict[str, Any]:
        """Its URL, database 0."""
        return {"url": f"redis://{HOST}:{self.settings['port']}/0"}

    def check(self) -> None:
        """Look for the program."""
        _program()

    def prepare(self) -> None:
        """Choose a port."""
        self.keep(port=free_port(HOST))

    def _argv(self) -> list[str]:
        options = {
            "bind": HOST,
            "port": str(self.settings["port"]),
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
        }
        return [_program(), *(word for key, value in options.items() for word in (f"--{key}", value))]

    def _ask(self) -> str | None:
        try:
            with socket.create_connection((HOST, self.settings["port"]), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                answer = connection.recv(64)
        except OSError as error:
            return str(error)
        return None if answer == b"+PONG\r\n" else answer.decode(errors="replace").strip() or "it hung up"


def _program() -> str:
    found = shutil.which("redis-server")
    if found is None:
        raise Unavailable("Redis is not installed; on Debian: apt-get install redis-server.")
    return found
