"""The budget of a conversation: what one gateway lets into a partition is bounded, and memory is too."""

from __future__ import annotations

import pytest

from chappe.domain.partitions import Budgets
from chappe.ids import ConversationId
from chappe.settings import LimitSettings

ONE, OTHER, THIRD = (ConversationId(bytes([n]) * 16) for n in range(3))
TEN_DAYS_S = 10 * 86_400


def test_a_conversation_has_its_own_budget() -> None:
    budgets = Budgets(1_000, 10.0)
    assert budgets.take(ONE, 1_000, 0.0) == 0
    assert budgets.take(ONE, 50, 0.0) == pytest.approx(5.0)
    assert budgets.take(OTHER, 1_000, 0.0) == 0
    assert budgets.take(ONE, 50, 5.0) == 0


def test_what_fits_into_no_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="No more than"):
        Budgets(1_000, 10.0).take(ONE, 1_001, 0.0)


def test_the_longest_silent_is_forgotten() -> None:
    budgets = Budgets(1_000, 0.001, most=2)
    for conv in (ONE, OTHER, ONE, THIRD):
        budgets.take(conv, 500, 0.0)
    assert budgets.take(ONE, 1, 0.0) > 0, "it spoke last but one"
    assert budgets.take(OTHER, 1_000, 0.0) == 0


def test_ten_days_of_a_program_that_never_stops_stay_near_a_hundred_megabytes() -> None:
    limits = LimitSettings()
    budgets = Budgets(limits.conversation_bytes_burst, limits.conversation_bytes_per_s)
    size, taken, now = 64 * 1024, 0, 0.0
    while now < TEN_DAYS_S:
        wait = budgets.take(ONE, size, now)
        taken += 0 if wait else size
        now += wait
    assert 2 * 64 * 2**20 * 0.99 < taken < 2 * 64 * 2**20 * 1.01
