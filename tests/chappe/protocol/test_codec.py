"""The codec: what goes in comes out, and what is wrong is refused politely, whatever it is."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.protocol.codec import MAX_FRAMES, MAX_HEADER_BYTES, decode, encode, join
from chappe.protocol.codes import CloseCode, ProtocolError
from chappe.protocol.frames import MAX_MESSAGE_BYTES, Ack, Error, Event, Frame, Kind, Ping, Result, Send

from .arbitrary import FRAMES, frame, message, mutated

randoms = st.randoms(use_true_random=False)


def as_data(frames: list[Frame]) -> list[object]:
    """Raw has no equality, so compare what the frames encode to."""
    return [encode(frame) for frame in frames]


@pytest.mark.parametrize("kind", FRAMES)
@given(random=randoms)
def test_every_frame_survives_the_way(kind: type[Frame], random: Random) -> None:
    before = frame(random, kind)
    (after,) = decode(join([encode(before)]))
    assert type(after) is kind
    assert as_data([after]) == as_data([before])


@pytest.mark.parametrize("count", [1, 15, 16, 255, 256, MAX_FRAMES])
def test_join_makes_what_msgpack_would(count: int) -> None:
    frames: list[Frame] = [Ping(n, 0) for n in range(count)]
    data = join([encode(frame) for frame in frames])
    assert data == msgspec.msgpack.encode(frames)
    assert decode(data) == frames


def test_a_frame_as_large_as_a_message_can_hold() -> None:
    overhead = len(encode(Result(1, msgspec.Raw(b"")))) + MAX_HEADER_BYTES
    fits = Result(1, msgspec.Raw(bytes(MAX_MESSAGE_BYTES - overhead)))
    assert len(join([encode(fits)])) <= MAX_MESSAGE_BYTES
    with pytest.raises(ValueError, match="Result has"):
        encode(Result(1, msgspec.Raw(bytes(MAX_MESSAGE_BYTES - overhead + 1))))


ACK = encode(Ack(1))
RESULT = b"\x93\x09\x01"
DEEP = b"\x91" * 200_000 + b"\xc0"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"", "not valid msgpack", id="nothing"),
        pytest.param(b"\x90", "length >= 1", id="no frame"),
        pytest.param(b"\x91", "not valid msgpack", id="a frame announced, none there"),
        pytest.param(ACK, "Expected `array`", id="a bare frame"),
        pytest.param(join([ACK])[:-1], "not valid msgpack", id="truncated"),
        pytest.param(join([ACK]) + b"\x00", "not valid msgpack", id="one byte too much"),
        pytest.param(join([ACK]) * 2, "not valid msgpack", id="two messages in one"),
        pytest.param(b"\x80", "Expected `array`", id="a map"),
        pytest.param(b"\xc1", "not valid msgpack", id="the byte msgpack never uses"),
        pytest.param(b"\x91\x90", "", id="an empty frame"),
        pytest.param(b"\x91\x91\x63", "Unknown value", id="a frame of no known type"),
        pytest.param(b"\x91\x92\xa213\x01", "Expected `int`", id="a type in text"),
        pytest.param(b"\x91\x91\x0d", "at least length 2", id="a field missing"),
        pytest.param(b"\x91\x92\x0d\xff", ">= 0", id="a negative number"),
        pytest.param(b"\x91\x92\x0d\xcf" + b"\xff" * 8, "<= 9007199254740991", id="a number beyond 2**53"),
        pytest.param(b"\x91\x92\x0d\xcb" + bytes(8), "Expected `int`", id="a float for a number"),
        pytest.param(b"\x91\x92\x0d\xc7\x00\x05", "Expected `int`", id="an extension"),
        pytest.param(b"\x91\x92\x0e\xc6\xff\xff\xff\xff", "length <= 64", id="four gigabytes announced"),
        pytest.param(b"\xdd\xff\xff\xff\xff", f"length <= {MAX_FRAMES}", id="four billion frames announced"),
        pytest.param(join([ACK] * (MAX_FRAMES + 1)), f"length <= {MAX_FRAMES}", id="one frame too many"),
        pytest.param(
            b"\x91" + RESULT + b"\xdd\xff\xff\xff\xff", "not valid msgpack", id="a huge array in a value"
        ),
        pytest.param(b"\x91" + RESULT + b"\xc1", "not valid msgpack", id="no msgpack in a value"),
        pytest.param(b"\x91" + RESULT + DEEP, "too deeply", id="depth bomb in a value"),
        pytest.param(b"\x91\x93\x0d\x01" + DEEP, "too deeply", id="depth bomb in a field that is skipped"),
        pytest.param(DEEP, "Expected", id="depth bomb at the top"),
        pytest.param(b"\x91\x94\x08\x01\xa2\xff\xfe\x90", "not valid msgpack", id="text that is no UTF-8"),
    ],
)
def test_bad_input_is_a_bad_frame(data: bytes, says: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(data)
    assert caught.value.close is CloseCode.BAD_FRAME
    assert says in caught.value.message


def test_a_message_over_the_limit_is_not_even_looked_at() -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(b"\xc1" * (MAX_MESSAGE_BYTES + 1))
    assert caught.value.close is CloseCode.TOO_BIG
    with pytest.raises(ProtocolError, match="at most 3 bytes"):
        decode(join([ACK]), max_bytes=3)
    assert decode(join([ACK]), max_bytes=4) == [Ack(1)]


def test_refusals_do_not_repeat_the_input() -> None:
    secret = "hunter2"  # what a client may put in the wrong place
    wrong = (
        [[21, secret, "message"]],
        [[10, secret.encode(), secret, 1, b"", {}]],
        [[secret]],
        {secret: secret},
    )
    for data in wrong:
        with pytest.raises(ProtocolError) as caught:
            decode(msgspec.msgpack.encode(data))
        assert secret not in caught.value.message
        assert caught.value.__cause__ is None


def test_fields_of_a_later_minor_version_are_skipped() -> None:
    assert decode(msgspec.msgpack.encode([[13, 7, "new", {"in": 1.1}]])) == [Ack(7)]


def test_fields_left_out_at_the_end_take_their_defaults() -> None:
    (short,) = decode(msgspec.msgpack.encode([[21, "not_found", "It is not there."]]))
    assert isinstance(short, Error)
    assert (short.rid, short.cid, short.retry_after_ms, bytes(short.detail)) == (None, None, None, b"\xc0")


def test_an_unknown_kind_of_message_is_refused() -> None:
    send = Send(bytes(16), bytes(16), Kind.MESSAGE, b"", {})
    data = msgspec.msgpack.encode([[10, send.cid, send.conv, 63, b"", {}]])
    with pytest.raises(ProtocolError, match="Unknown value"):
        decode(data)


def test_an_event_is_encoded_once_for_all() -> None:
    event = encode(Event(1, *[bytes(16)] * 2, Kind.MESSAGE, *[bytes(16)] * 3, b"wrap", b"body"))
    assert decode(join([event, ACK]))[0] == decode(join([ACK, event]))[1]


def refusal(data: bytes) -> ProtocolError | None:
    """Decode; whatever is raised that is no protocol error fails the test."""
    try:
        assert decode(data)
    except ProtocolError as error:
        return error
    return None


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_a_protocol_error(data: bytes) -> None:
    error = refusal(data)
    assert error is None or error.close is CloseCode.BAD_FRAME


@given(randoms)
def test_a_mutated_message_raises_nothing_but_a_protocol_error(random: Random) -> None:
    error = refusal(mutated(random, message(random)))
    assert error is None or len(error.message) < 200
