"""The store: who may open it, what lies in its file, and that its values cannot be moved about."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from chappe.client.content import Resent
from chappe.client.errors import NoProfile, StoreDamaged, StoreInUse, WrongPassphrase
from chappe.client.store import database, messages, people, profile
from chappe.client.store.database import FILE, Tx, open_database
from chappe.client.store.vault import Kdf, Vault, new_kdf
from chappe.errors import StoreUnavailable
from chappe.protocol.calls import Contact

from .post import PASSPHRASE, Device


def files(folder: Path) -> bytes:
    """Return all bytes of the store."""
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


async def open_and_close(folder: Path) -> None:
    async with open_database(folder, "p"):
        pass


async def test_a_folder_without_a_store_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(NoProfile):
        async with open_database(tmp_path / "nobody", PASSPHRASE):
            pass
    assert not (tmp_path / "nobody").exists()


async def test_a_wrong_passphrase_is_one_clear_error(tmp_path: Path) -> None:
    async with open_database(tmp_path, PASSPHRASE, create=True):
        pass
    with pytest.raises(WrongPassphrase, match="does not open"):
        async with open_database(tmp_path, "wrong"):
            pass
    async with open_database(tmp_path, PASSPHRASE):
        pass


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    program = f"""
import trio
from pathlib import Path
from chappe.client.store.database import open_database
async def main():
    async with open_database(Path({str(tmp_path)!r}), "p", create=True):
        print("open", flush=True)
        await trio.sleep_forever()
trio.run(main)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(StoreInUse):
            trio.run(open_and_close, tmp_path)
        holder.kill()
    trio.run(open_and_close, tmp_path)


async def test_a_newer_or_foreign_file_is_refused(tmp_path: Path) -> None:
    async with open_database(tmp_path, PASSPHRASE, create=True) as opened:
        await opened.run(lambda tx: tx.run("UPDATE vault SET version = 99"))
    with pytest.raises(StoreDamaged, match="newer"):
        async with open_database(tmp_path, PASSPHRASE):
            pass
    (tmp_path / FILE).write_bytes(b"no database" * 1000)
    with pytest.raises(StoreDamaged):
        async with open_database(tmp_path, PASSPHRASE):
            pass


def test_nothing_readable_lies_in_the_file(alice: Device, bob: Device) -> None:
    alice.write(bob, "a secret that nobody may find")
    alice.flush()
    bob.fetch()
    contact = Contact(bob.own.user, "bobby-quotes", "Robert the Secretive", "+4915112345678")
    alice.database.run_sync(people.put_contact, contact)
    keys = alice.database.run_sync(profile.device)
    account = alice.database.run_sync(profile.account)
    secrets = [b"secret", b"Robert", b"quotes", b"+49151", PASSPHRASE.encode(), keys.seed, account.seed]
    for folder in (alice.folder, bob.folder):
        stored = files(folder)
        assert alice.own.device in stored  # ids are not sealed, so the search does look at the right bytes
        assert [secret for secret in secrets if secret in stored] == []


def test_no_repr_shows_what_was_said(alice: Device, bob: Device) -> None:
    written = alice.write(bob, "a secret")
    alice.flush()
    bob.fetch()
    text = alice.database.run_sync(messages.own_text, alice.own.device, written.cid)
    [row] = alice.database.run_sync(lambda tx: tx.all("SELECT cid FROM messages"))
    for value in (
        written,
        text,
        Resent(bob.own.user, row[0], text),
        bob.events,
        bob.database,
        alice.database,
    ):
        assert "secret" not in repr(value)


def test_a_value_belongs_to_its_row(alice: Device, bob: Device) -> None:
    for text in ("one", "two"):
        alice.write(bob, text)

    def swap(tx: Tx) -> None:
        (first, sealed), (second, other) = tx.all("SELECT seq, content FROM messages ORDER BY seq")
        tx.run("UPDATE messages SET content = ? WHERE seq = ?", other, first)
        tx.run("UPDATE messages SET content = ? WHERE seq = ?", sealed, second)

    alice.database.run_sync(swap)
    with pytest.raises(StoreDamaged):
        alice.texts(bob)


def test_a_step_that_raises_leaves_nothing(alice: Device) -> None:
    def step(tx: Tx) -> None:
        profile.put_cursor(tx, b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        alice.database.run_sync(step)
    assert alice.database.run_sync(profile.cursor) is None


def test_a_full_disk_is_a_typed_error_and_passes(alice: Device, bob: Device) -> None:
    connection: sqlite3.Connection = alice.database._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        for _ in range(100):
            alice.write(bob, "x" * 4000)

    with pytest.raises(StoreUnavailable):
        fill()
    shown = len(alice.texts(bob))
    connection.execute("PRAGMA max_page_count = 1000000")
    alice.write(bob, "room again")
    assert alice.texts(bob)[shown:] == ["room again"]


def test_the_real_key_derivation_is_not_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "new_kdf", new_kdf)
    kdf = new_kdf(bytes)
    assert kdf.memory_bytes >= 64 * 1024 * 1024
    assert kdf.operations >= 2


@pytest.mark.parametrize("length", [0, 1, 100])
def test_the_vault_refuses_what_was_changed(length: int) -> None:
    vault = Vault("p", Kdf(bytes(16), 1, 8192), lambda count: b"\1" * count)
    sealed = vault.seal(b"place", b"v" * length)
    assert vault.open(b"place", sealed) == b"v" * length
    for changed in (sealed[:-1], b"", sealed[:10], bytes([sealed[0] ^ 1]) + sealed[1:], sealed + b"\0"):
        with pytest.raises(StoreDamaged):
            vault.open(b"place", changed)
    with pytest.raises(StoreDamaged):
        vault.open(b"elsewhere", sealed)
