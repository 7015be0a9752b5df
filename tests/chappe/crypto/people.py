"""Devices that talk to each other in the tests of this folder, with a server's part played honestly."""

from __future__ import annotations

import random as stdlib_random
from collections.abc import Callable

from chappe.crypto import keys, sessions
from chappe.crypto.keys import AccountKey, DeviceKeys
from chappe.crypto.sessions import Opened, PairSessions
from chappe.ids import DeviceId, UserId
from chappe.protocol.calls import Bundle, OneTimeKem, OneTimeKey


def seeded(seed: int) -> Callable[[int], bytes]:
    """Return a source of bytes that is the same in every run."""
    return stdlib_random.Random(seed).randbytes


class Person:
    """One device of one account: its keys, its sessions, and the one-time keys that its server holds."""

    def __init__(self, seed: int) -> None:
        self.random = seeded(seed)
        self.user = UserId(self.random(16))
        self.account: AccountKey = keys.new_account_key(self.random)
        self.keys: DeviceKeys = keys.new_device(self.random, now_ms=0)
        self.now_ms = 0
        self.pairs: dict[DeviceId, PairSessions] = {}
        self.published: tuple[list[OneTimeKey], list[OneTimeKem]] = ([], [])

    def refill(self, one_time: int, kem: int) -> None:
        self.keys, curve_keys, kem_keys = keys.refill(self.keys, one_time, kem, self.random)
        self.published[0].extend(curve_keys)
        self.published[1].extend(kem_keys)

    def bundle(self) -> Bundle:
        """Hand out the next one-time keys, or none and the last-resort KEM key when they ran out."""
        one_time, kem = self.published
        prekeys = keys.prekeys(self.keys)
        last = OneTimeKem(prekeys.kem_id, prekeys.kem_key, prekeys.kem_signature)
        given = kem.pop(0) if kem else last
        return Bundle(
            device=self.keys.device_id,
            device_key=self.keys.public,
            signed_id=prekeys.signed_id,
            signed_key=prekeys.signed_key,
            signed_signature=prekeys.signed_signature,
            kem_id=given.id,
            kem_key=given.key,
            kem_signature=given.signature,
            one_time=one_time.pop(0) if one_time else None,
        )

    def start(self, peer: Person, bundle: Bundle | None = None) -> PairSessions:
        pair = sessions.start(
            self.keys,
            self.user,
            self.account.public,
            peer.user,
            peer.account.public,
            bundle or peer.bundle(),
            self.now_ms,
            self.random,
            self.pair(peer),
        )
        self.pairs[peer.keys.device_id] = pair
        return pair

    def pair(self, peer: Person) -> PairSessions | None:
        return self.pairs.get(peer.keys.device_id)

    def wrap(self, peer: Person, plaintext: bytes, ad: bytes = b"") -> bytes:
        if peer.keys.device_id not in self.pairs:
            self.start(peer)
        pair = self.pairs[peer.keys.device_id]
        self.pairs[peer.keys.device_id], wrapped = sessions.wrap(pair, plaintext, ad, self.random)
        return wrapped

    def open(self, peer: Person, wrapped: bytes, ad: bytes = b"") -> Opened:
        """Unwrap, and keep nothing of what it changes."""
        return sessions.unwrap(
            self.pair(peer),
            self.keys,
            self.user,
            self.account.public,
            peer.user,
            peer.account.public,
            peer.keys.public,
            wrapped,
            ad,
            self.now_ms,
            self.random,
        )

    def unwrap(self, peer: Person, wrapped: bytes, ad: bytes = b"") -> bytes:
        opened = self.open(peer, wrapped, ad)
        self.pairs[peer.keys.device_id], self.keys = opened.pair, opened.own
        return opened.plaintext


def two(one_time: int = 3, kem: int = 3) -> tuple[Person, Person]:
    """Return two people whose servers hold so many one-time keys of each."""
    alice, bob = Person(1), Person(2)
    for person in (alice, bob):
        person.refill(one_time, kem)
    return alice, bob


def talking() -> tuple[Person, Person]:
    """Return two people with a session that both sides have used."""
    alice, bob = two()
    assert bob.unwrap(alice, alice.wrap(bob, b"hello")) == b"hello"
    assert alice.unwrap(bob, bob.wrap(alice, b"hello yourself")) == b"hello yourself"
    return alice, bob
