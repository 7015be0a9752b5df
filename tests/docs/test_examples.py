"""The code in the documents runs: Python as it stands, the README's commands against a real server."""

from __future__ import annotations

from pathlib import Path

import pytest
from sybil import Document
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from .console import Terminal, commands, shape
from .pages import PAGES, ROOT, name, read

README = ROOT / "README.md"
WITH_PYTHON = [page for page in PAGES if "```python" in read(page) and page != README]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name)
def test_python_in_the_documents_runs(page: Path) -> None:
    for example in Document.parse(str(page), PythonCodeBlockParser()).examples():
        example.evaluate()


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
