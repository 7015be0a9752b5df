"""What is printed: nothing that another person wrote can steer the terminal, and times read well."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.cli.output import iso, visible


@given(st.text())
def test_nothing_steers_the_terminal(text: str) -> None:
    shown = visible(text)
    assert len(shown) == len(text)
    assert not any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in shown)
    assert not any(
        unicodedata.bidirectional(character) in {"LRO", "RLO", "LRE", "RLE"} for character in shown
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jgone", "␛[2Jgone"),
        ("a\r\nb", "a␍␊b"),
        ("family 👨‍👩‍👧", "family 👨‍👩‍👧"),
        ("\u202egnp.exe", "\ufffdgnp.exe"),
        ("\x9b31m", "\ufffd31m"),
    ],
)
def test_controls_are_shown_and_the_rest_is_left_alone(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_line_ends_may_be_kept_under_an_indent() -> None:
    assert visible("one\ntwo\x07", indent="  ") == "one\n  two␇"


def test_times_for_programs_are_utc() -> None:
    assert iso(1_763_883_000_123) == "2025-11-23T07:30:00.123+00:00"
    assert iso(None) is None
