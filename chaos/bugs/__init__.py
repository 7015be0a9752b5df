"""Bugs to plant: a node that is started with one must be found out by the scenarios, or they prove nothing.

Each module here patches running code when `planted.py` loads it, in a process of its own; the product knows nothing of
it. `program` returns the command that runs a node, with a bug or without.
"""

from __future__ import annotations

import pkgutil
import sys
from pathlib import Path

from ..people.crowd import PERSON
from ..stack.node import CHAPPE

_LOADER = "planted"


def names() -> list[str]:
    """Return the names of all bugs."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name.replace("_", "-") for name in found if name != _LOADER)


def program(bug: str | None) -> list[str]:
    """Return the command of a node."""
    return [CHAPPE] if bug is None else _planted(bug)


def people(bug: str | None) -> list[str]:
    """Return the command of a crowd's process, for `Habits`."""
    return PERSON if bug is None else [*_planted(bug), "--person"]


def _planted(bug: str) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name(f"{_LOADER}.py")), bug]
