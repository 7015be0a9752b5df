"""The message store's file: its schema, how connections to it are opened, and one-step transactions.

`messages.py` and `writer.py` use it. One connection writes, in one thread at a time; a few read, each with
what was committed when its statement began (https://www.sqlite.org/wal.html). `synchronous=FULL` makes every
commit wait for the disk.

    journal    what was appended and is not yet in the tables below, one row an append (see `staging.py`)
    chatlog    what was said in a conversation, in order
    inbox      what each device has to hear, in order; a long `body` is empty here and stands in the chat log
    receipts   how far each person got in each conversation
    newest     one row: the greatest message id that ever left the journal

An empty blob stands for None: no column is NULL (`writer.py` needs that).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ...errors import SettingsError

SCHEMA_VERSION: Final = 1
BUSY_MS: Final = 4_000  # under the 5 s deadline of a call, so that the reason is heard before time is up
PAGE_BYTES: Final = 8_192  # half the system calls of SQLite's 4,096
CHECKPOINT_PAGES: Final = 2_000  # 16 MiB of WAL, four times SQLite's own: hot pages are copied less often
CACHE_KIB: Final = 16_384

_SCHEMA: Final = """
CREATE TABLE journal (seq INTEGER PRIMARY KEY, batch BLOB NOT NULL);
CREATE TABLE chatlog (
  conv BLOB NOT NULL, id BLOB NOT NULL, sender BLOB NOT NULL, device BLOB NOT NULL, cid BLOB NOT NULL,
  ref BLOB NOT NULL, body BLOB NOT NULL, kind INTEGER NOT NULL,
  PRIMARY KEY (conv, id)) WITHOUT ROWID;
CREATE TABLE inbox (
  device BLOB NOT NULL, id BLOB NOT NULL, conv BLOB NOT NULL, sender BLOB NOT NULL,
  sender_device BLOB NOT NULL, cid BLOB NOT NULL, ref BLOB NOT NULL, wrap BLOB NOT NULL,
  body BLOB NOT NULL, kind INTEGER NOT NULL,
  PRIMARY KEY (device, id)) WITHOUT ROWID;
CREATE TABLE receipts (
  conv BLOB NOT NULL, user BLOB NOT NULL, delivered BLOB NOT NULL, read BLOB NOT NULL,
  PRIMARY KEY (conv, user)) WITHOUT ROWID;
CREATE TABLE newest (id BLOB NOT NULL);
INSERT INTO newest VALUES (zeroblob(16));
"""


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the connection that writes, and make the tables in a new file.

    Raises: `SettingsError` when the file was written by a newer Chappe; `sqlite3.Error`.
    """
    # Threads take turns (see messages.py), so the module's own thread check would only be in the way.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # of a new file only, and before WAL
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        # Debian's build zeroes freed pages by default, which would write every journal row twice; it is
        # ciphertext.
        connection.execute("PRAGMA secure_delete = FAST")
        with transaction(connection):
            _prepare_tables(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that can only read. Raises: `sqlite3.Error`."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    return connection


def _prepare_tables(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise SettingsError(
            f"The message store {path} has schema {version} and this Chappe knows {SCHEMA_VERSION}: "
            "start the newer Chappe that wrote it."
        )
    if version == 0:
        for statement in filter(str.strip, _SCHEMA.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block is durable when it ends, nothing of it when it raises; the connection stays usable."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors, a full disk among them, have rolled back already
            connection.execute("ROLLBACK")
        raise
