"""docs/metrics.md says what there is, and what there is keeps to Prometheus' naming."""

from __future__ import annotations

from pathlib import Path

import pytest

from chappe.cli.metrics import Family, catalogue, page_with_tables

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
UNITS = ("_seconds", "_bytes", "_ratio", "_messages", "_events", "_frames", "_restarts")


def test_the_page_is_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page_with_tables(page) == page, "run .venv/bin/python -m chappe.cli.metrics docs/metrics.md"


@pytest.mark.parametrize("family", catalogue(), ids=lambda family: family.name)
def test_names_and_texts_keep_to_the_conventions(family: Family) -> None:
    assert family.help.endswith(".")
    assert family.name.startswith(("chappe_", "process_"))
    if family.type == "counter":
        assert family.name.endswith("_total")
    if family.type == "histogram":
        assert family.name.endswith(UNITS)
    assert {"node", "worker", "instance", "job"}.isdisjoint(family.labels)  # Prometheus' own


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        page_with_tables("nothing")
