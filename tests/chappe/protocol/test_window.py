"""The send window against a model that remembers everything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.protocol.codes import CloseCode, ProtocolError
from chappe.protocol.window import SendWindow


def test_numbers_begin_at_one() -> None:
    window = SendWindow(10, 1000)
    assert window.next_n == 1
    assert [window.sent(5, 0.0), window.sent(5, 0.0)] == [1, 2]
    assert window.next_n == 3


def test_full_in_events() -> None:
    window = SendWindow(2, 1000)
    window.sent(1, 0.0)
    assert window.has_room
    window.sent(1, 0.0)
    assert not window.has_room
    window.ack(1, 0.0)
    assert window.has_room


def test_full_in_bytes_and_one_event_may_reach_over() -> None:
    window = SendWindow(100, 1000)
    window.sent(999, 0.0)
    assert window.has_room
    window.sent(5000, 0.0)
    assert not window.has_room
    window.ack(1, 0.0)
    assert not window.has_room
    window.ack(2, 0.0)
    assert (window.events, window.size_bytes, window.has_room) == (0, 0, True)


def test_an_ack_for_what_was_never_sent() -> None:
    window = SendWindow(10, 1000)
    window.sent(1, 0.0)
    with pytest.raises(ProtocolError) as caught:
        window.ack(2, 0.0)
    assert caught.value.close is CloseCode.BAD_FRAME
    assert window.events == 1


def test_stalled_since_the_first_event_or_the_last_progress() -> None:
    window = SendWindow(10, 1000)
    assert window.stalled_since(5.0) == 5.0
    window.sent(1, 10.0)
    window.sent(1, 20.0)
    assert window.stalled_since(30.0) == 10.0
    window.ack(1, 40.0)
    window.ack(1, 50.0)  # old news is no progress
    assert window.stalled_since(60.0) == 40.0
    window.ack(2, 70.0)
    assert window.stalled_since(80.0) == 80.0
    window.sent(1, 90.0)
    assert window.stalled_since(95.0) == 90.0


@given(
    max_events=st.integers(1, 8),
    max_bytes=st.integers(1, 100),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 40))),
)
def test_against_the_model(max_events: int, max_bytes: int, steps: list[tuple[bool, int]]) -> None:
    window = SendWindow(max_events, max_bytes)
    sizes: list[int] = []
    acked = 0
    for now, (is_ack, number) in enumerate(steps):
        if not is_ack:
            sizes.append(number)
            assert window.sent(number, now) == len(sizes)
        elif number > len(sizes):
            with pytest.raises(ProtocolError):
                window.ack(number, now)
        else:
            window.ack(number, now)
            acked = max(acked, number)
        waiting = sizes[acked:]
        assert (window.events, window.size_bytes) == (len(waiting), sum(waiting))
        assert window.has_room == (len(waiting) < max_events and sum(waiting) < max_bytes)
        assert window.next_n == len(sizes) + 1
        assert (window.stalled_since(1e9) == 1e9) == (not waiting)
