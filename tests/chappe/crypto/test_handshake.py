"""The key agreement alone: both sides get one secret, and everything that goes in counts."""

from __future__ import annotations

from chappe.crypto import handshake
from chappe.crypto.handshake import HEADER_BYTES, Party

from .people import Person, two


def party(person: Person) -> Party:
    return Party(person.user, person.account.public, person.keys.public)


def test_both_sides_agree() -> None:
    for one_time in (0, 1):
        alice, bob = two(one_time, kem=1)
        ours = handshake.initiate(alice.keys, party(alice), party(bob), bob.bundle(), alice.random)
        theirs = handshake.respond(bob.keys, party(alice), party(bob), ours.header)
        assert (ours.secret, ours.binding) == (theirs.secret, theirs.binding)
        assert ours.signed_public == theirs.signed_public
        assert bool(ours.header.one_time_id) is bool(one_time)


def test_a_header_has_one_encoding() -> None:
    alice, bob = two()
    header = handshake.initiate(alice.keys, party(alice), party(bob), bob.bundle(), alice.random).header
    assert len(header.encode()) == HEADER_BYTES
    assert handshake.decode_header(header.encode()) == header


def test_every_agreement_and_the_kem_secret_count() -> None:
    agreements = [bytes([n]) * 32 for n in range(4)]
    secrets = {handshake.derive(agreements, b"k" * 32, b"info")}
    secrets.add(handshake.derive(agreements, b"K" * 32, b"info"))
    secrets.add(handshake.derive(agreements, b"k" * 32, b"other"))
    for n in range(4):
        changed = [*agreements[:n], b"x" * 32, *agreements[n + 1 :]]
        secrets.add(handshake.derive(changed, b"k" * 32, b"info"))
    assert len(secrets) == 7


def test_two_sessions_never_share_a_secret() -> None:
    alice, bob = two(one_time=0, kem=0)
    bundle = bob.bundle()
    secrets = {
        handshake.initiate(alice.keys, party(alice), party(bob), bundle, alice.random).secret
        for _ in range(5)
    }
    assert len(secrets) == 5
