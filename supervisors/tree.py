"""The supervision tree as a value: one atomic picture, as text for people and as a dict for JSON.

Supervisors make it in `snapshot()`; dashboards and command lines read it. It keeps nothing alive.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Status(Enum):
    """Where a child is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    RESTARTING = "restarting"


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """One line of `which_children`."""

    id: str
    status: Status
    is_supervisor: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """What `count_children` says: specs known, children that run, and how many specs are for which kind."""

    specs: int
    active: int
    supervisors: int
    workers: int


@dataclass(frozen=True, slots=True)
class StartedChild:
    """What starting a child gives: its id, and the value it acknowledged with. `is_running` is false after
    `Ignore`.
    """

    id: str
    value: Any = None
    is_running: bool = True


@dataclass(frozen=True, slots=True)
class Node:
    """A supervisor or worker of the tree, with those under it in start order. `restarts` counts since it was
    added.
    """

    name: str
    is_supervisor: bool
    status: Status
    restarts: int
    children: tuple[Node, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the tree as plain JSON values."""
        return {
            "name": self.name,
            "kind": "supervisor" if self.is_supervisor else "worker",
            "status": self.status.value,
            "restarts": self.restarts,
            "children": [node.to_dict() for node in self.children],
        }

    def to_text(self, *, most_children: int = 20) -> str:
        """Return the tree drawn with lines; of each node at most `most_children` are shown."""
        return "\n".join(self._lines(most_children))

    def _lines(self, most: int) -> Iterator[str]:
        notes = [] if self.status is Status.RUNNING else [self.status.value]
        if self.restarts:
            notes.append(f"restarts: {self.restarts}")
        yield self.name + (f" ({', '.join(notes)})" if notes else "")
        shown = self.children[:most]
        hidden = len(self.children) - len(shown)
        for index, node in enumerate(shown):
            is_last = index == len(shown) - 1 and not hidden
            first, *rest = node._lines(most)
            yield ("└─ " if is_last else "├─ ") + first
            for line in rest:
                yield ("   " if is_last else "│  ") + line
        if hidden:
            yield f"└─ and {hidden} more"
