"""The file under the client: opens and locks it, and runs each step of the client as one transaction in one thread.

Everything that changes state together (a ratchet, the frame it made, the message row) is one function that gets a
`Tx` and runs under BEGIN IMMEDIATE .. COMMIT with `synchronous=FULL`: it happened or it did not, whatever dies when.
One thread, because SQLite has one writer anyway and a ratchet must never be read while it is being written.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import msgspec
import trio

from ...errors import DataFolderInUse, StoreUnavailable
from ...protocol.decoders import decoder_of
from ...stores.folder import open_data_folder
from ..errors import NoProfile, StoreDamaged, StoreInUse, WrongPassphrase
from .vault import Kdf, Random, Vault, new_kdf

P = ParamSpec("P")
T = TypeVar("T")

FILE: Final = "client.db"
_SCHEMA_VERSION: Final = 1
_PROOF: Final = b"chappe client store"


def wall_clock_ms() -> int:
    """Return milliseconds since 1970 (UTC)."""
    return time.time_ns() // 1_000_000


class Tx:
    """One transaction: SQL, sealing, the time and randomness. Lives in the store's thread, for one step."""

    __slots__ = ("_connection", "_vault", "now_ms", "random")

    def __init__(self, connection: sqlite3.Connection, vault: Vault, now_ms: int, random: Random) -> None:
        self._connection = connection
        self._vault = vault
        self.now_ms = now_ms
        self.random = random

    def run(self, sql: str, *args: object) -> int:
        """Run a statement; return how many rows it changed."""
        return self._connection.execute(sql, args).rowcount

    def one(self, sql: str, *args: object) -> Any:
        """Return the first row, or None."""
        return self._connection.execute(sql, args).fetchone()

    def all(self, sql: str, *args: object) -> Sequence[Any]:
        """Return all rows."""
        return self._connection.execute(sql, args).fetchall()

    def seal(self, table: str, row: bytes, value: bytes) -> bytes:
        """Seal a value for one row of a table."""
        return self._vault.seal(table.encode() + row, value)

    def open(self, table: str, row: bytes, sealed: bytes) -> bytes:
        """Open a sealed value. Raises: `StoreDamaged`."""
        return self._vault.open(table.encode() + row, sealed)


class Database:
    """The opened store."""

    __slots__ = ("_connection", "_limiter", "_random", "_vault", "now_ms")

    def __init__(
        self, connection: sqlite3.Connection, vault: Vault, now_ms: Callable[[], int], random: Random
    ) -> None:
        self._connection = connection
        self._vault = vault
        self.now_ms = now_ms
        self._random = random
        self._limiter = trio.CapacityLimiter(1)

    async def run(self, step: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one step as one transaction; what it raises rolls it back.

        Cancelled: before it began, nothing happened; a step that began is finished and committed.
        Raises: `StoreUnavailable` when the disk is full or broken.
        """
        return await trio.to_thread.run_sync(
            lambda: self.run_sync(step, *args, **kwargs), limiter=self._limiter
        )

    def run_sync(self, step: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what `run` does in the calling thread."""
        tx = Tx(self._connection, self._vault, self.now_ms(), self._random)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            result = step(tx, *args, **kwargs)
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._connection.rollback()
            raise StoreUnavailable(f"The local store did not take it: {error}; is the disk full?") from error
        except BaseException:
            self._connection.rollback()
            raise
        return result

    def close(self) -> None:
        """Close the file; only when no step runs."""
        self._connection.close()


@asynccontextmanager
async def open_database(
    folder: Path,
    passphrase: str,
    *,
    create: bool = False,
    now_ms: Callable[[], int] = wall_clock_ms,
    random: Random = os.urandom,
) -> AsyncIterator[Database]:
    """Open the store of a folder, and hold its lock until left.

    Raises: `NoProfile` when there is none and `create` is off, `StoreInUse`, `WrongPassphrase`, `StoreDamaged`.
    """
    path = folder / FILE
    if not create and not path.exists():
        raise NoProfile(f"There is no profile in {folder}; register or log in first.")
    with ExitStack() as stack:
        try:
            stack.enter_context(open_data_folder(folder))
        except DataFolderInUse as error:
            raise StoreInUse(f"Another process is using {folder}; close it first.") from error
        database = await trio.to_thread.run_sync(_open, path, passphrase, now_ms, random)
        stack.callback(database.close)
        yield database


def _open(path: Path, passphrase: str, now_ms: Callable[[], int], random: Random) -> Database:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'vault'").fetchone() is None:
            _create(connection, passphrase, random)
        return Database(connection, _unlock(connection, passphrase, random), now_ms, random)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise StoreDamaged(f"{path} is not a store of this program; restore it from a backup.") from error
    except BaseException:
        connection.close()
        raise


def _create(connection: sqlite3.Connection, passphrase: str, random: Random) -> None:
    kdf = new_kdf(random)
    proof = Vault(passphrase, kdf, random).seal(b"vault", _PROOF)
    connection.execute("BEGIN IMMEDIATE")
    schema = resources.files(__package__).joinpath("schema.sql").read_text()
    for statement in schema.split(";\n"):
        connection.execute(statement)
    connection.execute(
        "INSERT INTO vault VALUES (?, ?, ?)", (_SCHEMA_VERSION, msgspec.msgpack.encode(kdf), proof)
    )
    connection.execute("COMMIT")


def _unlock(connection: sqlite3.Connection, passphrase: str, random: Random) -> Vault:
    version, kdf, proof = connection.execute("SELECT version, kdf, proof FROM vault").fetchone()
    if version > _SCHEMA_VERSION:
        raise StoreDamaged("A newer version of this program wrote this store; update the program.")
    vault = Vault(passphrase, decoder_of(Kdf).decode(kdf), random)
    try:
        vault.open(b"vault", proof)
    except StoreDamaged:
        raise WrongPassphrase("This passphrase does not open the store; try again.") from None
    return vault
