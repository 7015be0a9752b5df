"""The journal of a run: what happened when, and what has to be undone, one JSON object a line.

Every undo is in the file before the deed that it undoes, so that a runner that is killed leaves nothing that
`chappe-chaos rollback` cannot find. The vocabulary (steady state, method, rollbacks, journal) is the Chaos Toolkit's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from deploy.services import Identity

from .undo import Undo

NAME: Final = "journal.jsonl"
_UNDO: Final = msgspec.json.Decoder(Undo)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Journal:
    """Appends to a journal; `tell` hears every line that is for people."""

    def __init__(self, path: Path, tell: Callable[[str], None] = lambda _: None) -> None:
        self.path = path
        self.tell = tell
        self._open: dict[int, Undo] = {}
        self._number = 0

    @classmethod
    def begin(cls, folder: Path, tell: Callable[[str], None] = lambda _: None, **facts: Any) -> Self:
        """Begin the journal of a run in its folder; it says which process runs it."""
        folder.mkdir(parents=True, exist_ok=True)
        journal = cls(folder / NAME, tell)
        runner = Identity.of(os.getpid())
        assert runner is not None
        journal.note("begin", runner=asdict(runner), **facts)
        return journal

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a journal that a run left behind; what it had not undone is open."""
        journal = cls(path)
        for line in _lines(path):
            if line["what"] == "undo":
                journal._open[line["number"]] = _UNDO.decode(msgspec.json.encode(line["undo"]))
                journal._number = line["number"]
            elif line["what"] == "undone":
                journal._open.pop(line["number"], None)
        return journal

    @property
    def open(self) -> list[Undo]:
        """What is still to be undone, the newest first."""
        return list(reversed(self._open.values()))

    @property
    def runner(self) -> Identity | None:
        """The process that wrote it, while it lives."""
        first = next(_lines(self.path), None)
        identity = Identity(**first["runner"]) if first else None
        return identity if identity and identity.is_alive() else None

    def note(self, what: str, **facts: Any) -> int:
        """Write down something that happened; return when (UTC milliseconds)."""
        at_ms = _now_ms()
        line = msgspec.json.encode({"what": what, "at_ms": at_ms} | facts) + b"\n"
        with self.path.open("ab") as file:  # one write: a kill leaves whole lines, but for the last
            file.write(line)
        return at_ms

    def intend(self, undo: Undo) -> int:
        """Write down how to undo what is done next; return its number."""
        self._number += 1
        self._open[self._number] = undo
        self.note("undo", number=self._number, undo=msgspec.to_builtins(undo))
        return self._number

    def undone(self, number: int) -> None:
        """Write down that it was undone."""
        if self._open.pop(number, None) is not None:
            self.note("undone", number=number)

    def roll_back(self) -> list[str]:
        """Undo all that is open, the newest first; return what could not be, which stays open. Blocks."""
        failed = []
        for number, undo in sorted(self._open.items(), reverse=True):
            try:
                undo.perform()
            except Exception as error:  # noqa: BLE001 - the others have their turn all the same
                failed.append(f"{type(undo).__name__}: {error}")
                self.note("undo_failed", number=number, why=str(error))
            else:
                self.undone(number)
        return failed


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_bytes().split(b"\n")[:-1]:
        yield msgspec.json.decode(line)


def left_open(folder: Path) -> list[Journal]:
    """Return the journals under a folder whose runner is gone and that have something to undo."""
    journals = [Journal.load(path) for path in sorted(folder.rglob(NAME))]
    return [journal for journal in journals if journal.open and journal.runner is None]
