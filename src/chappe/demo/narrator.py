"""Tells the story on standard output, line by line and only ever forwards, so that a file of it reads the same.

Colours come and go with the terminal (rich decides). Every promise that the story checks passes through `promise`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

_NAME_CELLS = 11
_STYLES = {"ann": "bold magenta", "ben": "bold cyan"}


class Narrator:
    """Prints what happens; remembers which promises were kept."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._began = time.monotonic()
        self._promises: list[tuple[str, bool]] = []
        self._is_mid_line = False

    @property
    def elapsed_s(self) -> float:
        """Seconds since the story began."""
        return time.monotonic() - self._began

    @property
    def is_all_kept(self) -> bool:
        """Whether there were promises and all of them were kept."""
        return bool(self._promises) and all(is_kept for _, is_kept in self._promises)

    def scene(self, title: str) -> None:
        """Begin a part of the story."""
        self._print(Text(f"\n── {title} ", style="bold").append(f"({self.elapsed_s:.1f} s)", style="dim"))

    def fact(self, text: str) -> None:
        """State something."""
        self._print(Text(f"   {text}"))

    def quoted(self, text: str) -> None:
        """Show lines as they are."""
        for line in text.rstrip().splitlines():
            self._print(Text(f"   {line}", style="dim"))

    def aside(self, who: str, text: str) -> None:
        """Say what somebody sees or does apart from messages."""
        self._print(_name(who).append(text, style="italic dim"))

    def message(self, who: str, text: str) -> None:
        """Show what somebody wrote."""
        self._print(_name(who).append(text))

    def tick(self, text: str, *, style: str = "dim") -> None:
        """Add to the line of ticks under a message, as they come in."""
        lead = " · " if self._is_mid_line else " " * (_NAME_CELLS + 3)
        self._console.print(Text(lead, style="dim").append(text, style=style), end="")
        self._console.file.flush()
        self._is_mid_line = True

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Show on a terminal that something is going on; nothing else may be told meanwhile."""
        if not self._console.is_terminal:
            yield
            return
        with self._console.status(text):
            yield

    def promise(self, text: str, is_kept: bool) -> None:
        """State a promise and whether it was kept."""
        self._promises.append((text, is_kept))
        mark, style = ("✓", "green") if is_kept else ("✗", "bold red")
        self._print(Text("   ").append(mark, style=style).append(f" {text}"))

    def broken(self, reason: str, server_log: Iterable[str]) -> None:
        """Say that the story ended early, and what the server said last."""
        self._print(Text(f"\nThe demonstration ended early: {reason}", style="bold red"))
        self.quoted("\n".join(server_log))

    def _print(self, text: Text) -> None:
        if self._is_mid_line:
            self._is_mid_line = False
            self._console.print()
        self._console.print(text)
        self._console.file.flush()


def _name(who: str) -> Text:
    return Text("   ").append(f"{who:{_NAME_CELLS}}", style=_STYLES.get(who, ""))
