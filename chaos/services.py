"""The services of a command: borrowed ones that run already, or a fleet of its own that is gone when it ends."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deploy.services import Fleet, Wishes

from .journal import Journal
from .undo import Down

NAMES: Final = ("postgres", "redis", "cassandra")

# On a disk, and where the user that PostgreSQL runs as can get to.
PLACE: Final = Path("/var/tmp")


@contextmanager
def services(borrowed: Path | None, folder: Path, tell: Callable[[str], None]) -> Iterator[Fleet]:
    """Lend three Cassandras, PostgreSQL and Redis that answer. Raises: `ServicesError`."""
    wishes = Wishes(cassandra_nodes=3)
    if borrowed is not None:
        fleet = Fleet(borrowed, wishes, tell)
        fleet.up(NAMES)
        yield fleet
        return
    journal = Journal.begin(folder / "services", tell)
    own = Path(tempfile.mkdtemp(prefix=f"chappe-chaos-{os.geteuid()}-", dir=PLACE))
    own.chmod(0o711)
    journal.intend(Down(str(own)))
    try:
        fleet = Fleet(own, wishes, tell)
        fleet.up(NAMES)
        yield fleet
    finally:
        tell("stopping the services")
        for failed in journal.roll_back():
            tell(failed)
