"""The code in the documents runs, and prints what is shown: Python as it stands, the README's commands against a real
server.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from .console import Terminal, commands, shape
from .pages import PAGES, ROOT, name, read

README = ROOT / "README.md"
WITH_PYTHON = [page for page in PAGES if "```python" in read(page) and page != README]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name)
def test_python_in_the_documents_prints_what_they_show(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def compare(shown: Example) -> None:
        assert lines(capsys.readouterr().out) == lines(shown.parsed)

    parsers = PythonCodeBlockParser(), CodeBlockParser("text", compare)
    for example in Document.parse(str(page), *parsers).examples():
        example.evaluate()
    assert capsys.readouterr().out == "", "the page does not show this"


def lines(text: str) -> list[str]:
    """Return the lines of a text without the blanks that all begin with, which Sybil removes, and those at ends."""
    return [line.rstrip() for line in dedent(text).splitlines()]


@pytest.mark.system
def test_the_first_session_of_the_readme_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal(tmp_path)
    try:
        monkeypatch.setenv("HOME", terminal.world.environment["HOME"])
        monkeypatch.setitem(terminal.world.environment, "CHAPPE_PASSPHRASE", "my passphrase")
        parsers = CodeBlockParser("console", terminal), PythonCodeBlockParser()
        for example in Document.parse(str(README), *parsers).examples():
            example.evaluate()
        assert capsys.readouterr().out == "SENT\n"
    finally:
        terminal.close()


def test_a_console_block_is_taken_apart() -> None:
    block = "$ chappe a\none\ntwo\n$ chappe b\n"
    assert commands(block) == [("chappe a", "one\ntwo\n"), ("chappe b", "")]
    with pytest.raises(AssertionError, match="begins with a command"):
        commands("output first\n$ chappe a\n")


def test_what_changes_is_compared_by_its_shape_and_the_rest_word_by_word() -> None:
    assert shape("14:03 ✓  you: hi") == shape("08:59 ✓  you: hi")
    assert shape("14:03 ✓  you: hi") != shape("14:03 ✓✓ you: hi")
    assert shape("sent to +4915112345678: 123456") != shape("sent to +4915112345679: 123456")
