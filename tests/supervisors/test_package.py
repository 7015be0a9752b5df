"""The package as a whole: what it imports, what it exports, and the example in its docstring."""

import ast
import doctest
import inspect
import sys
from pathlib import Path

import pytest
import trio.testing

import supervisors

ROOM = Path(inspect.getfile(supervisors)).parent


@pytest.mark.parametrize("path", sorted(ROOM.rglob("*.py")), ids=lambda path: path.name)
def test_it_imports_only_the_standard_library_and_trio(path: Path) -> None:
    allowed = {*sys.stdlib_module_names, "trio"}
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                imported = {alias.name.split(".")[0] for alias in names}
            case ast.ImportFrom(module=module, level=0):
                imported = {str(module).split(".")[0]}
            case _:
                continue
        assert imported <= allowed


def test_all_names_the_whole_public_api() -> None:
    public = {
        name for name, value in vars(supervisors).items() if name[0] != "_" and not inspect.ismodule(value)
    }
    assert public == set(supervisors.__all__)


def test_the_example_in_the_docstring_runs() -> None:
    results = doctest.testmod(supervisors, extraglobs={"trio": trio})
    assert (results.failed, results.attempted > 5) == (0, True)
