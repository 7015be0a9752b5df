"""Copies of SQLite files: of one moment, complete or not there, and made beside a node that writes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from chappe.errors import DataFolderInUse, SettingsError, StoreUnavailable
from chappe.protocol.calls import OneTimeKey
from chappe.settings import Stores
from chappe.stores import backup
from chappe.stores.folder import open_data_folder
from chappe.stores.sql.engine import default_url, open_database
from chappe.stores.sql.keys import SqlKeyStore
from chappe.stores.sql.users import SqlUserStore
from chappe.stores.sqlite import copy
from chappe.stores.sqlite.copy import copy_database
from chappe.stores.sqlite.database import open_writer
from tests.contracts import samples


def rows(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_copy_is_of_one_moment_though_others_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy, "STEP_PAGES", 1)
    source, target = tmp_path / "messages.sqlite", tmp_path / "copy.sqlite"
    steps: list[float] = []
    with closing(open_writer(source)) as writer:

        def append(_done: float = 0.0, _pages: int = 0) -> None:
            steps.append(_done)
            writer.execute("INSERT INTO journal (batch) VALUES (zeroblob(20000))")

        for _ in range(20):
            append()
        steps.clear()
        size = copy_database(source, target, append)
    assert len(steps) > 20  # it was written to between all pages, and was not begun again
    assert steps == sorted(steps)
    assert steps[-1] == 1.0
    assert (rows(target, "journal"), rows(source, "journal")) == (20, 20 + len(steps))
    assert [file.name for file in tmp_path.glob("copy*")] == ["copy.sqlite"]
    assert (target.stat().st_size, target.stat().st_mode & 0o777) == (size, 0o600)


def test_a_copy_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"no database" * 1000)
    (tmp_path / "there").touch()
    with pytest.raises(StoreUnavailable, match="not a database"):
        copy_database(tmp_path / "noise", tmp_path / "copy", lambda *_: None)
    with pytest.raises(FileExistsError):
        copy_database(tmp_path / "noise", tmp_path / "there", lambda *_: None)
    with pytest.raises(SettingsError, match="no database"):
        copy_database(tmp_path / "nothing", tmp_path / "copy 2", lambda *_: None)


async def test_a_backup_is_complete_or_not_there(tmp_path: Path) -> None:
    stores, target = Stores(data=tmp_path / "data"), tmp_path / "backups" / "one"
    stores.data.mkdir()
    open_writer(stores.data / "messages.sqlite").close()
    with pytest.raises(SettingsError, match="no database"):  # of users, the second of the two
        backup.back_up(stores, target, lambda *_: None)
    assert not list(target.parent.iterdir())
    async with open_database(default_url(stores.data)):
        with pytest.raises(KeyboardInterrupt):
            backup.back_up(stores, target, interrupt)
        assert not list(target.parent.iterdir())
        copies = backup.back_up(stores, target, lambda *_: None)
    assert [one.store for one in copies] == ["messages", "users"]
    assert sorted(file.name for file in target.iterdir()) == ["messages.sqlite", "users.sqlite"]
    with pytest.raises(SettingsError, match="overwrites nothing"):
        backup.back_up(stores, target, lambda *_: None)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_only_what_is_on_sqlite_is_copied(tmp_path: Path) -> None:
    elsewhere = Stores(data=tmp_path, users_url="postgresql+psycopg://nobody@nowhere/x", messages="cassandra")
    assert backup.sqlite_files(elsewhere) == {}
    with pytest.raises(SettingsError, match=r"docs/backup\.md"):
        backup.back_up(elsewhere, tmp_path / "backup", lambda *_: None)
    mixed = Stores(data=tmp_path, users_url=f"sqlite:///{tmp_path}/other.sqlite", messages="cassandra")
    assert backup.sqlite_files(mixed) == {"users": tmp_path / "other.sqlite"}


async def test_after_a_restore_no_key_is_handed_out_again_and_clients_can_tell(tmp_path: Path) -> None:
    stores = Stores(data=tmp_path)
    async with open_database(default_url(tmp_path)) as database:
        users, keys = SqlUserStore(database), SqlKeyStore(database)
        made = samples.registration()
        await users.put_registration(made)
        await users.create_account(made)
        device = made.device.device
        await keys.add_one_time(device, [OneTimeKey(n, bytes(32)) for n in range(1, 4)], [])
        assert await users.restored_ms() == 0
    with open_data_folder(tmp_path), pytest.raises(DataFolderInUse):
        backup.restored(stores, 1000)
    times = [(await trio.to_thread.run_sync(backup.restored, stores, now_ms)).at_ms for now_ms in (1000, 900)]
    assert times == [1000, 1001]  # whatever the clock says it is another time
    async with open_database(default_url(tmp_path)) as database:
        users, keys = SqlUserStore(database), SqlKeyStore(database)
        assert await users.restored_ms() == 1001
        assert await keys.count(device) == (0, 0)
        (bundle,) = await keys.claim(made.account.user, [device])
        assert bundle.one_time is None
