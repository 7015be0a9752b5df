"""What every service has in common: a folder, settings that outlive a restart, servers, and how to reach them.

`fleet` calls these; one class each in `postgres`, `redis` and `cassandra` fills in the rest. What a service chose at
its first start (ports, a password) stays in `settings.json`, so that a restarted one is found at the same place.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from .errors import Misused, Unavailable
from .process import Server, write_whole

# Below the ports that the kernel gives to clients, where any connection could be sitting on a server's port.
PORTS: Final = range(20_000, 32_000)

PASS_THROUGH: Final = 0o711  # PostgreSQL's user has to get to his data, whatever the umask is

Report = Callable[[str], None]  # takes a line for whoever waits


class Service(ABC):
    """One service. `prepare` may be called again and again; the servers are known without it."""

    name: ClassVar[str]
    report: Report

    def __init__(self, folder: Path, port: int | None = None, **wanted: Any) -> None:
        self.report = lambda _: None
        self.folder = folder / self.name
        wanted["port"] = port
        self._wanted = {key: value for key, value in wanted.items() if value is not None}

    @property
    @abstractmethod
    def servers(self) -> Sequence[Server]:
        """Its processes, in the order in which they are started."""

    @property
    @abstractmethod
    def address(self) -> dict[str, Any]:
        """How a client reaches it: `url`, or what the driver wants instead. Only after the first `prepare`."""

    @abstractmethod
    def check(self) -> None:
        """Return if this machine has what the service needs.

        Raises: `Unavailable`, saying what to install.
        """

    @abstractmethod
    def prepare(self) -> None:
        """Make everything that the servers need to start, and leave alone what is there."""

    @property
    def exists(self) -> bool:
        """Whether it was ever started in this folder."""
        return self._settings_file.exists()

    @property
    def is_running(self) -> bool:
        """Whether all its servers run; they need not answer yet."""
        return self.exists and all(server.identity for server in self.servers)

    @property
    def settings(self) -> dict[str, Any]:
        """What was chosen at the first start."""
        found: dict[str, Any] = json.loads(self._settings_file.read_text())
        return found

    def launch(self) -> None:
        """Prepare, and start every server that does not run. They are not ready yet.

        Raises: `Misused`, `Unavailable`, `NotReady`.
        """
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(PASS_THROUGH)
        if (
            self.exists
            and any(server.identity for server in self.servers)
            and self._wanted.get("port", self.settings["port"]) != self.settings["port"]
        ):
            raise Misused(
                f"{self.name} runs on port {self.settings['port']}: take it down before it gets another."
            )
        self.prepare()
        for server in self.servers:
            server.start()

    def wait_ready(self) -> None:
        """Return when the whole service does its work. Raises: `NotReady`."""
        for server in self.servers:
            server.wait_ready()

    def wipe(self) -> None:
        """Remove the service's folder with all data. Its servers must be down."""
        shutil.rmtree(self.folder, ignore_errors=not self.folder.exists())

    def keep(self, **chosen: Any) -> dict[str, Any]:
        """Keep settings at the first start, later only what was asked for; return what holds."""
        settings = chosen | (self.settings if self.exists else {}) | self._wanted
        write_whole(self._settings_file, json.dumps(settings))
        return settings

    @property
    def _settings_file(self) -> Path:
        return self.folder / "settings.json"


def free_port(*hosts: str) -> int:
    """Return a port that nobody listens on at any of these addresses."""
    for port in random.sample(PORTS, len(PORTS)):
        try:
            for host in hosts:
                with socket.create_server((host, port)):
                    pass
        except OSError:
            continue
        return port
    raise Unavailable(f"No port of {PORTS.start} to {PORTS.stop - 1} is free on {', '.join(hosts)}.")


def run(argv: list[str], what: str) -> str:
    """Run a program to its end; return what it printed. Raises: `Unavailable` with its last words when it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)  # noqa: S603 - our own
    if done.returncode != 0:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise Unavailable(f"{what} failed: {' / '.join(said[-3:]) or f'exit status {done.returncode}'}")
    return done.stdout


def is_root() -> bool:
    """Whether this process may do everything."""
    return os.geteuid() == 0
