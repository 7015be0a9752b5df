"""The message body: what it hides, what it is bound to, and what it refuses."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chappe.crypto import envelope, primitives
from chappe.crypto.envelope import OVERHEAD_BYTES, Context
from chappe.crypto.errors import Tampered
from chappe.ids import Cid, ConversationId, DeviceId, MessageId, UserId

from .people import seeded

CONTEXT = Context(
    ConversationId(b"c" * 16), UserId(b"u" * 16), DeviceId(b"d" * 16), Cid(b"i" * 16), 1, MessageId(b"r" * 16)
)


@settings(deadline=None)
@given(st.binary(max_size=4000) | st.binary(max_size=50).map(lambda end: end + b"\x80\0\0"))
def test_a_body_opens_to_what_was_sealed(plaintext: bytes) -> None:
    key, body = envelope.seal(plaintext, CONTEXT, os.urandom)
    assert envelope.open(key, body, CONTEXT) == plaintext


def test_each_message_has_its_own_key() -> None:
    random = seeded(1)
    (one, body), (other, again) = (envelope.seal(b"same", CONTEXT, random) for _ in range(2))
    assert one != other
    assert body[1:] != again[1:]
    with pytest.raises(Tampered):
        envelope.open(one, again, CONTEXT)


@pytest.mark.parametrize(
    "change",
    [
        {"conv": b"x" * 16},
        {"sender": b"x" * 16},
        {"device": b"x" * 16},
        {"cid": b"x" * 16},
        {"kind": 2},
        {"ref": b"x" * 16},
        {"ref": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_body_cannot_be_moved(change: dict[str, object]) -> None:
    key, body = envelope.seal(b"here only", CONTEXT, seeded(1))
    with pytest.raises(Tampered):
        envelope.open(key, body, replace(CONTEXT, **change))


def test_every_byte_and_every_length_counts() -> None:
    key, body = envelope.seal(b"exactly this", CONTEXT, seeded(1))
    for at in range(len(body)):
        for bad in (body[:at], body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]):
            with pytest.raises(Tampered):
                envelope.open(key, bad, CONTEXT)
    with pytest.raises(Tampered):
        envelope.open(key, body + b"\0", CONTEXT)


def test_a_body_is_committed_to_its_key() -> None:
    """Even a sender who could make a ciphertext for two keys cannot make the beginning fit both."""
    _, body = envelope.seal(b"one thing", CONTEXT, seeded(1))
    other, other_body = envelope.seal(b"another", CONTEXT, seeded(2))
    with pytest.raises(Tampered, match="another key"):
        envelope.open(other, body[:33] + other_body[33:], CONTEXT)
    assert envelope.open(other, other_body, CONTEXT) == b"another"


def test_padding_without_an_end_mark_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    seal = primitives.seal
    monkeypatch.setattr(
        primitives, "seal", lambda key, padded, ad, random: seal(key, bytes(len(padded)), ad, random)
    )
    key, body = envelope.seal(b"", CONTEXT, seeded(1))
    with pytest.raises(Tampered, match="end mark"):
        envelope.open(key, body, CONTEXT)


@pytest.mark.parametrize(
    ("length", "padded"),
    [
        (0, 160),
        (1, 160),
        (159, 160),
        (160, 320),
        (319, 320),
        (1023, 1120),
        (1119, 1120),
        (1120, 1152),
        (5000, 5120),
    ],
)
def test_a_body_has_one_of_few_lengths(length: int, padded: int) -> None:
    _, body = envelope.seal(bytes(length), CONTEXT, seeded(1))
    assert len(body) == OVERHEAD_BYTES + padded


@settings(deadline=None)
@given(st.integers(1, 65_000))
def test_padding_is_enough_cheap_and_never_shrinks(length: int) -> None:
    padded = envelope.padded_length(length)
    assert length <= padded <= envelope.padded_length(length + 1)
    assert padded - length < max(160, 0.12 * length)


def test_lengths_are_few() -> None:
    assert len({envelope.padded_length(length) for length in range(1, 65_537)}) < 110
