"""The server never has the text: none of its files and rows holds what two people said, however spelt."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chaos.people.crowd import PASSPHRASE, PASSWORD, say, two_people
from chaos.stack.node import Node, serving

SECRETS = [
    "meet me under the old semaphore at nine",
    "bring the codebook, Grüße und Küsse",
    PASSWORD,
    PASSPHRASE,
]


@pytest.mark.system
async def test_no_file_and_no_row_of_the_server_holds_the_text(tmp_path: Path) -> None:
    async with serving(tmp_path / "server") as server:
        async with two_people(server, tmp_path) as (alice, bob):
            for secret in SECRETS[:2]:
                message = await say(alice, bob, secret)
                await say(bob, alice, f"{secret}, yes")
            stored = (await alice.fetch_history(message.conv)).entries[0].body
        live = list(_haystacks(server))
        assert await server.stop() == 0
        stopped = list(_haystacks(server))
    for haystacks in (live, stopped):
        # The search is only worth something if it finds what is there: user names, and the message as it is stored.
        assert any(_finds("alice", data) for _, data in haystacks)
        assert any(name.startswith("rows of ") and stored in data for name, data in haystacks)
        for secret in SECRETS:
            assert [name for name, data in haystacks if _finds(secret, data)] == []


@pytest.mark.parametrize(
    "spelling",
    [
        SECRETS[1].encode(),
        SECRETS[1].encode("utf-16-le"),
        SECRETS[1].encode("utf-16-be"),
        SECRETS[1].encode().hex().encode(),
    ],
)
def test_the_search_finds_a_spelling(spelling: bytes) -> None:
    assert _finds(SECRETS[1], b"x" + spelling + b"y")


@pytest.mark.parametrize("before", [b"", b"a", b"ab"])
def test_the_search_finds_base64_at_any_offset(before: bytes) -> None:
    assert _finds(SECRETS[0], base64.b64encode(before + SECRETS[0].encode() + b"the rest"))


def _finds(text: str, data: bytes) -> bool:
    return any(spelling in data for spelling in _spellings(text))


def _spellings(text: str) -> Iterator[bytes]:
    plain = text.encode()
    yield from (
        plain,
        text.encode("utf-16-le"),
        text.encode("utf-16-be"),
        plain.hex().encode(),
        plain.hex().upper().encode(),
    )
    for offset in range(3):
        # Base64 mixes neighbours into the first and last group: those are cut off.
        encoded = base64.b64encode(bytes(offset) + plain)
        yield encoded[4 if offset else 0 : -4]


def _haystacks(server: Node) -> Iterator[tuple[str, bytes]]:
    """Yield every file of the server as bytes, and every table as text."""
    for path in (path for path in server.folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        yield str(path), data
        if data.startswith(b"SQLite format 3"):
            yield from _tables(path)


def _tables(path: Path) -> Iterator[tuple[str, bytes]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        for table in tables:
            rows = database.execute(f'SELECT * FROM "{table}"').fetchall()
            if rows:
                values = (value for row in rows for value in row if value is not None)
                dump = b"\n".join(
                    value if isinstance(value, bytes) else str(value).encode() for value in values
                )
                yield f"rows of {table}", dump
