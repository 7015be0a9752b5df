"""What a release sends to its SQL database: its tables and its statements, written down for later releases to be
held against.

`python -m tests.chappe.stores.sql.recording URL` writes `recorded/<schema>.<engine>.jsonl` from `scenario.py`, with
the code as it is, into an empty database that it may fill. Whoever adds a migration records the schema before it
first, and leaves the older files alone: they are what nodes that still run send.

A file has one JSON list a statement, `[part, sql, parameters]`: part 0 makes the tables, parts 1 and 2 are two lives
of the scenario. Bytes are written as `{"b": hex}`, longer ones packed by zlib as `{"z": hex}`.
"""

from __future__ import annotations

import json
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio
from sqlalchemy import Connection, Engine, event

from chappe.stores.sql.engine import migrate_database, open_database
from chappe.stores.sql.keys import SqlKeyStore
from chappe.stores.sql.schema import SCHEMA_VERSION
from chappe.stores.sql.users import SqlUserStore

from .scenario import live

FOLDER = Path(__file__).parent / "recorded"
PLAIN_BYTES = 64
NO_CHANGE = ("SELECT", "PRAGMA", "SHOW", "BEGIN", "SET")  # of the opening only what makes the tables counts


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as the driver got it; `parameters` is a list of them when it was sent for many rows."""

    part: int
    sql: str
    parameters: Any


def recorded(schema: int, engine: str) -> list[Statement]:
    """Return what the last release with this schema sent to this engine."""
    lines = (FOLDER / f"{schema:04}.{engine}.jsonl").read_text(encoding="utf-8").splitlines()
    return [Statement(part, sql, _decoded(parameters)) for part, sql, parameters in map(json.loads, lines)]


def replay(connection: Connection, statements: list[Statement]) -> None:
    """Send them again."""
    for statement in statements:
        connection.exec_driver_sql(statement.sql, statement.parameters).close()


def _encoded(value: Any) -> Any:
    value = getattr(value, "obj", value)  # both drivers wrap bytes, each in its own type
    if isinstance(value, bytes):
        return {"b": value.hex()} if len(value) <= PLAIN_BYTES else {"z": zlib.compress(value, 9).hex()}
    if isinstance(value, dict):
        return {"d": {key: _encoded(one) for key, one in value.items()}}
    if isinstance(value, tuple):
        return {"t": [_encoded(one) for one in value]}
    return [_encoded(one) for one in value] if isinstance(value, list) else value


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(one) for one in value]
    if not isinstance(value, dict):
        return value
    [(kind, inner)] = value.items()
    if kind == "b":
        return bytes.fromhex(inner)
    if kind == "z":
        return zlib.decompress(bytes.fromhex(inner))
    if kind == "d":
        return {key: _decoded(one) for key, one in inner.items()}
    return tuple(_decoded(one) for one in inner)


async def record(url: str) -> list[Statement]:
    """Migrate an empty database and live twice in it; return what was sent."""
    part = 0
    found: list[Statement] = []

    def note(*seen: Any) -> None:
        _, _, sql, parameters, _, is_many = seen
        words = sql.split(None, 1)
        if words[0] == "BEGIN" or (part == 0 and words[0].upper() in NO_CHANGE):
            return
        found.append(Statement(part, sql, list(parameters) if is_many else parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        await trio.to_thread.run_sync(migrate_database, url)
        async with open_database(url) as database:
            for part in (1, 2):
                await live(SqlUserStore(database), SqlKeyStore(database), part)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    return found


def main(url: str) -> None:
    """Write the file of this release's schema."""
    file = FOLDER / f"{SCHEMA_VERSION:04}.{url.split(':', maxsplit=1)[0].split('+', maxsplit=1)[0]}.jsonl"
    with file.open("w", encoding="utf-8") as out:
        for one in trio.run(record, url):
            parameters = _encoded(one.parameters)
            out.write(json.dumps([one.part, one.sql, parameters], ensure_ascii=False) + "\n")
    print(file)


if __name__ == "__main__":
    main(sys.argv[1])
