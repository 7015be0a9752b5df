"""The supervision trees drawn in the documents are the one that a node has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chappe.app import open_node
from chappe.settings import load

from .pages import ROOT, name, read

DRAWN = [ROOT / "README.md", ROOT / "docs" / "architecture.md"]


@pytest.mark.parametrize("page", DRAWN, ids=name)
async def test_the_drawn_tree_is_the_nodes(page: Path, tmp_path: Path) -> None:
    [drawing] = re.findall(r"^node\b.*\n((?:[├└│ ].*\n)+)```", read(page), re.MULTILINE)
    drawn = re.findall(r"^[├└]─ (\S+)", drawing, re.MULTILINE)
    sections = {"gateway": {"port": 0}, "http": {"port": 0}, "stores": {"data": tmp_path}}
    async with open_node(load().model_validate(sections)) as node:
        assert drawn == [child.name for child in node.snapshot().children]
