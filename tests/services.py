"""Real PostgreSQL, Redis and Cassandra for tests: started when the first test asks, once a session, gone after it.

A test takes the fixture `services` and says which: `services("postgres", "redis")` returns the `deploy.services.Fleet`
they are in, with addresses and single servers to kill. A ring of three is `services("cassandra", nodes=3)`. Where a
service cannot be had the test is skipped and says what to install; with CHAPPE_REQUIRE_SERVICES=1 it fails instead. A
conftest imports the fixture; however many do, the servers are the same ones.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
from sqlalchemy import make_url

from deploy.services import Fleet, Identity, Unavailable, Wishes

# On a disk, and open to the user that PostgreSQL runs as; pytest's own temporary folders are closed to him.
PLACE = Path("/var/tmp")
PREFIX = f"chappe-tests-{os.geteuid()}-"


class Services:
    """The servers of this test session."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=PLACE))
        self.folder.chmod(0o711)
        owner = Identity.of(os.getpid())
        assert owner is not None
        (self.folder / "owner.json").write_text(json.dumps(asdict(owner)))
        self._fleets: dict[int, Fleet] = {}
        self._lacking: dict[str, str] = {}

    def __call__(self, *names: str, nodes: int = 1) -> Fleet:
        """Return the fleet with these services ready. Whatever a test broke before is started again.

        Cassandras of one and of three nodes are two fleets and may run side by side.
        """
        fleet = self._fleets.setdefault(nodes, Fleet(self.folder / str(nodes), Wishes(cassandra_nodes=nodes)))
        for name in names:
            if name not in self._lacking:
                try:
                    fleet.up([name])
                except (
                    Unavailable
                ) as error:  # asked once: Maven takes its time to find that there is no network
                    self._lacking[name] = str(error)
            if name in self._lacking:
                leave_out(self._lacking[name])
        return fleet

    def close(self) -> None:
        """Kill the servers and remove what they kept."""
        remove(self.folder)


def leave_out(why: str) -> NoReturn:
    """Skip the test for want of a service, or fail it where none may be wanting."""
    if os.environ.get("CHAPPE_REQUIRE_SERVICES"):
        pytest.fail(f"{why} (CHAPPE_REQUIRE_SERVICES is set.)", pytrace=False)
    pytest.skip(why)


def remove(folder: Path) -> None:
    """Kill the servers of a session and remove its folder."""
    for part in folder.iterdir():
        if part.is_dir():
            Fleet(part).down(grace_s=0)
    shutil.rmtree(folder, ignore_errors=True)


def sweep() -> None:
    """Remove what test sessions left behind that were killed."""
    for folder in PLACE.glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError):  # one that is just being made, or that another session removes
            if not Identity(**json.loads((folder / "owner.json").read_text())).is_alive():
                remove(folder)


SESSION = pytest.StashKey[Services]()


@pytest.fixture(scope="session")
def services(request: pytest.FixtureRequest) -> Services:
    """Start servers by name, see `Services`."""
    config = request.config
    if SESSION not in config.stash:
        sweep()
        config.stash[SESSION] = Services()
        config.add_cleanup(config.stash[SESSION].close)
    return config.stash[SESSION]


NUMBERS = count(1)  # of databases: one server may have several templates


class Databases:
    """The databases of one PostgreSQL: a template that is made once, and a clone of it for each test."""

    def __init__(self, url: str, fill: Callable[[str], object]) -> None:
        """Make the template: `fill` gets the URL of an empty database, and leaves it without connections."""
        self._url = make_url(url)
        self._template = f"test{next(NUMBERS)}"
        self._execute(f"CREATE DATABASE {self._template}")
        fill(self._named(self._template))

    @contextmanager
    def clone(self) -> Iterator[str]:
        """Lend the URL of a fresh copy; it is dropped afterwards, whoever is still connected."""
        name = f"test{next(NUMBERS)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        try:
            yield self._named(name)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _named(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)

    def _execute(self, statement: str) -> None:
        url = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement)
