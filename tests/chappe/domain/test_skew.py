"""What answers say of two clocks: whatever the network did, the truth is within what is claimed."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from chappe.domain.skew import Offset, best, offset

AHEAD_MS = st.floats(-1e7, 1e7)
WAY_MS = st.floats(0, 1e4)


@given(AHEAD_MS, WAY_MS, WAY_MS)
@example(-300.0, 0.0, 800.0)
@example(300.0, 800.0, 0.0)
def test_the_truth_is_never_further_away_than_half_the_round_trip(
    ahead: float, out: float, back: float
) -> None:
    theirs_at_start = 1.7e12
    said = offset(theirs_at_start + ahead, out + back, theirs_at_start + out)
    assert abs(said.ahead_ms - ahead) <= said.unsure_ms + 0.01  # what floats of this size round


def test_ways_of_equal_length_say_it_exactly() -> None:
    assert offset(10_000, 40, 9_020) == Offset(1_000, 20)


def test_the_quickest_answer_counts() -> None:
    sure, unsure = Offset(7, 1), Offset(900, 400)
    assert best([unsure, sure, unsure], 500) == sure


def test_what_is_too_unsure_says_nothing() -> None:
    assert best([], 500) is None
    assert best([Offset(0, 500.1)], 500) is None
    assert best([Offset(0, 500)], 500) == Offset(0, 500)


@given(st.lists(st.tuples(WAY_MS, WAY_MS), min_size=1, max_size=4))
def test_a_clock_that_is_right_is_never_blamed(ways: list[tuple[float, float]]) -> None:
    found = best([offset(1e6, out + back, 1e6 + out) for out, back in ways], 500)
    assert found is None or abs(found.ahead_ms) <= 500 + 1e-6


@given(AHEAD_MS.filter(lambda ahead: abs(ahead) > 1_001), st.tuples(st.floats(0, 500), st.floats(0, 500)))
def test_a_clock_that_is_off_by_twice_as_much_is_never_overlooked(
    ahead: float, ways: tuple[float, float]
) -> None:
    out, back = ways
    found = best([offset(1e6 + ahead, out + back, 1e6 + out)], 500)
    assert found is not None
    assert abs(found.ahead_ms) > 500
