"""What the documents mention exists: links, headings, files, functions, tests, metrics, settings, commands."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from chappe.cli.main import app
from chappe.cli.metrics import catalogue
from chappe.settings import Settings

from .console import commands
from .pages import PAGES, ROOT, name, read

ADRS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
SECTIONS = ["Context", "Decision", "Rejected", "Consequences", "What would change our mind"]
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=name)


def anchor(heading: str) -> str:
    """Return the anchor that a heading gets where such pages are shown."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@EVERY_PAGE
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!\d)([^)\s]+)\)", read(page)):
        if "://" in target:
            continue
        file, _, fragment = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), f"{target} is not there"
        if fragment:
            assert fragment in map(anchor, re.findall(r"^#+ (.+)$", read(linked), re.MULTILINE)), target


@EVERY_PAGE
def test_paths_lead_somewhere(page: Path) -> None:
    for path in re.findall(
        r"`((?:src|tests|docs|supervisors|config|bench|requirements)/[\w./*-]*)`", read(page)
    ):
        assert list(ROOT.glob(path)), path


@EVERY_PAGE
def test_tests_that_are_named_exist(page: Path) -> None:
    assert set(re.findall(r"`(test_\w+)`", read(page))) <= all_tests()


@cache
def all_tests() -> set[str]:
    return {found for file in (ROOT / "tests").rglob("test_*.py") for found in functions(file)}


def functions(file: Path) -> Iterator[str]:
    """Yield the functions of a file, and the methods as `Class.method`."""
    for node in ast.parse(read(file)).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            members = (
                member for member in node.body if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
            )
            yield from (f"{node.name}.{member.name}" for member in members)


@EVERY_PAGE
def test_metrics_that_are_named_exist(page: Path) -> None:
    known = {found for family in catalogue() for found in (family.name, *family.names)}
    assert set(re.findall(r"`(chappe_[a-z_]+)`", read(page))) <= known


# In docs/protocol.md `limits` are those of WELCOME.
@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "protocol"], ids=name)
def test_settings_that_are_named_exist(page: Path) -> None:
    sections = {key: type(section).model_fields for key, section in Settings()}
    for section, key in re.findall(rf"`({'|'.join(sections)})\.([a-z_]+)(?![\w.(])", read(page)):
        assert any(known.startswith(key) for known in sections[section]), f"{section}.{key}"


@EVERY_PAGE
def test_commands_that_are_shown_exist(page: Path) -> None:
    for block in re.findall(r"^```(?:console|sh)\n(.*?)^```", read(page), re.MULTILINE | re.DOTALL):
        lines = [line for line, _ in commands(block)] if block.startswith("$ ") else block.splitlines()
        for line in lines:
            words = shlex.split(line, comments=True)
            ends = [i for i, word in enumerate(words) if word in {"|", "||", "&&"}]
            for start, end in pairwise([-1, *ends, len(words)]):
                check_command(words[start + 1 : end])


def check_command(words: list[str]) -> None:
    """Check that a command of this project is one; others are not ours to check."""
    match words:
        case ["make", target]:
            assert re.search(rf"^{target}:", read(ROOT / "Makefile"), re.MULTILINE), target
        case [".venv/bin/python", "-m", module, *_]:
            assert find_spec(module), module
        case [".venv/bin/python", script, *_]:
            assert (ROOT / script).exists(), script
        case [".venv/bin/pytest", *rest]:
            assert all((ROOT / word).exists() for word in rest if word.startswith("tests"))
        case ["chappe", *rest]:
            check_chappe(rest)
        case _:
            pass


def check_chappe(words: list[str]) -> None:
    """Check that the command line has this command with these options."""
    command: Any = get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-") and word != "-"} <= known, words


@pytest.mark.parametrize("adr", ADRS, ids=lambda adr: adr.stem)
def test_a_decision_has_all_its_sections_on_one_page(adr: Path) -> None:
    text = read(adr)
    assert re.match(rf"# {int(adr.name[:4])}\. \S", text)
    assert re.search(r"^Status: (accepted|replaced by \[)", text, re.MULTILINE)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert len(text.split()) < 600


def test_the_list_of_decisions_is_whole() -> None:
    linked = re.findall(
        r"^\| (\d+) \| \[(.+)\]\((.+)\) \|$", read(ROOT / "docs" / "adr" / "README.md"), re.MULTILINE
    )
    titles = [read(adr).partition("\n")[0].removeprefix("# ").split(". ", 1) for adr in ADRS]
    assert linked == [(number, title, adr.name) for (number, title), adr in zip(titles, ADRS, strict=True)]


def test_the_way_of_a_message_can_be_walked() -> None:
    steps = re.findall(r"^\| (\d) \| \[.+?\]\((.+?)\) \| `(.+?)` \|", read(ROOT / "README.md"), re.MULTILINE)
    assert [int(number) for number, _, _ in steps] == list(range(1, 9))
    for _, file, function in steps:
        assert function in functions(ROOT / file), file
