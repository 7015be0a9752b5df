"""Message ids are the order of everything, so the clock that makes them is tested against a model of bad clocks."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from chappe.ids import (
    FIRST_ID,
    HybridClock,
    MessageId,
    UserId,
    device_id,
    direct_conversation,
    floor_id,
    millis,
)

wall_clocks = st.lists(st.integers(min_value=0, max_value=2**47), min_size=1, max_size=50)


class WallClock:
    """A wall clock that shows what it is told, and keeps the last value."""

    def __init__(self, readings: list[int]) -> None:
        self.readings = readings

    def __call__(self) -> int:
        return self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]


@given(wall_clocks)
def test_ids_only_grow_whatever_the_wall_clock_does(readings: list[int]) -> None:
    clock = HybridClock(WallClock(list(readings)), node=7)
    ids = [clock.next() for _ in range(len(readings) * 2)]
    assert ids == sorted(set(ids))


@given(st.integers(min_value=1, max_value=2**47), st.integers(min_value=0, max_value=2**48 - 1))
def test_an_id_is_a_uuid_version_7_of_its_time(at_ms: int, node: int) -> None:
    made = HybridClock(lambda: at_ms, node).next()
    assert uuid.UUID(bytes=made).version == 7
    assert uuid.UUID(bytes=made).variant == uuid.RFC_4122
    assert millis(made) == at_ms
    assert floor_id(at_ms) < made < floor_id(at_ms + 1)


@given(st.integers(min_value=0, max_value=2**47), st.integers(min_value=0, max_value=2**47))
def test_ids_continue_after_what_a_restart_finds(before_ms: int, after_ms: int) -> None:
    found = HybridClock(lambda: before_ms, node=1).next()
    clock = HybridClock(lambda: after_ms, node=2)
    clock.observe(found)
    assert clock.next() > found
    assert clock.ahead_ms() == max(0, before_ms - after_ms)


def test_the_counter_runs_into_the_next_millisecond() -> None:
    clock = HybridClock(lambda: 1000, node=0)
    full = int.from_bytes(clock.next(), "big") | (0xFFF << 64) | (0x3FFF << 48)
    clock.observe(MessageId(full.to_bytes(16, "big")))
    assert millis(clock.next()) == 1001


def test_newest_is_the_last_one_made_and_the_first_id_is_before_all() -> None:
    clock = HybridClock(lambda: 5, node=3)
    assert clock.next() == clock.newest > FIRST_ID


@given(made=st.integers(0, 3), nodes=st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_newest_is_the_greatest_one_observed_with_the_node_that_made_it(
    made: int, nodes: tuple[int, int]
) -> None:
    own, other = (HybridClock(lambda: 5, node=node) for node in nodes)
    ids = [FIRST_ID, *(own.next() for _ in range(made))]
    observed = other.next()
    own.observe(observed)
    own.observe(FIRST_ID)
    assert own.newest == max(*ids, observed)


def test_a_conversation_has_one_name_from_either_side() -> None:
    alice, bob, carol = UserId(b"a" * 16), UserId(b"b" * 16), UserId(b"c" * 16)
    assert direct_conversation(alice, bob) == direct_conversation(bob, alice)
    assert direct_conversation(alice, bob) != direct_conversation(alice, carol)


def test_a_device_is_named_after_its_key() -> None:
    assert device_id(b"k" * 32) != device_id(b"K" * 32)
    assert len(device_id(b"k" * 32)) == 16
