"""The outbox: what goes in comes out, in order, within bounds; only plain notes are ever lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chappe.protocol.codec import MAX_FRAMES, MAX_HEADER_BYTES, decode, encode
from chappe.protocol.frames import Frame, Ping, Receipt, Typing
from chappe.protocol.outbox import Outbox, OutboxFullError

ID = bytes(16)


def ping(n: int) -> bytes:
    """Three to eleven bytes that say which frame it was."""
    return encode(Ping(n, 0))


def taken(outbox: Outbox, max_bytes: int = 1000) -> list[int]:
    data = outbox.take(max_bytes)
    return [] if data is None else [frame.n for frame in decode(data) if isinstance(frame, Ping)]


def test_everything_that_waits_goes_into_one_message() -> None:
    outbox = Outbox(10, 1000)
    for n in (1, 2, 3):
        outbox.put(ping(n))
    assert (outbox.frames, outbox.size_bytes) == (3, 3 * len(ping(1)))
    assert taken(outbox) == [1, 2, 3]
    assert (outbox.frames, outbox.size_bytes) == (0, 0)
    assert outbox.take() is None


def test_a_message_is_cut_at_its_limit_in_bytes() -> None:
    outbox = Outbox(10, 1000)
    for n in (1, 2, 3, 4, 5):
        outbox.put(ping(n))
    two = MAX_HEADER_BYTES + 2 * len(ping(1))
    assert [taken(outbox, two), taken(outbox, two + 1), taken(outbox, two), taken(outbox)] == [
        [1, 2],
        [3, 4],
        [5],
        [],
    ]


def test_one_frame_goes_however_large() -> None:
    outbox = Outbox(10, 1000)
    outbox.put(ping(1))
    outbox.put(ping(2))
    assert taken(outbox, 1) == [1]


def test_a_message_is_cut_at_its_limit_in_frames() -> None:
    outbox = Outbox(MAX_FRAMES + 1, 1_000_000)
    for n in range(MAX_FRAMES + 1):
        outbox.put(ping(n))
    assert len(taken(outbox, 1_000_000)) == MAX_FRAMES
    assert taken(outbox) == [MAX_FRAMES]


@pytest.mark.parametrize(("max_frames", "max_bytes"), [(2, 1000), (10, 2 * len(ping(1)))])
def test_full_leaves_everything_as_it_was(max_frames: int, max_bytes: int) -> None:
    outbox = Outbox(max_frames, max_bytes)
    outbox.put(ping(1))
    outbox.put(ping(2))
    with pytest.raises(OutboxFullError):
        outbox.put(ping(3))
    with pytest.raises(OutboxFullError):
        outbox.note("receipt", ping(4), keep=True)
    assert outbox.note("typing", ping(5)) is False
    assert outbox.dropped == 1
    assert taken(outbox) == [1, 2]


def test_the_newest_note_of_a_key_replaces_the_older() -> None:
    outbox = Outbox(10, 1000)
    outbox.note("a", ping(1))
    outbox.note("b", ping(2))
    outbox.note("a", ping(3))
    outbox.put(ping(9))
    assert taken(outbox) == [9, 3, 2]
    assert outbox.dropped == 0


def test_plain_notes_make_room_oldest_first_and_kept_ones_stay() -> None:
    outbox = Outbox(4, 1000)
    outbox.note("kept", ping(1), keep=True)
    for n in (2, 3, 4):
        outbox.note(n, ping(n))
    outbox.put(ping(5))
    assert outbox.dropped == 1
    outbox.note("kept too", ping(6), keep=True)
    assert outbox.dropped == 2
    assert taken(outbox) == [5, 1, 6, 4]


def test_a_stale_note_goes_when_its_successor_has_no_room() -> None:
    small, large = encode(Typing(ID, True)), encode(Receipt(ID, ID, ID, ID))
    outbox = Outbox(10, len(small))
    outbox.note("key", small)
    assert outbox.note("key", large) is False
    assert outbox.take() is None


def test_nothing_is_dropped_for_what_cannot_fit_anyway() -> None:
    outbox = Outbox(10, 20)
    outbox.note("typing", ping(1))
    with pytest.raises(OutboxFullError):
        outbox.put(bytes(21))
    assert (outbox.dropped, taken(outbox)) == (0, [1])


def numbers(data: bytes) -> list[int]:
    frames: list[Frame] = decode(data)
    return [frame.n for frame in frames if isinstance(frame, Ping)]


class Model(RuleBasedStateMachine):
    """Frames never vanish and keep their order; of a key only the newest goes out; the bounds hold."""

    MAX_FRAMES, MAX_BYTES = 6, 40

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox(self.MAX_FRAMES, self.MAX_BYTES)
        self.n = 0
        self.frames: list[int] = []
        self.kept: dict[int, int] = {}
        self.notes: dict[int, int] = {}

    def next(self, large: bool) -> int:
        self.n += 1
        return self.n + 1000 * large

    @rule(large=st.booleans())
    def put(self, large: bool) -> None:
        n = self.next(large)
        try:
            self.outbox.put(ping(n))
        except OutboxFullError:
            must_stay = [*self.frames, *self.kept.values(), n]
            assert len(must_stay) > self.MAX_FRAMES or sum(len(ping(m)) for m in must_stay) > self.MAX_BYTES
        else:
            self.frames.append(n)

    @rule(key=st.integers(0, 3), keep=st.booleans(), large=st.booleans())
    def note(self, key: int, keep: bool, large: bool) -> None:
        n = self.next(large)
        if keep:
            try:
                self.outbox.note(key, ping(n), keep=True)
            except OutboxFullError:
                must_stay = [*self.frames, *(self.kept | {key: n}).values()]
                assert (
                    len(must_stay) > self.MAX_FRAMES or sum(len(ping(m)) for m in must_stay) > self.MAX_BYTES
                )
            else:
                self.kept[key] = n
        elif self.outbox.note(("plain", key), ping(n)):
            self.notes[key] = n
        else:
            self.notes.pop(key, None)

    @rule(max_bytes=st.integers(1, 60))
    def take(self, max_bytes: int) -> None:
        data = self.outbox.take(max_bytes)
        if data is None:
            assert not self.frames
            assert not self.kept
            self.notes.clear()
            return
        got = numbers(data)
        assert len(data) <= max_bytes or len(got) == 1
        count = min(len(got), len(self.frames))
        assert got[:count] == self.frames[:count]
        del self.frames[:count]
        for n in got[count:]:
            kind = self.kept if n in self.kept.values() else self.notes
            assert kind is self.kept or not self.kept
            del kind[next(key for key, value in kind.items() if value == n)]

    @invariant()
    def bounds(self) -> None:
        assert self.outbox.frames <= self.MAX_FRAMES
        assert self.outbox.size_bytes <= self.MAX_BYTES
        must_stay = [*self.frames, *self.kept.values()]
        assert self.outbox.frames >= len(must_stay)
        assert self.outbox.frames <= len(must_stay) + len(self.notes)
        assert self.outbox.size_bytes >= sum(len(ping(n)) for n in must_stay)


test_against_the_model = Model.TestCase


@given(st.lists(st.integers(0, 2**40), max_size=50), st.integers(1, 400))
def test_any_cut_gives_the_same_frames(sent: list[int], max_bytes: int) -> None:
    outbox = Outbox(50, 10_000)
    for n in sent:
        outbox.put(ping(n))
    got: list[int] = []
    while data := outbox.take(max_bytes):
        got += numbers(data)
    assert got == sent
