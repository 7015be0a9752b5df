"""The chat's screen, looked at through a small terminal."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from chappe.cli.screen import Screen, clipped, window

_CONTROL = re.compile(r"\x1b\[([\d;]*)([A-Za-z])")


class Terminal:
    """Wraps, scrolls, moves the cursor and erases lines. Ignores colours; any other control is an error."""

    def __init__(self, columns: int = 20, rows: int = 6) -> None:
        self.columns, self.rows = columns, rows
        self.cells = [[" "] * columns for _ in range(rows)]
        self.row = self.column = 0

    def size(self) -> tuple[int, int]:
        return self.columns, self.rows

    def write(self, text: str) -> None:
        at = 0
        while at < len(text):
            if control := _CONTROL.match(text, at):
                self._control(control[1], control[2])
                at = control.end()
            else:
                self._put(text[at])
                at += 1

    def _control(self, argument: str, kind: str) -> None:
        if kind == "m":
            return
        count = int(argument)
        if kind == "K":
            assert count == 2
            self.cells[self.row] = [" "] * self.columns
        elif kind in "AB":
            self.row += count if kind == "B" else -count
            assert 0 <= self.row < self.rows, "the cursor left the window"
        else:
            self.column += {"C": count, "D": -count}[kind]
            assert 0 <= self.column < self.columns, "the cursor left the line"

    def _put(self, character: str) -> None:
        if character == "\r":
            self.column = 0
            return
        width = cell_len(character)
        if character == "\n" or self.column + width > self.columns:
            self.column = 0
            if self.row < self.rows - 1:
                self.row += 1
            else:
                self.cells = [*self.cells[1:], [" "] * self.columns]
        if character != "\n":
            assert character.isprintable(), f"{character!r} reached the terminal"
            self.cells[self.row][self.column : self.column + width] = [character, *[""] * (width - 1)]
            self.column += width

    def lines(self) -> list[str]:
        return ["".join(row).rstrip() for row in self.cells]


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@pytest.fixture
def screen(terminal: Terminal) -> Screen:
    return Screen(terminal.write, terminal.size)


def test_lines_scroll_above_status_and_input(terminal: Terminal, screen: Screen) -> None:
    screen.status("ben · online")
    screen.input("half a l", 8)
    for number in range(1, 9):
        screen.print(f"line {number}")
    assert terminal.lines() == ["line 5", "line 6", "line 7", "line 8", "ben · online", "> half a l"]
    assert (terminal.row, terminal.column) == (5, 10)


def test_a_tick_changes_where_it_stands(terminal: Terminal, screen: Screen) -> None:
    screen.print("14:03 …  you: one", mark="one", column=6)
    screen.print("14:03 …  you: two which is longer than the window", mark="two", column=6)
    assert screen.change("one", "✓✓", style="36")
    assert screen.change("two", "✓ ")
    assert terminal.lines()[:4] == [
        "14:03 ✓✓ you: one",
        "14:03 ✓  you: two wh",
        "ich is longer than t",
        "he window",
    ]
    assert terminal.lines()[5].startswith(">")


def test_a_tick_that_scrolled_away_is_left_alone(terminal: Terminal, screen: Screen) -> None:
    screen.print("14:03 …  you: one", mark="one", column=6)
    for number in range(4):
        screen.print(f"line {number}")
    before = terminal.lines()
    assert not screen.change("one", "✓✓")
    assert terminal.lines() == before


def test_after_a_resize_marks_are_not_trusted(terminal: Terminal, screen: Screen) -> None:
    screen.print("14:03 …  you: one", mark="one", column=6)
    screen.resized()
    assert not screen.change("one", "✓✓")


def test_closing_leaves_the_transcript(terminal: Terminal, screen: Screen) -> None:
    screen.print("hello")
    screen.close()
    assert terminal.lines() == ["hello", "", "", "", "", ""]


_text = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], max_codepoint=0xFFFF), max_size=60).map(
    lambda text: "".join(
        character for character in text if character.isprintable() and cell_len(character) > 0
    )
)


@given(st.lists(_text, min_size=1, max_size=12), _text, _text, st.data())
def test_whatever_is_printed_every_mark_on_screen_hits_its_line(
    lines: list[str], status: str, written: str, data: st.DataObject
) -> None:
    terminal = Terminal(columns=17, rows=8)
    screen = Screen(terminal.write, terminal.size)
    screen.status(status)
    screen.input(written, data.draw(st.integers(0, len(written))))
    for number, line in enumerate(lines):
        screen.print(f"{number:02}..{line}", mark=number, column=2)
    for number in data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=12)):
        hit = screen.change(number, "##")
        assert hit == any(row.startswith(f"{number:02}##") for row in terminal.lines())
    assert terminal.lines()[-1 if len(lines) > 6 else terminal.row].startswith(">")


@given(_text, st.integers(1, 40))
def test_clipped_text_fits(text: str, cells: int) -> None:
    assert cell_len(clipped(text, cells)) <= max(cells, 2)


@given(_text, st.integers(4, 40), st.data())
def test_the_window_fits_and_holds_the_cursor(text: str, cells: int, data: st.DataObject) -> None:
    cursor = data.draw(st.integers(0, len(text)))
    shown, at = window(text, cursor, cells)
    assert cell_len(shown) <= cells
    assert text[:cursor].endswith(shown[:at])
    assert text[cursor:].startswith(shown[at:])
