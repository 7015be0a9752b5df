"""The leaky bucket: bursts, the rate over time, and waits that are long enough."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.protocol.buckets import LeakyBucket


def test_a_burst_then_the_rate() -> None:
    bucket = LeakyBucket(burst=3, per_s=10)
    assert [bucket.take(50.0) for _ in range(4)] == [0.0, 0.0, 0.0, pytest.approx(0.1)]
    assert bucket.take(50.05) == pytest.approx(0.05)
    assert bucket.take(50.1) == 0.0


def test_what_was_refused_costs_nothing() -> None:
    bucket = LeakyBucket(burst=1, per_s=1)
    bucket.take(0.0)
    for _ in range(100):
        assert bucket.take(0.5) == pytest.approx(0.5)
    assert bucket.take(1.0) == 0.0


def test_amounts() -> None:
    bucket = LeakyBucket(burst=10, per_s=1)
    assert bucket.take(0.0, 8) == 0.0
    assert bucket.take(0.0, 5) == pytest.approx(3.0)
    assert bucket.take(0.0, 2) == 0.0
    with pytest.raises(ValueError, match="No more than 10"):
        bucket.take(1000.0, 11)


@pytest.mark.parametrize(("burst", "per_s"), [(0, 1), (1, 0), (-1, 1), (1, -1)])
def test_a_bucket_that_could_never_let_anything_through(burst: float, per_s: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        LeakyBucket(burst, per_s)


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    bucket = LeakyBucket(burst=1, per_s=1)
    bucket.take(100.0)
    assert bucket.take(50.0) == pytest.approx(1.0)
    assert bucket.take(101.0) == 0.0


@given(
    burst=st.integers(1, 20),
    per_s=st.floats(0.1, 1000),
    steps=st.lists(st.tuples(st.floats(0, 10), st.integers(1, 20)), max_size=60),
)
def test_never_more_than_burst_and_rate_and_waiting_is_enough(
    burst: int, per_s: float, steps: list[tuple[float, int]]
) -> None:
    bucket = LeakyBucket(burst, per_s)
    began = now = 1_000_000.0
    taken = 0
    for gap, amount in steps:
        now += gap
        wanted = min(amount, burst)
        wait = bucket.take(now, wanted)
        if wait:
            now += wait
            assert bucket.take(now, wanted) == 0.0
        taken += wanted
        assert taken <= burst + (now - began) * per_s + 1e-3
