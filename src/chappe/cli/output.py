"""What commands print: plain lines and JSON lines on standard output, progress and questions on standard
error.

Every command prints through here. Standard output carries results only, so that it can be piped; a terminal
gets a spinner on standard error, a pipe does not. Text that came from another person passes through `visible`
first: a message must not be able to move the cursor, change colours or turn the line around.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID
    from rich.status import Status

# Bidirectional overrides and isolates, which reorder what follows ("Trojan Source", CVE-2021-42574), and two
# separators that some terminals take for line ends.
_HIDDEN: Final = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029)))


def visible(text: str, indent: str = "") -> str:
    """Return the text with control characters made harmless; with an `indent`, line ends stay and get it."""
    return "".join(_shown(character, indent) for character in text)


def _shown(character: str, indent: str) -> str:
    code = ord(character)
    if character == "\n" and indent:
        return "\n" + indent
    if code < 0x20:
        return chr(0x2400 + code)  # the picture of the control character
    if 0x7F <= code < 0xA0 or character in _HIDDEN:
        return "\N{REPLACEMENT CHARACTER}"
    return character


def say(text: str = "") -> None:
    """Print a line of a result."""
    print(text, flush=True)


def tell(text: str) -> None:
    """Print a line that is no result: a hint, a question's answer, an error."""
    print(text, file=sys.stderr, flush=True)


def emit(value: Mapping[str, object]) -> None:
    """Print one JSON object as one line. Keys are part of the interface: add, never rename."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def iso(ms: int | None) -> str | None:
    """Return milliseconds since 1970 as an ISO 8601 time in UTC, for programs."""
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def clock(ms: int, *, day: bool = False) -> str:
    """Return milliseconds since 1970 as the local time of day, for people; with `day`, the date too."""
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M" if day else "%H:%M")


class Bar(AbstractContextManager["Bar"]):
    """A progress bar on a terminal's standard error; nothing elsewhere. For work whose end is known."""

    def __init__(self, unit: str = "rows") -> None:
        self._unit = unit
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bars

            columns = (
                "{task.description}",
                BarColumn(),
                TextColumn("{task.percentage:3.0f} %"),
                TimeElapsedColumn(),
            )
            self._bars = Bars(*columns, "{task.fields[count]:,} " + self._unit, console=Console(stderr=True))
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def at(self, what: str, done: float, count: int) -> None:
        """Show how much of a part is done, from 0 to 1; a part that was not named before gets a bar of its own."""
        if self._bars is not None:
            if what not in self._tasks:
                self._tasks[what] = self._bars.add_task(what, total=1.0, count=0)
            self._bars.update(self._tasks[what], completed=done, count=count)


class Progress(AbstractContextManager["Progress"]):
    """A spinner with a sentence on a terminal's standard error; nothing elsewhere."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status(self._what)
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def now(self, what: str) -> None:
        """Say what is being done now."""
        if self._status is not None:
            self._status.update(what)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep still while something else writes to the terminal."""
        if self._status is None:
            yield
            return
        self._status.stop()
        try:
            yield
        finally:
            self._status.start()
