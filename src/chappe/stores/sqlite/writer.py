"""The writing half of the message store: the journal, and the move from there into the tables. Blocking.

`messages.py` runs it in one thread at a time and translates its errors; here is no trio. Python's sqlite3
hands the interpreter lock over at every step of a statement, and may wait 5 ms to get it back from a busy
trio thread: so an append is one statement when nothing is being moved, and rows are moved 128 to a statement.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import chain, islice
from typing import Final, TypeAlias

import msgspec

from ...domain.messages import StoredMessage, Watermark
from ...ids import MessageId
from .database import transaction
from .staging import Generation, Row, Staging

ROWS_PER_STATEMENT: Final = 128
EXPIRED_ROWS_PER_STEP: Final = 512
EXPIRY_KEYS_PER_STEP: Final = 512

Statement: TypeAlias = tuple[str, Sequence[bytearray | bytes | int | None]]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[list[StoredMessage], list[Watermark]]).decode


def _rows_statement(table: str, columns: int, ending: str = "") -> tuple[str, int]:
    # A short slice is filled up with rows of NULL, which OR IGNORE drops because the columns are NOT NULL. It
    # drops rows that are there already too: the move is repeated from its start after a crash.
    row = f"({','.join('?' * columns)})"
    rows = ",".join([row] * ROWS_PER_STATEMENT)
    return f"INSERT OR IGNORE INTO {table} VALUES {rows} {ending}", columns  # noqa: S608 (constants of this file)


_CHATLOG: Final = _rows_statement("chatlog", 8)
_INBOX: Final = _rows_statement("inbox", 10)
_RECEIPTS: Final = _rows_statement(
    "receipts",
    4,
    "ON CONFLICT (conv, user) DO UPDATE SET"
    " delivered = max(delivered, excluded.delivered), read = max(read, excluded.read)",
)


class Expiring(Enum):
    """What expires: a table, and whose rows are together in it."""

    INBOX = "inbox", "device"
    CHATLOG = "chatlog", "conv"

    def __init__(self, table: str, key: str) -> None:
        self.oldest = f"SELECT {key}, id FROM {table} WHERE {key} >= ? ORDER BY {key}, id LIMIT 1"  # noqa: S608 (constants)
        self.delete = (
            f"DELETE FROM {table} WHERE {key} = ?1 AND id IN"  # noqa: S608
            f" (SELECT id FROM {table} WHERE {key} = ?1 AND id < ?2 ORDER BY id LIMIT ?3)"
        )


def restore(connection: sqlite3.Connection) -> Staging:
    """Read the journal back: what a process that ended, in whatever way, had not moved yet."""
    (floor,) = connection.execute("SELECT id FROM newest").fetchone()
    generation = Generation()
    for seq, batch in connection.execute("SELECT seq, batch FROM journal ORDER BY seq"):
        generation.add(seq, len(batch), *_decode(batch))
    return Staging(generation, floor)


class Writer:
    """Appends, moves, expires. One thread at a time; it owns `connection` and fills `staging`."""

    def __init__(self, connection: sqlite3.Connection, staging: Staging) -> None:
        self._connection = connection
        self._staging = staging
        self._moves: Iterator[Statement] | None = None
        self._at_hand: list[Statement] = []  # taken from `_moves` and not committed yet
        self._is_last = False  # whether what is at hand ends the move

    def append(self, messages: Sequence[StoredMessage], watermarks: Sequence[Watermark]) -> None:
        """Make these durable. Raises: `sqlite3.Error`, and then nothing was stored."""
        batch = _encode((messages, watermarks))
        if self._moves is None:
            seq = self._write_journal(batch)
        else:
            rows = len(watermarks) + sum(1 + len(message.wraps) for message in messages)
            with transaction(self._connection):
                seq = self._write_journal(batch)
                # Twice as fast as rows come in, so that a generation has moved before the next one is full.
                self._execute_moves(1 + 2 * rows // ROWS_PER_STATEMENT)
            self._committed_moves()
        self._staging.add(seq, len(batch), messages, watermarks)
        if self._moves is None and self._staging.is_full:
            self._moves = _moves(self._staging.start_moving())

    def settle(self) -> None:
        """Move everything into the tables. Raises: `sqlite3.Error`; what was moved until then stays moved."""
        while self._moves is not None or not self._staging.is_empty:
            if self._moves is None:
                self._moves = _moves(self._staging.start_moving())
            with transaction(self._connection):
                self._execute_moves(ROWS_PER_STATEMENT)
            self._committed_moves()

    def expire_some(self, what: Expiring, before: MessageId, key: bytes) -> tuple[int, bytes | None]:
        """Delete some rows older than `before`, of the device or conversation `key` or of the next ones in order.

        Returns how many, and the key to go on with; None when there is no more. Raises: `sqlite3.Error`.
        """
        for _ in range(EXPIRY_KEYS_PER_STEP):
            oldest = self._connection.execute(what.oldest, (key,)).fetchone()
            if oldest is None:
                return 0, None
            key = oldest[0]
            if oldest[1] < before:
                values = (key, before, EXPIRED_ROWS_PER_STEP)
                return self._connection.execute(what.delete, values).rowcount, key
            key += b"\0"  # sorts right after it
        return 0, key

    def ping(self) -> None:
        """Write something, and wait for the disk. Raises: `sqlite3.Error`."""
        self._connection.execute("UPDATE newest SET id = id")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _write_journal(self, batch: bytes) -> int:
        seq = self._connection.execute("INSERT INTO journal (batch) VALUES (?)", (batch,)).lastrowid
        assert seq is not None  # the type has None for statements that insert nothing
        return seq

    def _execute_moves(self, count: int) -> None:
        if self._moves is not None and len(self._at_hand) < count:
            self._at_hand.extend(islice(self._moves, count - len(self._at_hand)))
        for sql, values in self._at_hand:
            self._connection.execute(sql, values)
        self._is_last = len(self._at_hand) < count

    def _committed_moves(self) -> None:
        self._at_hand.clear()
        if self._is_last:
            self._moves = None
            self._staging.moved()


def _moves(generation: Generation) -> Iterator[Statement]:
    # The chat log first: a long body is not in the inbox row, and a reader who finds that row looks it up
    # there.
    yield from _slices(_CHATLOG, generation.chatlog_rows())
    yield from _slices(_INBOX, generation.inbox_rows())
    yield from _slices(_RECEIPTS, generation.receipt_rows())
    yield "UPDATE newest SET id = max(id, ?)", (generation.newest,)
    yield "DELETE FROM journal WHERE seq <= ?", (generation.last_seq,)


def _slices(statement: tuple[str, int], rows: Iterable[Row]) -> Iterator[Statement]:
    sql, columns = statement
    values = chain.from_iterable(rows)
    while part := list[bytearray | int | None](islice(values, columns * ROWS_PER_STATEMENT)):
        part.extend([None] * (columns * ROWS_PER_STATEMENT - len(part)))
        yield sql, part
