"""HAProxy in front of the nodes, as in production: new connections go to a node that says it is ready."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

from deploy.services.errors import Unavailable
from deploy.services.process import Recipe, Server
from deploy.services.service import Service, free_port

from .node import Node

HOST: Final = "127.0.0.1"

# A connection lives for days, and Chappe has heartbeats of its own: no time-out here ends one. One that cannot be made,
# as the node has just died, is tried on another.
CONFIGURATION: Final = """\
global
    maxconn 8000
defaults
    mode tcp
    timeout connect 2s
    timeout client 24h
    timeout server 24h
    timeout check 2s
    retries 2
    option redispatch 1
frontend people
    bind {host}:{port}
    default_backend nodes
backend nodes
    balance leastconn
    option httpchk GET /readyz
    default-server check inter 500ms fall 2 rise 1
{servers}
"""


class Balancer(Service):
    """HAProxy before some nodes."""

    name: ClassVar[str] = "haproxy"

    def __init__(self, folder: Path, nodes: Sequence[Node]) -> None:
        super().__init__(folder)
        self._nodes = nodes

    @cached_property
    def servers(self) -> list[Server]:
        """The one process; SIGUSR1 would be the soft stop, which waits for every client."""
        return [Server(self.name, self.folder, Recipe(self._argv, self._ask))]

    @property
    def address(self) -> dict[str, Any]:
        """Where clients connect."""
        return {"url": f"ws://{HOST}:{self.settings['port']}"}

    def check(self) -> None:
        """Look for the program."""
        _program()

    def prepare(self) -> None:
        """Choose a port and write the configuration."""
        port = self.keep(port=free_port(HOST))["port"]
        servers = "\n".join(
            f"    server node{number} {HOST}:{node.port} port {node.http_port}"
            for number, node in enumerate(self._nodes, start=1)
        )
        (self.folder / "haproxy.cfg").write_text(CONFIGURATION.format(host=HOST, port=port, servers=servers))

    def _argv(self) -> list[str]:
        return [_program(), "-db", "-f", str(self.folder / "haproxy.cfg")]

    def _ask(self) -> str | None:
        try:
            with socket.create_connection((HOST, self.settings["port"]), timeout=1.0):
                return None
        except OSError as error:
            return str(error)


def _program() -> str:
    found = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if found is None:
        raise Unavailable("HAProxy is not installed; on Debian: apt-get install haproxy.")
    return found
