"""How to undo what a run did to the machine, each as a value that survives the run itself.

The journal keeps one of these before anything is broken or started; `perform` is what the end of a run calls, and
`chappe-chaos rollback` after a run that was killed. It blocks, may be called twice, and on what is already right; it
raises whatever stands in the way, so that the journal keeps the entry.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.policies import RoundRobinPolicy
from msgspec import Struct

from deploy.services import Fleet, Identity
from deploy.services.process import KILLED_S, Server

MARK = "CHAPPE_CHAOS_RUN"
"""The environment variable that tells the processes of a run, and theirs, from everybody else's."""


class Thaw(Struct, frozen=True, tag=True):
    """A process was frozen (SIGSTOP): let it go on."""

    pid: int
    started: int
    boot: str

    def perform(self) -> None:
        """Undo it."""
        Identity(self.pid, self.started, self.boot).signal(signal.SIGCONT)


class Room(Struct, frozen=True, tag=True):
    """A process may write no files (RLIMIT_FSIZE): it may again."""

    pid: int
    started: int
    boot: str

    def perform(self) -> None:
        """Undo it."""
        if Identity(self.pid, self.started, self.boot).is_alive():
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, unlimited)


class EndProcesses(Struct, frozen=True, tag=True):
    """Processes were started with this mark in their environment: end them, frozen or not."""

    mark: str

    def perform(self) -> None:
        """Undo it."""
        # Parents may have children while we look, so look until none is left.
        while found := list(marked(self.mark)):
            for identity in found:
                _end(identity)


class EndServer(Struct, frozen=True, tag=True):
    """A server was started whose folder holds a `process.json`: end it."""

    process_file: str

    def perform(self) -> None:
        """Undo it."""
        with suppress(FileNotFoundError):
            _end(Identity(**json.loads(Path(self.process_file).read_text())))


class Up(Struct, frozen=True, tag=True):
    """A service was stopped or frozen: let it run and answer."""

    folder: str
    service: str
    server: str

    def perform(self) -> None:
        """Undo it."""
        folder = Path(self.folder)
        if not folder.exists():
            return  # the whole fleet is gone
        server = find_server(folder, self.service, self.server)
        if server.identity:
            server.thaw()
        server.start()
        server.wait_ready()


class Down(Struct, frozen=True, tag=True):
    """Services were started for this run alone: stop them and remove their folder."""

    folder: str

    def perform(self) -> None:
        """Undo it."""
        if Path(self.folder).exists():
            Fleet(Path(self.folder)).down(grace_s=0)
            shutil.rmtree(self.folder)


class DropDatabase(Struct, frozen=True, tag=True):
    """A database of PostgreSQL was made."""

    url: str
    name: str

    def perform(self) -> None:
        """Undo it."""
        # The server may be gone with the run: then so is the database.
        with suppress(psycopg.OperationalError), psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)".encode())


class DropKeyspace(Struct, frozen=True, tag=True):
    """A keyspace of Cassandra was made."""

    hosts: tuple[str, ...]
    port: int
    name: str

    def perform(self) -> None:
        """Undo it."""
        profile = ExecutionProfile(RoundRobinPolicy(), request_timeout=30.0)
        cluster = Cluster(
            self.hosts, self.port, execution_profiles={EXEC_PROFILE_DEFAULT: profile}, protocol_version=5
        )
        try:
            cluster.connect().execute(f"DROP KEYSPACE IF EXISTS {self.name}")
        except NoHostAvailable:
            pass  # the servers may be gone with the run: then so is the keyspace
        finally:
            cluster.shutdown()


class Unmount(Struct, frozen=True, tag=True):
    """A file system was mounted."""

    path: str

    def perform(self) -> None:
        """Undo it."""
        if Path(self.path).is_mount():
            subprocess.run(["umount", self.path], check=True, capture_output=True)


class DeleteNamespace(Struct, frozen=True, tag=True):
    """A network namespace was made."""

    name: str

    def perform(self) -> None:
        """Undo it."""
        if _namespace(self.name).exists():
            subprocess.run(["ip", "netns", "delete", self.name], check=True, capture_output=True)


class InNamespace(Struct, frozen=True, tag=True):
    """Something was changed in a network namespace: a command there puts it right, however often it is run."""

    name: str
    command: tuple[str, ...]

    def perform(self) -> None:
        """Undo it."""
        if _namespace(self.name).exists():
            argv = ["ip", "netns", "exec", self.name, *self.command]
            subprocess.run(argv, check=True, capture_output=True)


Undo = (
    Thaw
    | Room
    | EndProcesses
    | EndServer
    | Up
    | Down
    | DropDatabase
    | DropKeyspace
    | Unmount
    | DeleteNamespace
    | InNamespace
)


def find_server(folder: Path, service: str, server: str) -> Server:
    """Return a server of a fleet. Raises: `LookupError`."""
    for one in Fleet(folder)[service].servers:
        if one.name == server:
            return one
    raise LookupError(f"There is no {server} in {folder}.")


def marked(mark: str) -> Iterator[Identity]:
    """Yield the processes that carry a run's mark, but for this one."""
    wanted = f"{MARK}={mark}".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with suppress(OSError):  # gone, or somebody else's
            if wanted in (folder / "environ").read_bytes().split(b"\0") and (
                identity := Identity.of(int(folder.name))
            ):
                yield identity


def _namespace(name: str) -> Path:
    return Path("/run/netns", name)


def _end(identity: Identity) -> None:
    identity.signal(signal.SIGKILL)
    if not identity.wait(KILLED_S):
        raise TimeoutError(f"Process {identity.pid} does not end, even by SIGKILL.")
