"""The list of cases, the tests and the page say the same."""

from __future__ import annotations

import ast
from pathlib import Path

from .__main__ import HERE, PAGE, page
from .cases import CASES

TESTS = [file for file in Path(__file__).parent.glob("test_*.py") if file.name != Path(__file__).name]


def functions(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    named = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = {name.removeprefix("test_") for name in named if name.startswith("test_")}
    assert len(found) == sum(name.startswith("test_") for name in named), "two tests of one name"
    return found


def test_every_case_that_is_here_has_its_test_and_every_test_is_a_case() -> None:
    said = {(case.room, name) for name, case in HERE.items()}
    assert said == {(file.stem, name) for file in TESTS for name in functions(file)}


def test_every_other_case_says_why() -> None:
    assert all((case.room is None) is bool(case.left_out) for case in CASES.values())


def test_the_list_is_as_long_as_the_suite() -> None:
    assert (len(CASES), len(HERE)) == (91, 83)


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()
