"""Every kind of damage is planted in a real file, and exactly it is found; a whole store is clean."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from chappe.errors import SettingsError, StoreUnavailable
from chappe.ids import floor_id, millis
from chappe.stores.sqlite.messages import open_message_store
from chappe.stores.survey import sqlite as survey
from chappe.stores.survey.rules import Fault
from chappe.stores.survey.sources import StoreDamaged
from chappe.stores.survey.sqlite import open_source
from chappe.stores.survey.users import open_users
from tests.contracts import samples

from .world import DAY_MS, HOUR_MS, NOW, World, checked, counts, examples, populate

Plant = Callable[[sqlite3.Connection, World], object]


@pytest.fixture
async def world(tmp_path: Path, url: str) -> World:
    world = await populate(url)
    async with open_message_store(tmp_path / "messages.sqlite") as store:
        await world.talk(store)
        await store.settle()
    return world


def copy_inbox(file: sqlite3.Connection, world: World, device: bytes, message: bytes) -> None:
    """Put a control message, which is in no log, into an inbox."""
    control = world.said[9]
    file.execute(
        "INSERT INTO inbox SELECT ?, ?, conv, sender, sender_device, cid, ref, wrap, body, kind FROM inbox"
        " WHERE device = ? AND id = ?",
        (device, message, world.phone, control.id),
    )


def young_without_log_row(file: sqlite3.Connection, world: World) -> None:
    file.execute(
        "INSERT INTO inbox SELECT device, ?, conv, sender, sender_device, cid, ref, wrap, body, kind FROM inbox"
        " WHERE device = ? AND id = ?",
        (floor_id(NOW - 5_000), world.phone, world.said[1].id),
    )


PLANTS: list[tuple[str, Plant, dict[Fault, int]]] = [
    ("nothing", lambda file, world: None, {}),
    (
        "no log row",
        lambda file, world: file.execute("DELETE FROM chatlog WHERE id = ?", (world.said[0].id,)),
        {Fault.NO_LOG_ROW: 2},
    ),
    ("no log row yet", young_without_log_row, {Fault.UNSETTLED: 1}),
    (
        "no device",
        lambda file, world: copy_inbox(file, world, samples.new_id(), world.said[9].id),
        {Fault.NO_DEVICE: 1},
    ),
    (
        "a revoked device",
        lambda file, world: copy_inbox(file, world, world.revoked, world.said[9].id),
        {Fault.REVOKED_INBOX: 1},
    ),
    (
        "an old inbox row",
        lambda file, world: copy_inbox(file, world, world.phone, floor_id(NOW - 32 * DAY_MS)),
        {Fault.OLD_INBOX: 1},
    ),
    (
        "no conversation",
        lambda file, world: file.execute(
            "INSERT INTO chatlog SELECT ?, id, sender, device, cid, ref, body, kind FROM chatlog WHERE id = ?",
            (samples.new_id(), world.said[1].id),
        ),
        {Fault.NO_CONVERSATION: 1},
    ),
    (
        "an old row of the log",
        lambda file, world: file.execute(
            "INSERT INTO chatlog SELECT conv, ?, sender, device, cid, ref, body, kind FROM chatlog WHERE id = ?",
            (floor_id(NOW - 92 * DAY_MS), world.said[1].id),
        ),
        {Fault.OLD_LOG: 1},
    ),
    (
        "a receipt of nothing",
        lambda file, world: file.execute(
            "INSERT INTO receipts VALUES (?, ?, ?, x'')", (samples.new_id(), world.ben, world.said[0].id)
        ),
        {Fault.NO_RECEIPT_CONVERSATION: 1},
    ),
]


@pytest.mark.parametrize(("plant", "expected"), [one[1:] for one in PLANTS], ids=[one[0] for one in PLANTS])
@pytest.mark.parametrize("page_rows", [7, 1_000])
async def test_what_is_planted_is_found_and_nothing_else(
    world: World, tmp_path: Path, url: str, plant: Plant, expected: dict[Fault, int], page_rows: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(survey, "PAGE_ROWS", page_rows)
    with closing(sqlite3.connect(tmp_path / "messages.sqlite")) as file, file:
        plant(file, world)
    with open_source(tmp_path / "messages.sqlite") as source, open_users(url) as users:
        found = checked(source, users, log_days=90)
    assert counts(found) == expected
    assert found.is_clean == all(not fault.is_broken for fault in expected)
    assert found.rows["inbox"] in {120, 121}
    assert found.rows["chatlog"] in {53, 54, 55}


async def test_examples_lead_to_the_row(world: World, tmp_path: Path, url: str) -> None:
    with closing(sqlite3.connect(tmp_path / "messages.sqlite")) as file, file:
        file.execute("DELETE FROM chatlog WHERE id = ?", (world.said[0].id,))
    with open_source(tmp_path / "messages.sqlite") as source, open_users(url) as users:
        found = checked(source, users)
    assert examples(found, Fault.NO_LOG_ROW, "id") == [world.said[0].id.hex()] * 2
    assert set(examples(found, Fault.NO_LOG_ROW, "device")) == {world.phone.hex(), world.laptop.hex()}


async def test_prekeys_of_a_revoked_device(world: World, tmp_path: Path, url: str) -> None:
    with closing(sqlite3.connect(tmp_path / "users.sqlite")) as file, file:
        for n in (7, 8):
            file.execute("INSERT INTO one_time_keys VALUES (?, 'x25519', ?, x'00', x'')", (world.revoked, n))
    with open_source(tmp_path / "messages.sqlite") as source, open_users(url) as users:
        found = checked(source, users)
    assert counts(found) == {Fault.REVOKED_KEYS: 1}
    assert found.examples[Fault.REVOKED_KEYS] == [{"device": world.revoked.hex(), "keys": 2}]


async def test_a_store_in_use_is_clean_at_every_moment(world: World, tmp_path: Path, url: str) -> None:
    async with open_message_store(tmp_path / "messages.sqlite") as store:
        new = [samples.message(world.conv, world.phone, at=floor_id(NOW - 60_000 + n)) for n in range(50)]
        with open_source(tmp_path / "messages.sqlite") as source, open_users(url) as users:
            await store.append(new, [])
            assert counts(checked(source, users)) == {}
            await store.settle()
            found = checked(source, users)
    assert counts(found) == {}
    assert found.rows["inbox"] == 170


async def test_how_much_there_is(world: World, tmp_path: Path) -> None:
    async with open_message_store(tmp_path / "messages.sqlite") as store:
        await store.append([samples.message(world.conv, world.phone, at=floor_id(NOW))], [])
    with open_source(tmp_path / "messages.sqlite") as source:
        said = source.summary(None, lambda *_: None, scan=False)
    inbox, log, receipts = said["tables"]
    assert (inbox["rows"], log["rows"], receipts["rows"]) == (120, 54, 1)
    bodies = sum(len(m.body) for m in world.said if m.kind < 64)
    assert log["bytes"] == bodies + 54 * (5 * 16)
    assert said["spreads"]["rows_per_inbox_partition"] == {"of": 2, "p50": 60, "p99": 60, "max": 60}
    assert said["largest"][0] == {
        "table": "chatlog", "key": world.conv.hex(), "part": None, "rows": 54, "bytes": log["bytes"],
    }  # fmt: skip
    assert said["oldest_ms"] == millis(world.said[0].id) == NOW - 3 * DAY_MS + HOUR_MS
    assert said["newest_ms"] == millis(world.said[-1].id)
    assert said["journal"]["appends"] == 1


def test_no_store_is_made_by_looking_for_one(tmp_path: Path) -> None:
    with (
        pytest.raises(SettingsError, match="There is no message store"),
        open_source(tmp_path / "messages.sqlite"),
    ):
        pass
    with (
        pytest.raises(SettingsError, match="There is no database"),
        open_users(f"sqlite:///{tmp_path}/users.sqlite"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


async def test_a_damaged_file_is_called_so(world: World, tmp_path: Path, url: str) -> None:
    file = tmp_path / "messages.sqlite"
    content = bytearray(file.read_bytes())
    content[8_192 : 8_192 + 8_192 * 4] = b"\xff" * (8_192 * 4)
    file.write_bytes(content)
    with pytest.raises(StoreDamaged, match="backup"), open_source(file) as source, open_users(url) as users:
        checked(source, users)


async def test_another_chappes_file_is_refused(world: World, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "messages.sqlite")) as file:
        file.execute("PRAGMA user_version = 99")
    with pytest.raises(SettingsError, match="schema 99"), open_source(tmp_path / "messages.sqlite"):
        pass


def test_a_database_that_does_not_answer() -> None:
    with (
        pytest.raises(StoreUnavailable, match="refused"),
        open_users("postgresql+psycopg://nobody:s3cret@127.0.0.1:9/x"),
    ):
        pass
