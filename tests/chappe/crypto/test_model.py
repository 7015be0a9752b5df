"""Two devices over a network that loses, repeats, reorders and delays, while both start sessions at will.

What must hold: a message opens to what was sent, once, and only for its receiver. As long as nobody restores
an old backup, everything that arrives in time opens; after a restore messages may be refused, but no lie is
ever told, no nonce repeats, and a new session heals everything.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chappe.crypto.errors import DecryptError
from chappe.crypto.keys import DeviceKeys
from chappe.crypto.ratchet import MAX_OLD_CHAINS
from chappe.crypto.sessions import MAX_ARCHIVED, PairSessions

from .people import Person, two

SIDES = st.integers(0, 1)


@dataclass
class Sent:
    to: int
    plaintext: bytes
    wrapped: bytes
    turns: int
    """How often the receiver had heard a new chain when this was sent."""
    was_opened: bool = False


class Talk(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.people: tuple[Person, Person] = two(one_time=2, kem=2)
        self.wire: list[Sent] = []
        self.nonces: set[bytes] = set()
        self.starts = 0
        self.is_clean = True
        self.backups: list[tuple[bytes, bytes] | None] = [None, None]
        self.heard: tuple[list[bytes], list[bytes]] = ([], [])
        self.count = 0

    def pair(self, side: int) -> PairSessions | None:
        return self.people[side].pair(self.people[1 - side])

    @initialize(side=SIDES)
    def first(self, side: int) -> None:
        self.send(side)

    @rule(side=SIDES)
    def send(self, side: int) -> None:
        if self.pair(side) is None:
            self.starts += 1
        self.count += 1
        plaintext = b"message %06d" % self.count
        wrapped = self.people[side].wrap(self.people[1 - side], plaintext)
        nonce = wrapped[-16 - len(plaintext) - 24 : -16 - len(plaintext)]
        assert nonce not in self.nonces
        self.nonces.add(nonce)
        self.wire.append(Sent(1 - side, plaintext, wrapped, len(self.heard[1 - side])))

    @precondition(lambda self: self.wire)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        sent = self.wire[data.draw(st.integers(0, len(self.wire) - 1), label="which")]
        person, sender = self.people[sent.to], self.people[1 - sent.to]
        before = self.pair(sent.to)
        try:
            plaintext = person.unwrap(sender, sent.wrapped)
        except DecryptError:
            assert self.pair(sent.to) is before
            # Without a restore, nothing but the keys of a forgotten chain may be missing.
            is_forgotten = len(self.heard[sent.to]) - sent.turns >= MAX_OLD_CHAINS
            assert sent.was_opened or is_forgotten or not self.is_clean
            return
        assert plaintext == sent.plaintext
        assert not (self.is_clean and sent.was_opened)
        sent.was_opened = True
        chain = sent.wrapped[-16 - len(plaintext) - 24 - 40 :][:32]
        if chain not in self.heard[sent.to]:
            self.heard[sent.to].append(chain)

    @precondition(lambda self: self.wire)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.wire.pop(data.draw(st.integers(0, len(self.wire) - 1), label="which"))

    @precondition(lambda self: self.starts <= MAX_ARCHIVED)
    @rule(side=SIDES)
    def start(self, side: int) -> None:
        self.starts += 1
        self.people[side].start(self.people[1 - side])

    @rule(side=SIDES)
    def back_up(self, side: int) -> None:
        pair = self.pair(side)
        if pair is not None:
            self.backups[side] = (pair.to_bytes(), self.people[side].keys.to_bytes())

    @precondition(lambda self: any(self.backups))
    @rule(side=SIDES)
    def restore(self, side: int) -> None:
        backup = self.backups[side]
        if backup is not None:
            self.is_clean = False
            person, peer = self.people[side], self.people[1 - side]
            person.pairs[peer.keys.device_id] = PairSessions.from_bytes(backup[0])
            person.keys = DeviceKeys.from_bytes(backup[1])

    @invariant()
    def limits_hold(self) -> None:
        for side in (0, 1):
            pair = self.pair(side)
            if pair is not None:
                assert len(pair.archived) <= MAX_ARCHIVED
                assert len(pair.active.ratchet.old) <= MAX_OLD_CHAINS

    def teardown(self) -> None:
        alice, bob = self.people
        alice.start(bob)
        assert bob.unwrap(alice, alice.wrap(bob, b"all is well")) == b"all is well"
        assert alice.unwrap(bob, bob.wrap(alice, b"with me too")) == b"with me too"


TestTalk = Talk.TestCase
TestTalk.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
