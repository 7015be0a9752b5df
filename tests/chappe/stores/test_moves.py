"""The way from the journal into the tables: at every step of it, everything can be read, after a crash too."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
import trio
import trio.testing

from chappe.domain.messages import StoredMessage, Watermark
from chappe.ids import FIRST_ID, ConversationId, DeviceId, MessageId, UserId
from chappe.stores.sqlite import staging, writer
from chappe.stores.sqlite.messages import SqliteMessageStore, open_message_store
from chappe.stores.sqlite.writer import ROWS_PER_STATEMENT
from tests.contracts import samples

CONVS = [ConversationId(samples.new_id()) for _ in range(3)]
DEVICES = [DeviceId(samples.new_id()) for _ in range(4)]
READER = UserId(samples.new_id())


@pytest.fixture(autouse=True)
def small_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a generation fill soon, and still take several statements of each kind to move."""
    monkeypatch.setattr(staging, "GENERATION_ROWS", 3 * ROWS_PER_STATEMENT)


def make(n: int) -> StoredMessage:
    body = b"long" * 500 if n % 7 == 0 else b"short"
    return samples.message(CONVS[n % 3], DEVICES[n % 4], DEVICES[(n + 1) % 4], body=body)


async def check(store: SqliteMessageStore, said: list[StoredMessage]) -> None:
    assert await store.newest_id() == said[-1].id
    for conv in CONVS:
        log = [samples.log_row(m) for m in reversed(said) if m.conv == conv]
        assert await store.history(conv, None, 5000) == log
        assert await store.watermarks([conv]) == ([Watermark(conv, READER, log[0].id, None)] if log else [])
    for device in DEVICES:
        heard = [samples.inbox_row(m, device) for m in said if device in m.wraps]
        assert await store.inbox(device, FIRST_ID, 5000) == heard


async def check_copy(folder: Path, said: list[StoredMessage]) -> None:
    """Open what is on the disk right now, as a process after a crash would."""
    copy = folder / "copy"
    copy.mkdir()
    for file in ("log", "log-wal"):
        shutil.copy(folder / file, copy / file)
    async with open_message_store(copy / "log") as store:
        await check(store, said)
        await store.settle()
        await check(store, said)
    shutil.rmtree(copy)


async def test_all_is_readable_at_every_step_and_after_a_crash_there(tmp_path: Path) -> None:
    said: list[StoredMessage] = []
    async with open_message_store(tmp_path / "log") as store:
        for step in range(45):
            new = [make(step * 20 + n) for n in range(20)]
            said += new
            await store.append(new, [Watermark(m.conv, READER, m.id, None) for m in new])
            await check(store, said)
            if step % 5 == 0:
                await check_copy(tmp_path, said)
        assert store._staging.floor > FIRST_ID, "no generation has moved: the test tests nothing"
        await store.settle()
        await check(store, said)
    with sqlite3.connect(tmp_path / "log") as connection:
        counts = [
            connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0]
            for t in ("journal", "chatlog", "inbox")
        ]
    connection.close()
    assert counts == [0, 900, 1800]


async def test_the_newest_id_survives_the_journal(tmp_path: Path) -> None:
    said = [make(n) for n in range(3)]
    async with open_message_store(tmp_path / "log") as store:
        await store.append(said[::-1], [])
        await store.settle()
    async with open_message_store(tmp_path / "log") as store:
        assert await store.newest_id() == said[-1].id


async def test_a_reader_past_all_that_moved_is_served_from_memory(tmp_path: Path) -> None:
    async with open_message_store(tmp_path / "log") as store:
        old, new = make(0), make(0)
        await store.append([old], [])
        await store.settle()
        await store.append([new], [])
        for connection in store._idle_readers:
            connection.close()  # the tables cannot be asked any more
        (row,) = await store.inbox(DEVICES[0], old.id, 10)
        assert row.id == new.id
        assert await store.find(new.conv, new.device, new.cid, old.id) == samples.log_row(new)


async def test_old_inbox_rows_expire_and_the_log_stays(tmp_path: Path) -> None:
    said = [make(n) for n in range(1200)]
    async with open_message_store(tmp_path / "log") as store:
        for n in range(0, 1200, 100):
            await store.append(said[n : n + 100], [])
        assert await store.expire(FIRST_ID) == 0
        assert await store.expire(said[1100].id) == 2200
        for device in DEVICES:
            heard = [samples.inbox_row(m, device) for m in said[1100:] if device in m.wraps]
            assert await store.inbox(device, FIRST_ID, 5000) == heard
        assert len(await store.history(CONVS[0], None, 5000)) == 400
        assert await store.expire(said[1100].id) == 0


async def test_old_rows_of_the_log_expire_and_watermarks_stay(tmp_path: Path) -> None:
    said = [make(n) for n in range(1200)]
    silent = samples.message(ConversationId(samples.new_id()), at=said[0].id)
    marks = [Watermark(conv, READER, said[5].id, said[5].id) for conv in (*CONVS, silent.conv)]
    async with open_message_store(tmp_path / "log") as store:
        await store.append([silent], marks)
        for n in range(0, 1200, 100):
            await store.append(said[n : n + 100], [])
        assert await store.expire_log(FIRST_ID) == 0
        assert await store.expire_log(said[1100].id) == 1101
        for conv in CONVS:
            kept = [samples.log_row(m) for m in reversed(said[1100:]) if m.conv == conv]
            assert await store.history(conv, None, 5000) == kept
        assert await store.history(silent.conv, None, 10) == []
        left = {mark.conv: mark for mark in await store.watermarks([*CONVS, silent.conv])}
        assert left == {mark.conv: mark for mark in marks}
        assert len(await store.inbox(DEVICES[0], FIRST_ID, 5000)) == 600
        assert await store.expire_log(said[1100].id) == 0


async def test_appends_get_their_turn_while_the_log_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "EXPIRED_ROWS_PER_STEP", 10)
    async with open_message_store(tmp_path / "log") as store:
        await store.append([make(n) for n in range(900)], [])
        await store.settle()
        done: list[str] = []

        async def expire() -> None:
            assert await store.expire_log(MessageId(b"\xff" * 16)) >= 900
            done.append("expired")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(expire)
            await trio.testing.wait_all_tasks_blocked()
            for n in range(5):
                await store.append([make(n)], [])
                done.append("appended")
        assert done == ["appended"] * 5 + ["expired"]
