"""What may import what: the pure cores know nothing of the rim, and one file alone knows the concrete stores.

`supervisors`' own rule (the standard library and trio) is tested with the framework, in `tests/supervisors`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CHAPPE = Path(__file__).parents[1] / "src" / "chappe"

# A folder of src/chappe, and what of the rest of src/chappe it may import.
MAY = {
    "protocol": {"ids"},
    "crypto": {"ids", "protocol"},
    "domain": {"ids", "protocol"},
    "bus": {"domain", "errors", "ids", "ports", "protocol", "wakeup"},
    "stores": {"domain", "errors", "ids", "ports", "protocol"},
    "http": set[str](),
    "history": set[str](),
}
PURE = ("protocol", "crypto", "domain")
RIM = {"trio", "trio_websocket", "anyio", "asyncio", "socket", "sqlite3", "sqlalchemy", "supervisors", "time"}
ADAPTERS = {"stores.cassandra", "stores.sql", "stores.sqlite"}


def imports(file: Path) -> Iterator[str]:
    """Yield every module that a file imports, those of chappe without its name, as in `stores.sqlite.messages`."""
    package = ("chappe", *file.relative_to(CHAPPE).parts[:-1])
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("chappe.") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            yield from (f"{module}.{alias.name}".removeprefix("chappe.") for alias in node.names)


def own(names: Iterator[str]) -> set[str]:
    """Return those names that are of chappe, each as the file or folder of src/chappe that it is in."""
    rooms = {path.stem for path in CHAPPE.iterdir()}
    return {room for name in names if (room := name.split(".")[0]) in rooms}


@pytest.mark.parametrize("room", MAY)
def test_a_room_imports_nothing_above_it(room: str) -> None:
    files = sorted((CHAPPE / room).rglob("*.py"))
    assert files
    for file in files:
        assert own(imports(file)) - {room} <= MAY[room], file


@pytest.mark.parametrize("room", PURE)
def test_the_cores_do_no_io(room: str) -> None:
    for file in sorted((CHAPPE / room).rglob("*.py")):
        assert {name.split(".")[0] for name in imports(file)}.isdisjoint(RIM), file


def test_only_the_composition_root_knows_the_stores() -> None:
    knowing = {
        str(file.relative_to(CHAPPE))
        for file in CHAPPE.rglob("*.py")
        if file.relative_to(CHAPPE).parts[0] != "stores"
        and any(name.startswith(tuple(ADAPTERS)) for name in imports(file))
    }
    assert knowing == {"app.py"}
