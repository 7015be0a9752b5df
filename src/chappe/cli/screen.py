"""A scrolling transcript with a status line and an input line under it, in plain ANSI.

`chat` and the demo draw with it. The terminal keeps its scrollback: lines are printed once, as they come, and
only the two lines at the bottom are drawn again. A tick of a line that is still on the screen is changed
where it stands; one that has scrolled away is left as it is, since rewriting history would need the whole
screen (curses, the alternate buffer) and would take the scrollback away. Widths are counted in cells, so that
wide characters do not shift a row.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

from rich.cells import cell_len, chop_cells

CLEAR_LINE: Final = "\r\x1b[2K"
_DIM = "\x1b[2m"
_RESET = "\x1b[0m"
_BOTTOM_ROWS = 2


class Screen:
    """Draws through `write`; `size` tells columns and rows. Everything it is given must be printable text."""

    def __init__(self, write: Callable[[str], object], size: Callable[[], tuple[int, int]]) -> None:
        self._write = write
        self._size = size
        self._status = ""
        self._text, self._cursor = "", 0
        self._is_drawn = False
        self._rows_printed = 0
        self._marked: dict[Hashable, tuple[int, int]] = {}

    def print(self, line: str, *, style: str = "", mark: Hashable | None = None, column: int = 0) -> None:
        """Add lines to the transcript, in a style such as "1" or "2;36" (SGR).

        `mark` names the text at `column` of the first line, to be changed later.
        """
        columns, _ = self._size()
        if mark is not None:
            self._marked[mark] = (self._rows_printed, column)
        self._rows_printed += sum(max(1, len(chop_cells(part, columns))) for part in line.split("\n"))
        self._write(f"{self._erased()}{_styled(line, style)}\n{self._bottom()}")

    def change(self, mark: Hashable, text: str, *, style: str = "") -> bool:
        """Overwrite what stands at a mark, cell by cell; return whether it was still on the screen."""
        columns, rows = self._size()
        row, column = self._marked.get(mark, (-1, 0))
        up = self._rows_printed - row
        if row < 0 or up + _BOTTOM_ROWS > rows or column + cell_len(text) > columns:
            self._marked.pop(mark, None)
            return False
        right = f"\x1b[{column}C" if column else ""
        self._write(f"{self._erased()}\x1b[{up}A{right}{_styled(text, style)}\r\x1b[{up}B{self._bottom()}")
        return True

    def resized(self) -> None:
        """Draw again in a window of another size: lines have moved, and marks no longer say where."""
        self._marked.clear()
        self._write(self._erased() + self._bottom())

    def status(self, text: str) -> None:
        """Replace the status line."""
        if text != self._status or not self._is_drawn:
            self._status = text
            self._write(self._erased() + self._bottom())

    def input(self, text: str, cursor: int) -> None:
        """Replace the input line; `cursor` is an index into `text`."""
        self._text, self._cursor = text, cursor
        self._write(self._erased() + self._bottom())

    def close(self) -> None:
        """Take the two lines away; the transcript stays."""
        self._write(self._erased())

    def _erased(self) -> str:
        if not self._is_drawn:
            return ""
        self._is_drawn = False
        return f"{CLEAR_LINE}\x1b[1A{CLEAR_LINE}"

    def _bottom(self) -> str:
        self._is_drawn = True
        columns, _ = self._size()
        room = max(4, columns - 1)
        shown, cursor = window(self._text, self._cursor, room - 2)
        back = cell_len(shown) - cell_len(shown[:cursor])
        left = f"\x1b[{back}D" if back else ""
        return f"{_DIM}{clipped(self._status, room)}{_RESET}\n> {shown}{left}"


def _styled(text: str, style: str) -> str:
    return f"\x1b[{style}m{text}{_RESET}" if style else text


def clipped(text: str, cells: int) -> str:
    """Return the beginning of `text` that fits into so many cells."""
    return text if cell_len(text) <= cells else chop_cells(text, max(1, cells - 1))[0] + "…"


def window(text: str, cursor: int, cells: int) -> tuple[str, int]:
    """Return the part of `text` around the cursor that fits, and the cursor's index in it."""
    start = 0
    while cell_len(text[start:cursor]) > max(0, cells - 1):
        start += max(1, cells // 4)
    start = min(start, cursor)
    end = len(text)
    if cell_len(text[start:end]) > cells:
        end = start + len(chop_cells(text[start:], cells)[0])
    return text[start:end], cursor - start
