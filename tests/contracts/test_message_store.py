"""What every `MessageStore` promises."""

from __future__ import annotations

import pytest
import trio

from chappe.domain.messages import Watermark
from chappe.ids import FIRST_ID, Cid, ConversationId, DeviceId, MessageId, UserId, before, floor_id, millis
from chappe.ports import MessageStore
from chappe.protocol.frames import MAX_BODY_BYTES, Kind

from . import samples


@pytest.fixture
def conv() -> ConversationId:
    return ConversationId(samples.new_id())


@pytest.fixture
def device() -> DeviceId:
    return DeviceId(samples.new_id())


async def test_an_empty_store_answers(messages: MessageStore, conv: ConversationId, device: DeviceId) -> None:
    await messages.append([], [])
    assert await messages.newest_id() == FIRST_ID
    assert await messages.history(conv, None, 10) == []
    assert await messages.inbox(device, FIRST_ID, 10) == []
    assert await messages.watermarks([conv]) == []
    assert await messages.find(conv, device, Cid(samples.new_id()), FIRST_ID) is None
    await messages.ping()


@pytest.mark.parametrize("size", [0, 1, 1024, 1025, MAX_BODY_BYTES])
async def test_a_message_comes_back_as_it_went_in(
    messages: MessageStore, conv: ConversationId, device: DeviceId, size: int
) -> None:
    other = DeviceId(samples.new_id())
    said = samples.message(conv, device, other, body=b"x" * size, ref=samples.next_id())
    await messages.append([said], [])
    assert await messages.history(conv, None, 10) == [samples.log_row(said)]
    assert await messages.inbox(device, FIRST_ID, 10) == [samples.inbox_row(said, device)]
    assert await messages.inbox(other, FIRST_ID, 10) == [samples.inbox_row(said, other)]
    assert await messages.newest_id() == said.id


async def test_a_control_message_only_passes_through_the_inbox(
    messages: MessageStore, conv: ConversationId, device: DeviceId
) -> None:
    control = samples.message(conv, device, kind=Kind.CONTROL, body=b"x" * 5000)
    await messages.append([control], [])
    assert await messages.history(conv, None, 10) == []
    assert await messages.find(conv, control.device, control.cid, FIRST_ID) is None
    assert await messages.inbox(device, FIRST_ID, 10) == [samples.inbox_row(control, device)]
    assert await messages.newest_id() == control.id


async def test_history_is_paged_backwards(messages: MessageStore, conv: ConversationId) -> None:
    said = [samples.message(conv) for _ in range(10)]
    elsewhere = samples.message(ConversationId(samples.new_id()))
    for part in (said[5:], said[:5], [elsewhere]):
        await messages.append(part, [])
    rows = [samples.log_row(m) for m in reversed(said)]
    assert await messages.history(conv, None, 4) == rows[:4]
    assert await messages.history(conv, rows[3].id, 4) == rows[4:8]
    assert await messages.history(conv, rows[7].id, 4) == rows[8:]
    assert await messages.history(conv, said[0].id, 4) == []


async def test_an_inbox_is_read_by_cursor(
    messages: MessageStore, conv: ConversationId, device: DeviceId
) -> None:
    said = [samples.message(conv, device) for _ in range(10)]
    late = said.pop(3)  # stored after greater ids: it must still be found in its place
    await messages.append(said, [])
    await messages.append([late], [])
    said.insert(3, late)
    rows = [samples.inbox_row(m, device) for m in said]
    assert await messages.inbox(device, FIRST_ID, 4) == rows[:4]
    assert await messages.inbox(device, rows[3].id, 4) == rows[4:8]
    assert await messages.inbox(device, rows[9].id, 4) == []
    assert await messages.inbox(device, MessageId(rows[5].id[:15] + b"\xff"), 2) == rows[6:8]


async def test_a_range_may_begin_or_end_between_ids(
    messages: MessageStore, conv: ConversationId, device: DeviceId
) -> None:
    said = [samples.message(conv, device) for _ in range(3)]
    await messages.append(said, [])
    inbox, log = [samples.inbox_row(m, device) for m in said], [samples.log_row(m) for m in said]
    at_ms = millis(said[0].id)
    least, next_least = floor_id(at_ms), floor_id(at_ms + 1)
    for start, left in (
        (least, inbox),
        (before(said[1].id), inbox[1:]),
        (before(next_least), []),
        (before(least), inbox),
    ):
        assert await messages.inbox(device, start, 9) == left
        assert await messages.find(conv, said[2].device, said[2].cid, start) == (log[2] if left else None)
    for end, left in ((least, 0), (next_least, 3), (before(next_least), 3), (before(said[2].id), 2)):
        assert await messages.history(conv, end, 9) == log[:left][::-1]


async def test_storing_a_message_again_changes_nothing(
    messages: MessageStore, conv: ConversationId, device: DeviceId
) -> None:
    said = samples.message(conv, device)
    await messages.append([said, said], [])
    await messages.append([said], [])
    assert await messages.history(conv, None, 10) == [samples.log_row(said)]
    assert await messages.inbox(device, FIRST_ID, 10) == [samples.inbox_row(said, device)]


async def test_a_retried_message_is_found_by_its_cid(messages: MessageStore, conv: ConversationId) -> None:
    before = samples.next_id()
    said = samples.message(conv)
    await messages.append([samples.message(conv), said, samples.message(conv)], [])
    assert await messages.find(conv, said.device, said.cid, before) == samples.log_row(said)
    assert await messages.find(conv, said.device, said.cid, said.id) is None
    assert await messages.find(conv, said.device, Cid(samples.new_id()), before) is None
    assert await messages.find(conv, DeviceId(samples.new_id()), said.cid, before) is None
    assert await messages.find(ConversationId(samples.new_id()), said.device, said.cid, before) is None


async def test_watermarks_only_grow_and_what_was_read_was_delivered(
    messages: MessageStore, conv: ConversationId
) -> None:
    one, two, three = (samples.next_id() for _ in range(3))
    reader, other = UserId(samples.new_id()), UserId(samples.new_id())
    await messages.append([], [Watermark(conv, reader, two, None), Watermark(conv, other, one, None)])
    await messages.append([], [Watermark(conv, reader, one, one), Watermark(conv, reader, None, None)])
    assert set(await messages.watermarks([conv])) == {
        Watermark(conv, reader, two, one),
        Watermark(conv, other, one, None),
    }
    await messages.append([samples.message(conv)], [Watermark(conv, reader, None, three)])
    assert Watermark(conv, reader, three, three) in await messages.watermarks([conv, conv])
    assert await messages.watermarks([ConversationId(samples.new_id())]) == []


async def test_appends_at_the_same_time_are_all_there(
    messages: MessageStore, conv: ConversationId, device: DeviceId
) -> None:
    batches = [[samples.message(conv, device) for _ in range(7)] for _ in range(20)]
    async with trio.open_nursery() as nursery:
        for batch in batches:
            nursery.start_soon(messages.append, batch, [])
    expected = sorted(m.id for batch in batches for m in batch)
    assert [row.id for row in await messages.inbox(device, FIRST_ID, 1000)] == expected
    assert [row.id for row in await messages.history(conv, None, 1000)] == expected[::-1]
