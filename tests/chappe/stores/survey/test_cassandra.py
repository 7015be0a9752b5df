"""Every kind of damage is planted in a real Cassandra, and exactly it is found; a whole store is clean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
import trio

from chappe.domain.messages import StoredMessage
from chappe.ids import FIRST_ID, ConversationId, HybridClock, MessageId, floor_id, millis
from chappe.settings import Cassandra as CassandraSettings
from chappe.stores.cassandra.statements import bucket_of, day_of
from chappe.stores.survey import cassandra as survey
from chappe.stores.survey.cassandra import open_source
from chappe.stores.survey.findings import Findings
from chappe.stores.survey.rules import Fault
from chappe.stores.survey.users import open_users
from tests.chappe.stores.cassandra.cluster import opened
from tests.contracts import samples

from .world import DAY_MS, LONG, NOW, World, checked, counts, examples, populate

Plant = Callable[[Any, World], object]


@pytest.fixture
async def world(settings: CassandraSettings, url: str) -> World:
    world = await populate(url)
    async with opened(settings) as store:
        await world.talk(store)
    return world


def check(settings: CassandraSettings, url: str, **how: Any) -> Findings:
    with open_source(settings, 30, 0) as source, open_users(url) as users:
        return checked(source, users, **how)


def into_inbox(
    session: Any,
    world: World,
    *,
    device: bytes,
    pos: bytes,
    day: int | None = None,
    message: StoredMessage | None = None,
) -> None:
    """Put a control message, which is in no log, or another one, into an inbox that the index lists."""
    m = message or world.said[9]
    day = day_of(MessageId(pos)) if day is None else day
    session.execute("INSERT INTO inbox_days (device, day) VALUES (%s, %s)", (UUID(bytes=device), day))
    session.execute(
        "INSERT INTO inbox (device, day, pos, conv, kind, sender, sender_device, cid, wrap, body)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (UUID(bytes=device), day, UUID(bytes=pos), m.conv, m.kind, UUID(bytes=m.sender), UUID(bytes=m.device), m.cid,
         b"wrap", m.body),
    )  # fmt: skip


def into_log(session: Any, world: World, *, conv: bytes, message: bytes, bucket: int | None = None) -> None:
    """Put a message into a partition of the log that the index lists."""
    m = world.said[1]
    bucket = bucket_of(MessageId(message)) if bucket is None else bucket
    session.execute("INSERT INTO chatlog_buckets (conv, bucket) VALUES (%s, %s)", (conv, bucket))
    session.execute(
        "INSERT INTO chatlog (conv, bucket, id, kind, sender, device, cid, body)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (conv, bucket, UUID(bytes=message), m.kind, UUID(bytes=m.sender), UUID(bytes=m.device), m.cid, m.body),
    )  # fmt: skip


def no_log_row(session: Any, world: World) -> None:
    m = world.said[0]
    session.execute(
        "DELETE FROM chatlog WHERE conv = %s AND bucket = %s AND id = %s",
        (m.conv, bucket_of(m.id), UUID(bytes=m.id)),
    )


def unlisted_day(session: Any, world: World) -> None:
    day = day_of(world.said[30].id)
    session.execute("DELETE FROM inbox_days WHERE device = %s AND day = %s", (UUID(bytes=world.phone), day))


def unlisted_bucket(session: Any, world: World) -> None:
    session.execute(
        "DELETE FROM chatlog_buckets WHERE conv = %s AND bucket = %s",
        (world.conv, bucket_of(world.said[0].id)),
    )


def receipt_of_nothing(session: Any, world: World) -> None:
    values = samples.new_id(), UUID(bytes=world.ben), UUID(bytes=world.said[0].id)
    session.execute("INSERT INTO receipts (conv, user, delivered) VALUES (%s, %s, %s)", values)


PLANTS: list[tuple[str, Plant, dict[Fault, int]]] = [
    ("nothing", lambda session, world: None, {}),
    ("no log row", no_log_row, {Fault.NO_LOG_ROW: 2}),
    (
        "no log row yet",
        lambda session, world: into_inbox(
            session, world, device=world.phone, pos=floor_id(NOW - 5_000), message=world.said[1]
        ),
        {Fault.UNSETTLED: 1},
    ),
    (
        "no device",
        lambda session, world: into_inbox(session, world, device=samples.new_id(), pos=world.said[9].id),
        {Fault.NO_DEVICE: 1},
    ),
    (
        "a revoked device",
        lambda session, world: into_inbox(session, world, device=world.revoked, pos=world.said[9].id),
        {Fault.REVOKED_INBOX: 1},
    ),
    (
        "an old inbox row",
        lambda session, world: into_inbox(
            session, world, device=world.phone, pos=floor_id(NOW - 32 * DAY_MS)
        ),
        {Fault.OLD_INBOX: 1},
    ),
    (
        "another day",
        lambda session, world: into_inbox(
            session, world, device=world.phone, pos=floor_id(NOW - 9 * DAY_MS), day=day_of(floor_id(NOW)) - 1
        ),
        {Fault.WRONG_DAY: 1},
    ),
    ("a day that is not listed", unlisted_day, {Fault.UNLISTED_DAY: 1}),
    (
        "no conversation",
        lambda session, world: into_log(session, world, conv=samples.new_id(), message=world.said[1].id),
        {Fault.NO_CONVERSATION: 1},
    ),
    (
        "an old row of the log",
        lambda session, world: into_log(
            session, world, conv=world.conv, message=floor_id(NOW - 92 * DAY_MS)
        ),
        {Fault.OLD_LOG: 1},
    ),
    (
        "another bucket",
        lambda session, world: into_log(
            session, world, conv=world.conv, message=floor_id(NOW - 40 * DAY_MS), bucket=bucket_of(floor_id(NOW))
        ),
        {Fault.WRONG_BUCKET: 1},
    ),
    ("a bucket that is not listed", unlisted_bucket, {Fault.UNLISTED_BUCKET: 1}),
    ("a receipt of nothing", receipt_of_nothing, {Fault.NO_RECEIPT_CONVERSATION: 1}),
]  # fmt: skip


@pytest.mark.parametrize(("plant", "expected"), [one[1:] for one in PLANTS], ids=[one[0] for one in PLANTS])
async def test_what_is_planted_is_found_and_nothing_else(
    world: World,
    settings: CassandraSettings,
    session: Any,
    url: str,
    plant: Plant,
    expected: dict[Fault, int],
) -> None:
    plant(session, world)
    found = check(settings, url, log_days=90)
    assert counts(found) == expected
    assert found.is_clean == all(not fault.is_broken for fault in expected)
    assert found.rows["inbox"] in {120, 121}
    assert found.rows["chatlog"] in {53, 54, 55}


@pytest.mark.parametrize("plant", [unlisted_day, unlisted_bucket])
async def test_what_an_index_lacks_is_repaired(
    world: World, settings: CassandraSettings, session: Any, url: str, plant: Plant
) -> None:
    plant(session, world)
    async with opened(settings) as store:
        lost = (await store.history(world.conv, None, 100), await store.inbox(world.phone, FIRST_ID, 100))
        assert not all(len(rows) >= 54 for rows in lost), "the gateway should have missed them"
        found = check(settings, url, repair=True)
        assert found.is_clean
        assert sum(found.repaired.values()) == 1
        assert len(await store.history(world.conv, None, 100)) == 54
        assert len(await store.inbox(world.phone, FIRST_ID, 100)) == 60
    assert counts(check(settings, url)) == {}


async def test_without_repair_nothing_is_changed(
    world: World, settings: CassandraSettings, session: Any, url: str
) -> None:
    unlisted_day(session, world)
    for _ in range(2):
        assert counts(check(settings, url)) == {Fault.UNLISTED_DAY: 1}


async def test_large_partitions_are_read_in_pages_and_reported_once(
    world: World, settings: CassandraSettings, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "PAGE_ROWS", 16)
    clock = HybridClock(lambda: NOW - DAY_MS, node=1)
    async with opened(settings) as store:
        for _ in range(5):
            said = [samples.message(world.conv, world.phone, body=LONG, at=clock.next()) for _ in range(50)]
            await store.append(said, [])
    found = check(settings, url, partition_rows=100)
    assert counts(found) == {Fault.WIDE: 2}
    assert examples(found, Fault.WIDE, "table") == ["inbox", "chatlog"]
    assert all(isinstance(rows, int) and rows >= 250 for rows in examples(found, Fault.WIDE, "rows"))
    assert counts(check(settings, url, partition_bytes=250 * len(LONG))) == {Fault.WIDE: 1}


async def test_a_page_that_is_not_answered_is_asked_for_again(
    world: World, settings: CassandraSettings, session: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cassandra import ReadTimeout

    monkeypatch.setattr(survey, "PAUSE_S", 0.0)
    real, failed = survey._Asked._send, 0

    class Failing:
        def result(self) -> Any:
            raise ReadTimeout("No answer.")

    def send(asked: Any) -> Any:
        nonlocal failed
        failed += 1
        return Failing() if failed % 50 == 1 else real(asked)

    monkeypatch.setattr(survey._Asked, "_send", send)
    no_log_row(session, world)
    assert counts(check(settings, url)) == {Fault.NO_LOG_ROW: 2}
    assert failed > 50


async def test_a_store_that_is_written_to_is_clean_at_every_moment(
    world: World, settings: CassandraSettings, url: str
) -> None:
    """Several rounds of a check beside a writer, whose messages are as young as those of a real one."""
    clock = HybridClock(lambda: NOW - 1_000, node=3)
    async with opened(settings) as store, trio.open_nursery() as nursery:

        async def write() -> None:
            while True:
                said = [samples.message(world.conv, world.phone, world.laptop, body=LONG, at=clock.next())]
                await store.append(said, [])

        nursery.start_soon(write)
        for _ in range(3):
            found = await trio.to_thread.run_sync(lambda: check(settings, url))
            assert found.is_clean, found.to_dict()
        nursery.cancel_scope.cancel()
    assert found.rows["chatlog"] > 54


async def test_how_much_there_is_read_through_and_estimated(
    world: World, settings: CassandraSettings, session: Any
) -> None:
    other = ConversationId(samples.new_id())
    async with opened(settings) as store:
        await store.append([samples.message(other, world.phone, at=floor_id(NOW - 100 * DAY_MS))], [])
    with open_source(settings, 30, 0) as source:
        said = source.summary(None, lambda *_: None, scan=True)
        estimate = source.summary(None, lambda *_: None, scan=False)
    assert {one["table"]: one["rows"] for one in said["tables"]} == {
        "inbox": 121,
        "chatlog": 55,
        "receipts": 1,
    }
    assert said["spreads"]["buckets_per_conversation"]["of"] == 2
    assert said["spreads"]["days_per_device"]["max"] == len({day_of(m.id) for m in world.said}) + 1
    assert said["oldest_ms"] == NOW - 100 * DAY_MS
    assert said["newest_ms"] == millis(world.said[-1].id)
    listed = [len({day_of(m.id) for m in world.said}) * 2 + 1, len({bucket_of(m.id) for m in world.said}) + 1]
    assert said["partitions"] == estimate["partitions"] == {"inbox": listed[0], "chatlog": listed[1]}
    assert estimate["newest_ms"] == said["newest_ms"]
    assert 0 <= said["oldest_ms"] - estimate["oldest_bucket_ms"] < 10 * DAY_MS
    assert estimate["spreads"] == {
        name: spread for name, spread in said["spreads"].items() if "partition" not in name
    }
    assert [one["table"] for one in estimate["tables"]] == [
        "chatlog", "chatlog_buckets", "inbox", "inbox_days", "receipts", "newest",
    ]  # fmt: skip


def test_the_rows_of_an_inbox_say_which_message_they_are() -> None:
    pos, message = UUID(int=2), UUID(int=1)
    row = (UUID(int=9), 3, pos, message, b"c" * 16, 1, b"wrap", None)
    assert survey._inbox_row(row).entry.id == MessageId(message.bytes)
    assert survey._inbox_row((*row[:3], None, *row[4:])).entry.id == MessageId(pos.bytes)
    assert survey._inbox_row(row).at == MessageId(pos.bytes)
