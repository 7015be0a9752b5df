"""The line editor: keys to text, however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.cli.editor import Edited, Ended, Line, LineEditor


def typed(data: bytes) -> LineEditor:
    editor = LineEditor()
    editor.feed(data)
    return editor


@pytest.mark.parametrize(
    ("keys", "text", "cursor"),
    [
        (b"hello", "hello", 5),
        ("grüß 👋".encode(), "grüß 👋", 6),
        (b"helo\x1b[Dl", "hello", 4),
        (b"xhello\x01\x1b[3~\x05!", "hello!", 6),
        (b"one two  \x17", "one ", 4),
        (b"one two\x15three", "three", 5),
        (b"one two\x1b[H\x0b", "", 0),
        (b"ab\x7f\x7f\x7fc", "c", 1),
        (b"ab\x1b[D\x1b[D\x1b[D\x1b[Cx", "axb", 2),
        (b"a\x04", "a", 1),
        (b"tab\tbell\x07", "tabbell", 7),
        (b"\x1b[200~pasted\x1b[201~", "pasted", 6),
    ],
)
def test_keys_edit_the_line(keys: bytes, text: str, cursor: int) -> None:
    editor = typed(keys)
    assert (editor.text, editor.cursor) == (text, cursor)


def test_enter_finishes_lines_in_order() -> None:
    assert [action for action in LineEditor().feed(b"one\rtwo\nthree") if isinstance(action, Line)] == [
        Line("one"),
        Line("two"),
    ]


def test_control_d_ends_only_an_empty_line() -> None:
    editor = LineEditor()
    assert editor.feed(b"\x04") == [Ended()]
    assert editor.feed(b"x\x04") == [Edited()]


def test_keys_that_change_nothing_are_not_edits() -> None:
    assert LineEditor().feed(b"\x7f\x1b[D\x1b[A\x07") == []


_keys = st.lists(
    st.one_of(
        st.text(min_size=1, max_size=5).map(str.encode),
        st.sampled_from(
            [
                b"\x1b[D",
                b"\x1b[C",
                b"\x1b[3~",
                b"\x1bOH",
                b"\x1b[F",
                b"\x7f",
                b"\x17",
                b"\x15",
                b"\x0b",
                b"\r",
            ]
        ),
    ),
    max_size=30,
).map(b"".join)


@given(_keys, st.lists(st.integers(0, 200), max_size=5))
def test_how_the_bytes_are_cut_does_not_matter(keys: bytes, cuts: list[int]) -> None:
    whole, pieces = LineEditor(), LineEditor()
    lines = [action for action in whole.feed(keys) if isinstance(action, Line)]
    bounds = [0, *sorted(min(cut, len(keys)) for cut in cuts), len(keys)]
    cut_lines = [
        action
        for start, end in pairwise(bounds)
        for action in pieces.feed(keys[start:end])
        if isinstance(action, Line)
    ]
    assert (cut_lines, pieces.text, pieces.cursor) == (lines, whole.text, whole.cursor)


@given(st.binary(max_size=200))
def test_any_bytes_leave_a_printable_line_with_the_cursor_in_it(data: bytes) -> None:
    editor = typed(data)
    assert 0 <= editor.cursor <= len(editor.text)
    assert all(character.isprintable() for character in editor.text)
