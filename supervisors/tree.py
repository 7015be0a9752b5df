"""The supervision tree as a value: one atomic picture, as text for people and as a dict for JSON.

Supervisors make it in `snapshot()`; dashboards and command lines read it. It keeps nothing alive.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Self


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
    """A supervisor or worker of the tree, with those under it in start order.

    `restarts` counts since it was added; `running_s` is since its last start. `headroom` is how many restarts a
    supervisor still allows at this moment; `mailbox` how many messages wait for a server. `is_stuck` says that it
    should be gone; `last_crash` are the words it last died with, as long as its supervisor keeps them. `hidden`
    counts the children that were not asked for.
    """

    name: str
    is_supervisor: bool
    status: Status
    restarts: int
    children: tuple[Node, ...]
    hidden: int = 0
    running_s: float | None = None
    headroom: int | None = None
    mailbox: int | None = None
    is_stuck: bool = False
    last_crash: str = ""

    def to_dict(self, *, most_children: int | None = None) -> dict[str, Any]:
        """Return the tree as plain JSON values, of each node at most `most_children`; `hidden` counts the others."""
        shown = self.children[:most_children]
        return {
            "name": self.name,
            "kind": "supervisor" if self.is_supervisor else "worker",
            "status": self.status.value,
            "restarts": self.restarts,
            "running_s": None if self.running_s is None else round(self.running_s, 3),
            "headroom": self.headroom,
            "mailbox": self.mailbox,
            "is_stuck": self.is_stuck,
            "last_crash": self.last_crash,
            "hidden": self.hidden + len(self.children) - len(shown),
            "children": [node.to_dict(most_children=most_children) for node in shown],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the tree that `to_dict` made these values of.

        Raises: `KeyError` and `ValueError` for values that it did not make.
        """
        fields = dict(values)
        is_supervisor, status = fields.pop("kind") == "supervisor", Status(fields.pop("status"))
        children = tuple(cls.from_dict(child) for child in fields.pop("children"))
        return cls(is_supervisor=is_supervisor, status=status, children=children, **fields)

    def to_text(self, *, most_children: int = 20) -> str:
        """Return the tree drawn with lines; of each node at most `most_children` are shown."""
        return "\n".join(self._lines(most_children))

    def _lines(self, most: int) -> Iterator[str]:
        notes = [] if self.status is Status.RUNNING else [self.status.value]
        if self.is_stuck:
            notes.append("stuck")
        if self.restarts:
            notes.append(f"restarts: {self.restarts}")
        if self.mailbox:
            notes.append(f"mailbox: {self.mailbox}")
        yield self.name + (f" ({', '.join(notes)})" if notes else "")
        shown = self.children[:most]
        hidden = self.hidden + len(self.children) - len(shown)
        for index, node in enumerate(shown):
            is_last = index == len(shown) - 1 and not hidden
            first, *rest = node._lines(most)
            yield ("└─ " if is_last else "├─ ") + first
            for line in rest:
                yield ("   " if is_last else "│  ") + line
        if hidden:
            yield f"└─ and {hidden} more"
