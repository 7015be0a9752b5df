"""The Double Ratchet's limits: what it keeps, what it drops, and what it refuses before doing any work."""

from __future__ import annotations

import struct

import pytest

from chappe.crypto import primitives, ratchet
from chappe.crypto.errors import Replayed, Tampered, TooFarAhead
from chappe.crypto.ratchet import KEEP_SKIPPED_MS, MAX_OLD_CHAINS, MAX_SKIP, MAX_SKIPPED, Ratchet

from .people import seeded
from .small_order import SMALL_X25519

RANDOM = seeded(7)
SECRET = bytes(range(32))


def fresh() -> tuple[Ratchet, Ratchet]:
    private = RANDOM(32)
    public = primitives.x25519_public(private)
    return ratchet.begin(SECRET, public, RANDOM), ratchet.accept(SECRET, private, public)


def send(state: Ratchet, count: int) -> tuple[Ratchet, list[bytes]]:
    messages = []
    for n in range(count):
        state, message = ratchet.encrypt(state, b"%d" % n, b"ad", RANDOM)
        messages.append(message)
    return state, messages


def receive(state: Ratchet, message: bytes, now_ms: int = 0) -> tuple[Ratchet, bytes]:
    return ratchet.decrypt(state, message, b"ad", now_ms, RANDOM)


def turn(alice: Ratchet, bob: Ratchet) -> tuple[Ratchet, Ratchet]:
    """Let one message go each way, so that both have new chains."""
    alice, (message,) = send(alice, 1)
    bob, _ = receive(bob, message)
    bob, (message,) = send(bob, 1)
    alice, _ = receive(alice, message)
    return alice, bob


def test_messages_may_come_in_any_order() -> None:
    alice, bob = fresh()
    alice, messages = send(alice, 5)
    for n in (3, 0, 4, 2, 1):
        bob, plaintext = receive(bob, messages[n])
        assert plaintext == b"%d" % n
    assert not bob.skipped


def test_a_message_of_the_chain_before_still_opens() -> None:
    alice, bob = fresh()
    alice, (first, late) = send(alice, 2)
    bob, _ = receive(bob, first)
    bob, (reply,) = send(bob, 1)
    alice, _ = receive(alice, reply)
    alice, (new,) = send(alice, 1)
    bob, _ = receive(bob, new)
    bob, plaintext = receive(bob, late)
    assert plaintext == b"1"
    with pytest.raises(Replayed):
        receive(bob, late)


def test_so_many_may_be_skipped_and_no_more() -> None:
    alice, bob = fresh()
    alice, messages = send(alice, MAX_SKIP + 2)
    with pytest.raises(TooFarAhead):
        receive(bob, messages[MAX_SKIP + 1])
    bob, plaintext = receive(bob, messages[MAX_SKIP])
    assert plaintext == b"%d" % MAX_SKIP
    assert len(bob.skipped) == MAX_SKIP


def test_the_oldest_skipped_keys_go_first() -> None:
    alice, bob = fresh()
    alice, messages = send(alice, MAX_SKIPPED + 502)
    for n in (MAX_SKIP, 2 * MAX_SKIP + 1, MAX_SKIPPED + 501):
        bob, _ = receive(bob, messages[n])
    assert len(bob.skipped) == MAX_SKIPPED
    with pytest.raises(Replayed):
        receive(bob, messages[0])
    assert receive(bob, messages[MAX_SKIPPED])[1] == b"%d" % MAX_SKIPPED


def test_skipped_keys_are_kept_for_thirty_days() -> None:
    alice, bob = fresh()
    alice, messages = send(alice, 4)
    bob, _ = receive(bob, messages[1], now_ms=0)
    assert receive(bob, messages[0], now_ms=KEEP_SKIPPED_MS - 1)[1] == b"0"
    with pytest.raises(Replayed):
        receive(bob, messages[0], now_ms=KEEP_SKIPPED_MS)
    bob, _ = receive(bob, messages[2], now_ms=KEEP_SKIPPED_MS)
    assert not bob.skipped


def test_keys_of_so_many_old_chains_are_kept() -> None:
    alice, bob = fresh()
    alice, (late, first) = send(alice, 2)
    bob, _ = receive(bob, first)
    bob, (reply,) = send(bob, 1)
    alice, _ = receive(alice, reply)
    for _ in range(MAX_OLD_CHAINS):
        alice, bob = turn(alice, bob)
    assert receive(bob, late)[1] == b"0"
    alice, bob = turn(alice, bob)
    assert not bob.skipped
    with pytest.raises((Replayed, Tampered)):
        receive(bob, late)


@pytest.mark.parametrize("field", ["number", "length of the chain before"])
def test_a_huge_jump_costs_nothing(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = turn(*fresh())
    alice, (same_chain,) = send(alice, 1)
    other_key = primitives.x25519_public(RANDOM(32))
    jumps = [
        other_key
        + (struct.pack(">II", 0, 2**32 - 1) if field == "number" else struct.pack(">II", 2**32 - 1, 0))
    ]
    if field == "number":
        bob, _ = receive(bob, same_chain)
        jumps.append(same_chain[:32] + struct.pack(">II", 0, 2**32 - 1))

    def work(*_: object) -> None:
        raise AssertionError("A jump must be refused before any key is derived.")

    monkeypatch.setattr(ratchet, "_step", work)
    monkeypatch.setattr(ratchet, "_step_root", work)
    for header in jumps:
        with pytest.raises(TooFarAhead):
            receive(bob, header + same_chain[40:])


@pytest.mark.parametrize("key", SMALL_X25519, ids=lambda key: key.hex()[:8])
def test_a_ratchet_key_of_small_order_is_refused(key: bytes) -> None:
    alice, bob = turn(*fresh())
    _, (message,) = send(alice, 1)
    with pytest.raises(Tampered):
        receive(bob, key + message[32:])


def test_a_side_that_lost_its_newest_keys_heals() -> None:
    """After one round trip nothing that a thief copied opens what follows."""
    alice, bob = turn(*fresh())
    stolen = bob
    for _ in range(2):
        alice, bob = turn(alice, bob)
    alice, (message,) = send(alice, 1)
    assert receive(bob, message)[1] == b"0"
    with pytest.raises((Tampered, Replayed)):
        receive(stolen, message)


def test_the_key_of_an_opened_message_is_gone() -> None:
    alice, bob = turn(*fresh())
    alice, (message,) = send(alice, 1)
    bob, _ = receive(bob, message)
    with pytest.raises(Replayed):
        receive(bob, message)
