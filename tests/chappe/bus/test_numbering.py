"""Numbered streams: whatever is lost, doubled, late or forgotten, its receiver gets it or learns that something is
missing."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from chappe.bus.numbering import BEATS, EVERYBODY, Incoming, Number, Outgoing
from chappe.bus.values import GatewayId

SENDER = GatewayId(b"sender--")
RECEIVERS = [GatewayId(f"receive{n}".encode()) for n in range(3)]


def take(incoming: Incoming, number: Number, *, is_beat: bool = False, at: float = 0.0) -> tuple[bool, bool]:
    return incoming.take(SENDER, number, at, is_broadcast=False, is_beat=is_beat)


def test_a_whole_stream_has_no_holes() -> None:
    outgoing, incoming = Outgoing(), Incoming()
    for _ in range(3):
        assert take(incoming, outgoing.next(RECEIVERS[0])) == (True, False)
    assert take(incoming, Number(1, 3), is_beat=True) == (False, False)


def test_a_hole_is_told_once_and_what_is_late_is_old() -> None:
    incoming = Incoming()
    assert take(incoming, Number(1, 1)) == (True, False)
    assert take(incoming, Number(1, 3)) == (True, True)
    assert take(incoming, Number(1, 2)) == (False, False)
    assert take(incoming, Number(1, 3)) == (False, False)
    assert take(incoming, Number(1, 4)) == (True, False)


def test_a_beat_tells_of_a_lost_last_frame() -> None:
    incoming = Incoming()
    assert take(incoming, Number(1, 0), is_beat=True) == (False, False)
    assert take(incoming, Number(1, 1), is_beat=True) == (False, True)
    assert take(incoming, Number(1, 1), is_beat=True) == (False, False)


def test_a_stream_found_in_the_middle_has_a_hole() -> None:
    assert take(Incoming(), Number(1, 5)) == (True, True)
    assert take(Incoming(), Number(1, 5), is_beat=True) == (False, True)
    assert take(Incoming(), Number(2, 1)) == (True, True), (
        "the sender forgot it once: who knows what was in it"
    )


def test_a_stream_begun_anew_has_a_hole_and_the_old_one_is_over() -> None:
    incoming = Incoming()
    assert take(incoming, Number(1, 1)) == (True, False)
    assert take(incoming, Number(2, 1)) == (True, True)
    assert take(incoming, Number(1, 2)) == take(incoming, Number(1, 2), is_beat=True) == (False, False)
    assert take(incoming, Number(2, 2)) == (True, False)


def test_the_two_kinds_of_streams_are_counted_apart() -> None:
    incoming = Incoming()
    assert take(incoming, Number(1, 1)) == (True, False)
    broadcast = incoming.take(SENDER, Number(1, 1), 0.0, is_broadcast=True, is_beat=False)
    assert broadcast == (True, False)


def test_beats_stop_when_they_were_told_but_not_for_broadcasts() -> None:
    outgoing = Outgoing()
    outgoing.next(RECEIVERS[0])
    outgoing.next(EVERYBODY)
    for _ in range(BEATS):
        due = dict(outgoing.beats())
        assert due == {EVERYBODY: Number(1, 1), RECEIVERS[0]: Number(1, 1)}
        outgoing.told(RECEIVERS[0], Number(1, 0))  # an older one counts for nothing
        for to, number in due.items():
            outgoing.told(to, number)
    assert dict(outgoing.beats()) == {EVERYBODY: Number(1, 1)}


def test_a_stream_that_was_not_told_is_not_forgotten() -> None:
    outgoing = Outgoing(most=1)
    outgoing.next(RECEIVERS[0])
    assert outgoing.next(RECEIVERS[1]) == (1, 1)
    assert set(dict(outgoing.beats())) == {EVERYBODY, *RECEIVERS[:2]}
    for _ in range(BEATS):
        outgoing.told(RECEIVERS[0], Number(1, 1))
    assert outgoing.next(RECEIVERS[2]) == (2, 1)
    assert outgoing.next(RECEIVERS[0]).epoch == 2


def test_silence_is_told_again_and_again_until_its_gateway_is_gone() -> None:
    incoming = Incoming()
    take(incoming, Number(1, 1), at=10.0)
    assert [at for at in range(10, 100) if incoming.silent(at, 5.0, 30.0)] == [16, 22, 28, 34, 40]
    take(incoming, Number(1, 1), at=100.0)
    assert [at for at in range(100, 110) if incoming.silent(at, 5.0, 30.0)] == [106]


def test_silence_begins_with_the_connection_and_ends_with_a_goodbye() -> None:
    incoming = Incoming()
    take(incoming, Number(1, 1), at=10.0)
    assert incoming.silent(15.0, 5.0, 60.0) == []
    incoming.hear_all(14.0)
    assert incoming.silent(19.0, 5.0, 60.0) == []
    assert incoming.silent(19.1, 5.0, 60.0) == [(SENDER, True)]
    take(incoming, Number(1, 2), at=100.0)
    incoming.left(SENDER)
    assert incoming.silent(200.0, 5.0, 60.0) == []


class Streams(RuleBasedStateMachine):
    """A sender, three receivers, and between them a net that loses, doubles and reorders.

    Beats may be late and double too, but those that count as told are not lost: on a real bus that takes a broken
    connection, after which everything is read again anyway. The sender remembers one stream and the receivers
    two: both forget.
    """

    def __init__(self) -> None:
        super().__init__()
        self.outgoing = Outgoing(most=1)
        self.incoming = {to: Incoming(most=2) for to in RECEIVERS}
        self.net: list[tuple[GatewayId, Number, bool]] = []
        self.told: list[tuple[GatewayId, Number]] = []
        # What each receiver has still to learn: a frame it got, or else a hole told after it was sent.
        self.open: dict[GatewayId, set[Number]] = {to: set() for to in RECEIVERS}

    @initialize()
    def begin(self) -> None:
        self.send(RECEIVERS[0])

    @rule(to=st.sampled_from(RECEIVERS))
    def send(self, to: GatewayId) -> None:
        number = self.outgoing.next(to)
        self.open[to].add(number)
        self.net.append((to, number, False))

    @rule(to=st.sampled_from(RECEIVERS))
    def skip(self, to: GatewayId) -> None:
        self.open[to].add(self.outgoing.next(to))

    @rule()
    def beat(self) -> None:
        for to, number in list(self.outgoing.beats()):
            if to != EVERYBODY:
                self.told.append((to, number))
                self.outgoing.told(to, number)

    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        if self.net:
            self.net.remove(data.draw(st.sampled_from(self.net)))

    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data: st.DataObject, again: bool) -> None:
        if self.net:
            frame = data.draw(st.sampled_from(self.net))
            if not again:
                self.net.remove(frame)
            self._take(*frame)

    @rule(data=st.data(), again=st.booleans())
    def deliver_beat(self, data: st.DataObject, again: bool) -> None:
        if self.told:
            beat = data.draw(st.sampled_from(self.told))
            if not again:
                self.told.remove(beat)
            self._take(*beat, True)

    @rule(to=st.sampled_from(RECEIVERS), other=st.integers(0, 2))
    def hear_another_sender(self, to: GatewayId, other: int) -> None:
        # Pushes the stream out of the receiver's memory.
        self.incoming[to].take(
            GatewayId(f"other--{other}".encode()), Number(1, 1), 0.0, is_broadcast=False, is_beat=False
        )

    def _take(self, to: GatewayId, number: Number, is_beat: bool) -> None:
        verdict = take(self.incoming[to], number, is_beat=is_beat)
        if verdict[0]:
            assert not is_beat
            self.open[to].discard(number)
        if verdict[1]:
            # The receiver reads its inboxes now: everything sent so far is in them.
            self.open[to].clear()

    def teardown(self) -> None:
        # In the end the beats come through, as they do within seconds once a bus works.
        for _ in range(BEATS):
            self.beat()
        for to, number in self.told:
            self._take(to, number, True)
        assert self.open == {to: set() for to in RECEIVERS}


TestStreams = Streams.TestCase
TestStreams.settings = settings(max_examples=100, stateful_step_count=40)
