"""PostgreSQL 15 or later from the distribution's package: a cluster of its own, never the one of the machine.

The package's programs are taken from where it puts them. PostgreSQL refuses to run as root; then it runs as the
package's user `postgres`, who has to be able to enter the folder. It gets a password, though it listens on loopback
only: that user may own the machine's real databases, and whoever is superuser here can run programs as him.
`fsync` stays on: tests of durability and of crashes would otherwise prove nothing.
"""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

from .errors import Unavailable
from .process import Recipe, Server
from .service import Service, free_port, is_root, run

HOST: Final = "127.0.0.1"
USER: Final = "postgres"
OLDEST: Final = 15
CONNECTIONS: Final = 200  # several nodes with a pool each, and the tests beside them
PROTOCOL: Final = 3 << 16


class Postgres(Service):
    """A PostgreSQL cluster of one's own, superuser and database `postgres`."""

    name: ClassVar[str] = "postgres"

    @cached_property
    def servers(self) -> list[Server]:
        """The one server; SIGINT is PostgreSQL's fast shutdown, while SIGTERM would wait for its clients."""
        return [Server("postgres", self.folder, Recipe(self._argv, self._ask, stop_signal=signal.SIGINT))]

    @property
    def address(self) -> dict[str, Any]:
        """An SQLAlchemy URL."""
        settings = self.settings
        return {
            "url": f"postgresql+psycopg://{USER}:{settings['password']}@{HOST}:{settings['port']}/postgres"
        }

    def check(self) -> None:
        """Look for the programs, and as root for the user."""
        _programs()
        _account()

    def prepare(self) -> None:
        """Choose port and password, and make the cluster if there is none."""
        settings = self.keep(port=free_port(HOST), password=secrets.token_urlsafe(16))
        if (self._data / "PG_VERSION").exists():
            return
        shutil.rmtree(self._data, ignore_errors=True)  # an initdb that was interrupted
        self._data.mkdir(mode=0o700)
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(settings["password"])
        if account := _account():
            os.chown(self._data, account.pw_uid, account.pw_gid)
            os.chown(password, account.pw_uid, account.pw_gid)
            self._see_that_it_is_reached()
        # What is on no disk yet is worth nothing yet: only the server's own writes wait for it.
        quick = ["--no-sync", "--no-instructions"]
        words = ["--no-locale", "--encoding=UTF8", f"--username={USER}"]
        access = ["--auth=scram-sha-256", f"--pwfile={password}"]
        run(
            [*_as_postgres(), str(_programs() / "initdb"), *quick, *words, *access, f"--pgdata={self._data}"],
            "initdb",
        )
        password.unlink()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _see_that_it_is_reached(self) -> None:
        done = subprocess.run([*_as_postgres(), "test", "-w", self._data], check=False)  # noqa: S603 - our own
        if done.returncode != 0:
            raise Unavailable(
                f"PostgreSQL does not run as root but as user {USER}, who cannot enter {self._data}: "
                "name a folder that he can with --folder, such as one in /var/tmp."
            )

    def _argv(self) -> list[str]:
        options = {
            "listen_addresses": HOST,
            "port": self.settings["port"],
            "unix_socket_directories": ".",  # the data folder; relative, as the path of a socket has to be short
            "max_connections": CONNECTIONS,
            "shared_buffers": "64MB",
        }
        settings = [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
        return [*_as_postgres(), str(_programs() / "postgres"), "-D", str(self._data), *settings]

    def _ask(self) -> str | None:
        """Knock as a client: who is asked for a password has found a server that takes connections."""
        words = f"user\0{USER}\0database\0postgres\0\0".encode()
        try:
            with socket.create_connection((HOST, self.settings["port"]), timeout=1.0) as connection:
                connection.sendall(struct.pack("!II", 8 + len(words), PROTOCOL) + words)
                answer = connection.recv(1024)
        except OSError as error:
            return str(error)
        if answer.startswith(b"R"):
            return None
        said = re.search(rb"\0M([^\0]+)", answer)
        return said[1].decode(errors="replace") if said else "it hung up"


def _programs() -> Path:
    """Return the folder of the newest programs; Debian keeps them off the search path."""
    versions = {
        int(folder.parent.name): folder
        for folder in Path("/usr/lib/postgresql").glob("*/bin")
        if folder.parent.name.isdigit() and (folder / "initdb").exists()
    }
    if not versions or max(versions) < OLDEST:
        raise Unavailable(
            f"PostgreSQL {OLDEST} or later is not installed; on Debian: apt-get install postgresql."
        )
    return versions[max(versions)]


def _account() -> pwd.struct_passwd | None:
    """Return whom PostgreSQL runs as when that is not who we are."""
    if not is_root():
        return None
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        raise Unavailable(f"PostgreSQL does not run as root, and there is no user {USER}: add one.") from None


def _as_postgres() -> list[str]:
    """Return the words that make a command run as user postgres.

    Not runuser: it stays as the parent of what it runs, and the pid would be its own.
    """
    if not is_root():
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise Unavailable("setpriv is not installed; on Debian: apt-get install util-linux.")
    return [setpriv, f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
