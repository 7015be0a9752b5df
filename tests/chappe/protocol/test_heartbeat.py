"""The heartbeat's few rules."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chappe.protocol.heartbeat import Heartbeat


def test_a_ping_after_a_silence_and_only_one() -> None:
    heart = Heartbeat(25.0, 10.0, now=100.0)
    assert heart.next_at() == 125.0
    assert heart.due(124.9) is None
    assert heart.due(125.0) == 1
    assert heart.due(130.0) is None
    assert heart.next_at() == 135.0


def test_dead_when_nothing_came_in_time() -> None:
    heart = Heartbeat(25.0, 10.0, now=0.0)
    assert not heart.is_dead(1000.0)  # nobody asked it anything yet
    heart.due(25.0)
    assert not heart.is_dead(34.9)
    assert heart.is_dead(35.0)


def test_any_sign_of_life_counts() -> None:
    heart = Heartbeat(25.0, 10.0, now=0.0)
    heart.due(25.0)
    heart.heard(34.0)
    assert not heart.is_dead(40.0)
    assert heart.next_at() == 59.0
    assert heart.due(58.9) is None
    assert heart.due(59.0) == 2


def test_a_connection_that_talks_sends_no_pings() -> None:
    heart = Heartbeat(25.0, 10.0, now=0.0)
    for now in range(0, 1000, 24):
        heart.heard(now)
        assert heart.due(now + 24) is None


@given(st.lists(st.floats(0.1, 60.0), min_size=1, max_size=40))
def test_waking_at_next_at_is_enough(gaps: list[float]) -> None:
    """Whoever sleeps until `next_at` pings 25 s after a sign of life and gives up 10 s after that."""
    heart = Heartbeat(25.0, 10.0, now=0.0)
    heard = 0.0
    for gap in gaps:
        signs_again = heard + gap
        while (now := heart.next_at()) < signs_again:
            if heart.is_dead(now):
                assert now == heard + 25.0 + 10.0
                return
            assert heart.due(now) is not None
            assert now == heard + 25.0
        heard = signs_again
        heart.heard(heard)
