"""Availability, recovery and latencies, over histories that are made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.analysis.figures import by_second, figures, quantiles, recovery_s, share_answered
from chaos.analysis.sends import Send, sends
from chappe.history import Finish, History, Invoke, Page, Row, Shown, Start, Tick

START = Start(user="a", device="a1", at_ms=0)


def invoke(text: str, at_ms: int) -> Invoke:
    return Invoke(conv="c", to="b", text=text, at_ms=at_ms)


def tick(text: str, at_ms: int, state: str = "sent") -> Tick:
    return Tick(conv="c", text=text, state=state, id="01", at_ms=at_ms)  # type: ignore[arg-type]


def test_a_send_is_answered_when_its_own_device_hears_of_it() -> None:
    alice = History("alice", (START, invoke("one", 100), tick("one", 150), tick("one", 400, "delivered")))
    other = History("other", (START, tick("one", 120)))
    bob = History("bob", (START, Shown(conv="c", id="01", device="a1", text="one", at_ms=170)))
    assert sends([alice, other, bob]) == [Send("one", 100, 150, (170,))]


def test_what_failed_or_was_never_told_is_not_answered() -> None:
    alice = History("alice", (START, invoke("one", 100), tick("one", 150, "failed"), invoke("two", 200)))
    assert [send.sent_ms for send in sends([alice])] == [None, None]


def test_after_a_crash_the_page_tells_what_was_stored() -> None:
    page = Page(conv="c", rows=(Row(text="one", device="a1", id="01"), Row(text="two", device="a1")))
    again = Start(user="a", device="a1", pages=(page,), at_ms=900)
    alice = History(
        "alice", (START, invoke("one", 100), invoke("two", 200), again, Finish(pages=(), at_ms=999))
    )
    assert [send.sent_ms for send in sends([alice])] == [900, None]


def sent(*pairs: tuple[int, int | None]) -> list[Send]:
    """Return sends that began at one time and were answered after some milliseconds, or never."""
    return [
        Send(str(number), at_ms, None if took_ms is None else at_ms + took_ms, ())
        for number, (at_ms, took_ms) in enumerate(pairs)
    ]


def test_availability_is_by_second_and_in_time() -> None:
    seconds = by_second(sent((1000, 10), (1999, 2001), (3500, None), (3600, 2000)), within_s=2.0)
    assert [(one.at_ms, one.begun, one.answered) for one in seconds] == [
        (1000, 2, 1),
        (2000, 0, 0),
        (3000, 2, 1),
    ]
    assert by_second([], 2.0) == ()
    assert share_answered([], 2.0) is None


@pytest.mark.parametrize(
    ("pairs", "recovery"),
    [
        ([], 0.0),
        ([(9_000, None), (10_000, 5)], 0.0),  # what went wrong in the fault does not count
        ([(10_000, 5), (12_500, 9_000), (13_000, 5)], 2.5),
        ([(11_000, 9_000), (12_000, 5), (14_000, 9_000), (15_000, 5)], 4.0),  # back, but not for good
        ([(10_000, 5), (12_000, None)], None),
    ],
)
def test_recovery_is_when_sends_are_answered_for_good(
    pairs: list[tuple[int, int | None]], recovery: float | None
) -> None:
    assert recovery_s(sent(*pairs), 10_000, within_s=2.0) == recovery


def test_figures_put_it_together() -> None:
    found = figures(sent((1000, 10), (2000, 30), (2500, None), (3000, 20)), (2000, 3000), within_s=1.0)
    assert (found.sends, found.during, found.recovery_s) == (4, 0.5, 0.0)
    assert found.to_sent is not None
    assert (found.to_sent.count, found.to_sent.p50_ms, found.to_sent.max_ms) == (3, 20, 30)
    assert found.to_shown is None


@given(st.lists(st.integers(0, 10_000), min_size=1))
def test_quantiles_are_values_and_in_order(values: list[int]) -> None:
    found = quantiles(values)
    assert found is not None
    assert found.p50_ms <= found.p99_ms <= found.max_ms == max(values)
    assert {found.p50_ms, found.p99_ms} <= set(values)
    assert sum(value <= found.p50_ms for value in values) * 2 >= len(values)


@given(st.lists(st.tuples(st.integers(0, 20_000), st.none() | st.integers(0, 5_000))))
def test_no_send_is_counted_twice_or_forgotten(pairs: list[tuple[int, int | None]]) -> None:
    seconds = by_second(sent(*pairs), within_s=1.0)
    assert sum(second.begun for second in seconds) == len(pairs)
    assert sum(second.answered for second in seconds) == sum(
        took is not None and took <= 1000 for _, took in pairs
    )
    assert [second.at_ms for second in seconds] == sorted({second.at_ms for second in seconds})
