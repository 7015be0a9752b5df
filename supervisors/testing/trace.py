"""What happened in a tree, and when: a recorder of events, and the trace it leaves.

Tests pass a `Recorder` as the observer of the supervisor at the root; `replays.py` does. A trace is a value: two
runs did the same if their traces are equal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

import trio

from ..events import Event, Observer, Path
from ..exits import Cause, CrashReport
from .faults import parts_of


@dataclass(frozen=True, slots=True)
class Entry:
    """An event, and when it happened: in seconds since the first."""

    at_s: float
    event: Event


@dataclass(frozen=True, slots=True)
class Trace:
    """Events in the order in which they happened."""

    entries: tuple[Entry, ...] = ()

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def of(self, *kinds: type[Event]) -> Trace:
        """Return those of these kinds."""
        return Trace(tuple(entry for entry in self.entries if isinstance(entry.event, kinds)))

    def at(self, path: str | Path) -> Trace:
        """Return those of a child and of all below it. The path begins with the root's name."""
        parts = parts_of(path)
        return Trace(tuple(entry for entry in self.entries if entry.event.path[: len(parts)] == parts))

    def to_text(self) -> str:
        """Return a line for each event: its time, kind, path and facts."""
        return "\n".join(map(_line, self.entries))

    def to_json(self) -> str:
        """Return a JSON array with an object for each event."""
        return json.dumps([_plain_entry(entry) for entry in self.entries], default=repr)


class Recorder:
    """An observer that keeps each event with its time, for as long as it lives; then tells `then`, if given."""

    def __init__(self, then: Observer | None = None) -> None:
        self.then = then
        self._began_s: float | None = None
        self._entries: list[Entry] = []

    def __call__(self, event: Event) -> None:
        now = trio.current_time()
        if self._began_s is None:
            self._began_s = now
        self._entries.append(Entry(now - self._began_s, event))
        if self.then is not None:
            self.then(event)

    def trace(self) -> Trace:
        """Return what happened so far."""
        return Trace(tuple(self._entries))


def _line(entry: Entry) -> str:
    facts = " ".join(f"{name}={_short(value)}" for name, value in _facts(entry.event) if value is not None)
    kind, path = type(entry.event).__name__, "/".join(entry.event.path)
    return f"{entry.at_s:10.3f}  {kind:<20}  {path}  {facts}".rstrip()


def _plain_entry(entry: Entry) -> dict[str, Any]:
    facts = {name: _plain(value) for name, value in _facts(entry.event)}
    return {
        "at_s": entry.at_s,
        "event": type(entry.event).__name__,
        "path": list(entry.event.path),
        **facts,
    }


def _facts(event: Event) -> Iterator[tuple[str, Any]]:
    for field in fields(event):
        if field.name != "path":
            yield field.name, getattr(event, field.name)


def _plain(value: object) -> object:
    match value:
        case Enum():
            return value.value
        case Cause():
            return str(value)
        case CrashReport():
            return value.error
    return value


def _short(value: object) -> str:
    match value:
        case Enum():
            return str(value.value)
        case float():
            return f"{value:.3f}"
    return repr(_plain(value))
