"""Frames of the bus: what goes in comes out, and nothing that comes in does more than be refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chappe.bus.codec import (
    VERSION,
    Broadcast,
    Changed,
    Direct,
    Kick,
    Note,
    Seen,
    decode_broadcast,
    decode_direct,
    direct_beat,
    encode,
    wake_of,
)
from chappe.bus.errors import BadFrame
from chappe.bus.numbering import Number
from chappe.bus.values import GatewayId
from chappe.ids import ConversationId, DeviceId, UserId
from chappe.protocol.frames import Kind
from tests.contracts import samples

SENDER = GatewayId(b"gateway1")
ids = st.binary(min_size=16, max_size=16)
counters = st.integers(0, 2**53 - 1)
messages = st.builds(
    lambda devices, body, kind, ref: samples.message(
        ConversationId(samples.new_id()),
        *map(DeviceId, devices),
        body=body,
        kind=kind,
        ref=samples.random_id() if ref else None,
    ),
    st.lists(ids, min_size=1, max_size=4, unique=True),
    st.binary(max_size=300),
    st.sampled_from(Kind),
    st.booleans(),
)


@given(st.lists(messages, max_size=3), st.lists(st.builds(Kick, ids, counters), max_size=3), counters, ids)
def test_a_frame_comes_back_as_it_went_in(
    said: list[samples.StoredMessage], kicks: list[Kick], n: int, device: bytes
) -> None:
    wakes = [wake_of(message, list(message.wraps)) for message in said]
    direct = Direct(VERSION, SENDER, 1, n, wakes, kicks, [Note([DeviceId(device)], b"note")])
    assert decode_direct(encode(direct)) == direct
    for wake, message in zip(decode_direct(encode(direct)).wakes, said, strict=True):
        for name in message.wraps:
            assert wake.row(name) == samples.inbox_row(message, name)


@given(ids, st.lists(ids, max_size=3), st.booleans(), counters)
def test_a_broadcast_comes_back_as_it_went_in(user: bytes, revoked: list[bytes], flag: bool, n: int) -> None:
    changes = [Changed(UserId(user), [DeviceId(device) for device in revoked])]
    frame = Broadcast(VERSION, SENDER, 2, n, changes, [Seen(UserId(user), flag, n)], flag, not flag)
    assert decode_broadcast(encode(frame)) == frame


def test_a_wake_holds_the_wraps_of_its_devices_only() -> None:
    here, there = DeviceId(samples.new_id()), DeviceId(samples.new_id())
    assert set(wake_of(samples.message(ConversationId(samples.new_id()), here, there), [there]).wraps) == {
        there
    }


def test_a_beat_is_a_frame_that_carries_nothing() -> None:
    beat = direct_beat(SENDER, Number(3, 7))
    for frame in (decode_direct(beat), decode_broadcast(beat)):
        assert frame.is_beat
        assert (frame.sender, frame.epoch, frame.n) == (SENDER, 3, 7)
    for carried in ({"is_alarm": True}, {"is_goodbye": True}, {"gone": [SENDER]}):
        assert not Broadcast(VERSION, SENDER, 1, 1, **carried).is_beat


def test_what_a_later_version_added_at_the_end_is_skipped() -> None:
    later = msgspec.msgpack.encode([VERSION, SENDER, 1, 1, [], [], [], {"more": 1}])
    assert decode_direct(later) == Direct(VERSION, SENDER, 1, 1)


FRAME = msgspec.msgpack.encode([VERSION, SENDER, 1, 1, [], [[b"d" * 16, 1]], []])


@example(b"")
@example(msgspec.msgpack.encode([2, SENDER, 1, 1]))
@example(msgspec.msgpack.encode([VERSION, b"short", 1, 1]))
@example(msgspec.msgpack.encode([VERSION, SENDER, 0, 1]))
@example(msgspec.msgpack.encode([VERSION, SENDER, 1, -1]))
@example(msgspec.msgpack.encode([VERSION, SENDER, 1, 1, [[b"short"] * 9]]))
@example(b"\x91" * 5000)
@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_other_bytes_are_refused_and_nothing_else_happens(data: bytes) -> None:
    for decode in (decode_direct, decode_broadcast):
        with pytest.raises(BadFrame):
            decode(data)


@settings(max_examples=500)
@given(st.data())
def test_a_damaged_frame_is_refused_or_is_a_frame(data: st.DataObject) -> None:
    frame = bytearray(FRAME)
    for _ in range(data.draw(st.integers(1, 3))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(frame)))
    for damaged in (bytes(frame), bytes(frame[:cut])):
        try:
            decoded = decode_direct(damaged)
        except BadFrame as error:
            assert len(str(error)) < 100, "it quotes the frame"  # noqa: PT017
        else:
            assert len(decoded.sender) == 8
            assert all(len(kick.device) == 16 for kick in decoded.kicks)
