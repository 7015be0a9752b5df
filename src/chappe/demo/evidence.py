"""What the server's files hold: one message as it is stored, and whether any plaintext is in them.

Looks at the files themselves, past the server, as a thief of the disk would.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from ..domain.messages import StoredMessage, Watermark
from ..ids import MessageId

_EXCERPT_BYTES = 32
_journal = msgspec.msgpack.Decoder(tuple[list[StoredMessage], list[Watermark]])


def stored(data: Path, message: MessageId) -> dict[str, str]:
    """Return the stored message as column and value, bytes in hex; empty when it is not there."""
    file = (data / "messages.sqlite").absolute()
    connection = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)
    try:
        cursor = connection.execute("SELECT * FROM chatlog WHERE id = ?", (message,))
        for row in cursor:
            return {name: _shown(value) for (name, *_), value in zip(cursor.description, row, strict=True)}
        # Not moved into the table yet: it stands in the journal that appends go to first.
        for (batch,) in connection.execute("SELECT batch FROM journal"):
            for one in _journal.decode(batch)[0]:
                if one.id == message:
                    return {name: _shown(value) for name, value in msgspec.structs.asdict(one).items()}
        return {}
    finally:
        connection.close()


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        more = f"… ({len(value)} bytes)" if len(value) > _EXCERPT_BYTES else ""
        return value[:_EXCERPT_BYTES].hex(" ", 4) + more
    if isinstance(value, dict):
        return ", ".join(f"{_shown(key)}: {_shown(one)}" for key, one in value.items())
    return str(value)


def files_with(data: Path, texts: Iterable[str]) -> tuple[int, list[str]]:
    """Search every file under a folder; return how many bytes were searched, and `file: text` for each hit."""
    wanted = [text.encode() for text in texts]
    searched, hits = 0, []
    for file, content in _contents(data):
        searched += len(content)
        hits += [f"{file.name}: {text.decode()}" for text in wanted if text in content]
    return searched, hits


def _contents(data: Path) -> Iterator[tuple[Path, bytes]]:
    for file in sorted(data.rglob("*")):
        if file.is_file():
            yield file, file.read_bytes()
