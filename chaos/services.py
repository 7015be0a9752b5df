"""The services of a command: borrowed ones that run already, or a fleet of its own that is gone when it ends."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deploy.services import Fleet, Wishes

from .journal import Journal
from .stack.hosts import Network
from .undo import DeleteNamespace, Down

NAMES: Final = ("postgres", "redis", "cassandra")

# On a disk, and where the user that PostgreSQL runs as can get to.
PLACE: Final = Path("/var/tmp")


@contextmanager
def services(
    borrowed: Path | None, folder: Path, tell: Callable[[str], None], *, has_hosts: bool = False
) -> Iterator[Fleet]:
    """Lend three Cassandras, PostgreSQL and Redis that answer; with `has_hosts`, where each Cassandra has a host, they
    are never borrowed. Raises: `ServicesError`.
    """
    if borrowed is not None and not has_hosts:
        fleet = Fleet(borrowed, Wishes(cassandra_nodes=3), tell)
        fleet.up(NAMES)
        yield fleet
        return
    folder.mkdir(parents=True, exist_ok=True)
    # Of this command alone: a journal that others wrote before would say that they run these.
    notes = Path(tempfile.mkdtemp(prefix="services-", dir=folder))
    journal = Journal.begin(notes, tell)
    try:
        hosts = _made(journal) if has_hosts else None
        own = Path(tempfile.mkdtemp(prefix=f"chappe-chaos-{os.geteuid()}-", dir=PLACE))
        own.chmod(0o711)
        journal.intend(Down(str(own)))  # undone before its hosts go
        fleet = Fleet(own, Wishes(cassandra_nodes=3, hosts=hosts), tell)
        fleet.up(NAMES)
        yield fleet
    finally:
        tell("stopping the services")
        for failed in journal.roll_back():
            tell(failed)
        if not journal.open:
            shutil.rmtree(notes)


def _made(journal: Journal) -> Mapping[str, str]:
    """Make hosts for the Cassandras; return their namespaces by address."""
    network = Network.unused(3)
    for namespace in network.namespaces:
        journal.intend(DeleteNamespace(namespace))
    network.make()
    return network.hosts
