"""All services of one folder: what `up`, `down`, `restart` and `status` do, for the command line and for tests alike.

`up` starts what does not run, all at once, and waits until each answers; if that fails or is interrupted it takes
down what it had started, and nothing else. One command at a time has the folder.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .alertmanager import Alertmanager
from .cassandra import Cassandra
from .errors import ServicesError, Unavailable
from .postgres import Postgres
from .process import write_whole
from .prometheus import Prometheus
from .redis import Redis
from .service import PASS_THROUGH, Report, Service

STORES: Final = ("postgres", "redis", "cassandra")
"""What nodes need; `up` starts these unless told otherwise."""

WATCHERS: Final = ("prometheus", "alertmanager")
"""What watches nodes; started by name only, since not everybody who needs a store has them installed."""

NAMES: Final = ("postgres", "redis", *WATCHERS, "cassandra")


def default_folder() -> Path:
    """Return where the services live unless somebody says otherwise.

    Not the home folder: as root that is closed to the user that PostgreSQL runs as. Not /tmp either, which may be
    memory, where no write has to wait for a disk.
    """
    return Path(f"/var/tmp/chappe-services-{os.geteuid()}")  # noqa: S108 - `Fleet` refuses a folder of somebody else


@dataclass(frozen=True, slots=True)
class Wishes:
    """What may be chosen: ports by service, the number of Cassandra's nodes, its jars, and a JVM fit to measure; the
    URLs of the nodes that Prometheus scrapes, how many times faster its rules are than real, and who hears of alerts;
    the network namespaces for Cassandra's nodes, by the address that each has in there.
    """

    ports: Mapping[str, int] = field(default_factory=dict)
    cassandra_nodes: int | None = None
    jars: Path | None = None
    measured: bool = False
    scrape: Sequence[str] = ()
    pace: float | None = None
    webhook: str | None = None
    hosts: Mapping[str, str] | None = None


class Fleet:
    """The services of one folder. All methods block."""

    def __init__(self, folder: Path, wishes: Wishes | None = None, report: Report = lambda _: None) -> None:
        wishes = wishes or Wishes()
        self.folder = folder.absolute()
        self._report = report
        ports = wishes.ports
        self.postgres = Postgres(self.folder, ports.get("postgres"))
        self.redis = Redis(self.folder, ports.get("redis"))
        self.cassandra = Cassandra(
            self.folder,
            ports.get("cassandra"),
            wishes.cassandra_nodes,
            wishes.jars,
            measured=wishes.measured,
            hosts=wishes.hosts,
        )
        self.prometheus = Prometheus(self.folder, ports.get("prometheus"), wishes.scrape, wishes.pace)
        self.alertmanager = Alertmanager(self.folder, ports.get("alertmanager"), wishes.webhook, wishes.pace)
        self._services: dict[str, Service] = {
            each.name: each
            for each in (self.postgres, self.redis, self.cassandra, self.prometheus, self.alertmanager)
        }
        for name in NAMES:
            self[name].report = report

    def __getitem__(self, name: str) -> Service:
        """Return a service by its name."""
        return self._services[name]

    def up(self, names: Sequence[str] = STORES) -> None:
        """Start what does not run, and return when all of it answers.

        Raises: `Unavailable`, `Misused`, `NotReady`; then what this call started is down again.
        """
        # The slowest first: it starts while the others are prepared. Prometheus asks where Alertmanager is.
        services = [self[name] for name in reversed(NAMES) if name in names]
        for service in services:
            service.check()
        began_s = time.monotonic()
        with self._alone():
            was_down = [server for service in services for server in service.servers if not server.identity]
            try:
                for service in services:
                    if not service.is_running:
                        self._report(f"{service.name}: starting")
                    service.launch()
                for service in reversed(services):
                    service.wait_ready()
                    self._report(f"{service.name}: ready after {time.monotonic() - began_s:.1f} s")
            except BaseException:
                for server in was_down:
                    with suppress(ServicesError):  # what went wrong first is what has to be told
                        if server.kill():
                            self._report(f"{server.name}: down again, as not everything could be started")
                raise
            finally:
                self._write_state()

    def down(self, names: Sequence[str] = NAMES, *, grace_s: float = 30.0, wipe: bool = False) -> None:
        """Stop what runs; with `wipe`, remove its data and logs too. Raises: `NotReady` if a server does not go."""
        with self._alone():
            there = [self[name] for name in names if self[name].exists]
            servers = [server for service in there for server in service.servers]
            # Side by side: the nodes of a ring take their time to say goodbye to each other.
            with ThreadPoolExecutor() as pool:
                for server, was_up in zip(
                    servers, pool.map(lambda server: server.stop(grace_s), servers), strict=True
                ):
                    if was_up:
                        self._report(f"{server.name}: stopped")
            if wipe:
                for service in there:
                    service.wipe()
            self._write_state()

    def restart(self, names: Sequence[str]) -> None:
        """Stop and start again, at the same ports. Raises: as `up` and `down`."""
        self.down(names)
        self.up(names)

    def status(self, names: Sequence[str] = NAMES) -> dict[str, Any]:
        """Return, by service that was ever started here, how it is reached, and of each server whether it is ready."""
        return {
            service.name: service.address
            | {
                "servers": [
                    {
                        "name": server.name,
                        "pid": server.identity.pid if server.identity else None,
                        "ready": server.is_ready,
                        "log": str(server.log),
                    }
                    for server in service.servers
                ]
            }
            for service in map(self.__getitem__, names)
            if service.exists
        }

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder, making it if need be: others may pass through it, but not look around."""
        try:
            if not self.folder.exists():
                self.folder.mkdir(parents=True)
                self.folder.chmod(PASS_THROUGH)
        except OSError as error:
            raise Unavailable(
                f"Cannot make {self.folder}: {error.strerror}; name another with --folder."
            ) from error
        if self.folder.is_symlink() or self.folder.stat().st_uid != os.geteuid():
            raise Unavailable(f"{self.folder} belongs to somebody else; name another folder with --folder.")
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._report(f"waiting for another command that works in {self.folder}")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write_state(self) -> None:
        """Leave a file for other programs: how each service is reached, and the pids."""
        write_whole(self.folder / "state.json", json.dumps(self.status(), indent=2) + "\n")
