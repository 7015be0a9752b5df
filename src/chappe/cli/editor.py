"""A one-line editor without I/O: what was typed goes in as bytes, edits and finished lines come out.

`chat` feeds it and draws it. The terminal's own line mode would do the editing for nothing, but then nobody
could tell that somebody is typing, nor put his half-written line back under a message that arrives. readline
would, but it owns the terminal while it waits, and its thread cannot be left alone at exit.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Final

_MOST_CHARACTERS: Final = 16_000  # four bytes each at most: what fits in one message body

# A sequence that began but has not ended yet is kept until the rest comes.
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O.|[^\[O])")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*|O)?$")


@dataclass(frozen=True, slots=True)
class Line:
    """Enter was pressed on this text."""

    text: str


@dataclass(frozen=True, slots=True)
class Edited:
    """The text or the cursor changed: draw it again."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Ctrl-D on an empty line."""


Action = Line | Edited | Ended


class LineEditor:
    """The line being written: `text`, and `cursor` as an index into it."""

    __slots__ = ("_decoder", "_pending", "cursor", "text")

    def __init__(self) -> None:
        self.text = ""
        self.cursor = 0
        self._pending = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> list[Action]:
        """Take what was typed, cut anywhere, and return what came of it, in order."""
        typed = self._pending + self._decoder.decode(data)
        self._pending = ""
        actions: list[Action] = []
        at = 0
        while at < len(typed):
            key = typed[at]
            if key == "\x1b":
                if _UNFINISHED.match(typed, at):
                    self._pending = typed[at:]
                    break
                sequence = _ESCAPE.match(typed, at)
                key = sequence.group() if sequence else key
            at += len(key)
            action = self._press(key)
            if isinstance(action, Edited) and actions and isinstance(actions[-1], Edited):
                continue
            if action is not None:
                actions.append(action)
        return actions

    def _press(self, key: str) -> Action | None:
        if key in "\r\n":
            line = Line(self.text)
            self.text, self.cursor = "", 0
            return line
        if key == "\x04" and not self.text:
            return Ended()
        before = (self.text, self.cursor)
        if key in _MOVES:
            self.text, self.cursor = _MOVES[key](self.text, self.cursor)
        elif key.isprintable() and len(self.text) < _MOST_CHARACTERS:
            self.text = self.text[: self.cursor] + key + self.text[self.cursor :]
            self.cursor += 1
        return Edited() if (self.text, self.cursor) != before else None


def _backspace(text: str, cursor: int) -> tuple[str, int]:
    return (text[: cursor - 1] + text[cursor:], cursor - 1) if cursor else (text, cursor)


def _delete(text: str, cursor: int) -> tuple[str, int]:
    return text[:cursor] + text[cursor + 1 :], cursor


def _left(text: str, cursor: int) -> tuple[str, int]:
    return text, max(0, cursor - 1)


def _right(text: str, cursor: int) -> tuple[str, int]:
    return text, min(len(text), cursor + 1)


def _home(text: str, _cursor: int) -> tuple[str, int]:
    return text, 0


def _end(text: str, _cursor: int) -> tuple[str, int]:
    return text, len(text)


def _drop_line(text: str, cursor: int) -> tuple[str, int]:
    return text[cursor:], 0


def _drop_tail(text: str, cursor: int) -> tuple[str, int]:
    return text[:cursor], cursor


def _drop_word(text: str, cursor: int) -> tuple[str, int]:
    start = len(re.sub(r"\S*\s*$", "", text[:cursor]))
    return text[:start] + text[cursor:], start


_MOVES: Final = {
    "\x7f": _backspace,
    "\x08": _backspace,
    "\x1b[3~": _delete,
    "\x04": _delete,
    "\x1b[D": _left,
    "\x1bOD": _left,
    "\x02": _left,
    "\x1b[C": _right,
    "\x1bOC": _right,
    "\x06": _right,
    "\x1b[H": _home,
    "\x1bOH": _home,
    "\x1b[1~": _home,
    "\x01": _home,
    "\x1b[F": _end,
    "\x1bOF": _end,
    "\x1b[4~": _end,
    "\x05": _end,
    "\x15": _drop_line,
    "\x0b": _drop_tail,
    "\x17": _drop_word,
}
