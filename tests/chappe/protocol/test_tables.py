"""The protocol's page says what the code does."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from chappe.protocol import tables
from chappe.protocol.calls import CALLS
from chappe.protocol.codes import CloseCode, ErrorCode
from chappe.protocol.frames import Frame
from chappe.protocol.session import frame_name

PAGE = Path(__file__).parents[3] / "docs" / "protocol.md"


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert tables.render(page) == page, f"Run: python -m chappe.protocol.tables {PAGE}"


@pytest.mark.parametrize("name", tables.TABLES)
def test_the_page_holds_every_table(name: str) -> None:
    assert f"<!-- begin {name} -->\n{tables.TABLES[name]()}\n<!-- end {name} -->" in PAGE.read_text(
        encoding="utf-8"
    )


def test_the_tables_hold_everything() -> None:
    assert all(f"**{frame_name(kind)}**" in tables.frames_table() for kind in get_args(Frame))
    assert all(f"`{name}`" in tables.calls_table() for name in CALLS)
    assert set(tables.ERRORS) == set(ErrorCode)
    assert set(tables.CLOSES) == set(CloseCode)


def test_a_page_is_drawn_anew_between_its_markers_only(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- begin closes -->\nold\n<!-- end closes -->\nafter\n", encoding="utf-8")
    tables.main(page)
    drawn = page.read_text(encoding="utf-8")
    assert drawn.startswith("before\n<!-- begin closes -->\n| code |")
    assert drawn.endswith("<!-- end closes -->\nafter\n")
    assert "old" not in drawn


def test_a_marker_for_no_table() -> None:
    with pytest.raises(KeyError, match="prices"):
        tables.render("<!-- begin prices -->\n<!-- end prices -->\n")
