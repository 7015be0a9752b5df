"""The clock check: what it knows after good answers, slow ones and none; and against a real PostgreSQL."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import trio
from trio.testing import MockClock

from chappe.errors import StoreUnavailable
from chappe.stores.sql.engine import migrate_database, open_database
from chappe.stores.sql.users import SqlUserStore
from chappe.workers.clock import EVERY_S, QUESTIONS, ClockCheck
from tests.services import Databases, Services, services

__all__ = ["services"]  # a fixture: pytest finds it here


class Other:
    """Another machine's clock, in trio's time: behind ours by `behind_s`, and `way_s` away in each direction."""

    def __init__(self, behind_s: float = 0.0) -> None:
        self.behind_s = behind_s
        self.way_s = 0.001
        self.is_away = False
        self.asked = 0

    async def now_ms(self) -> int | None:
        self.asked += 1
        if self.is_away:
            raise StoreUnavailable("It is away.")
        await trio.sleep(self.way_s)
        theirs_ms = round((trio.current_time() - self.behind_s) * 1000)
        await trio.sleep(self.way_s)
        return theirs_ms


def ours_ms() -> int:
    return round(trio.current_time() * 1000)


async def looks(check: ClockCheck, times: int = 1) -> None:
    """Let it look so many times."""
    with trio.move_on_after(EVERY_S * (times - 0.5)):
        await check.run()


@pytest.mark.parametrize(
    ("behind_s", "says"),
    [(0.0, None), (0.45, None), (-0.45, None), (0.62, "0.6 s ahead of the"), (-90.0, "90.0 s behind the")],
)
async def test_what_is_off_by_more_than_s_is_a_problem(
    autojump_clock: MockClock, behind_s: float, says: str | None
) -> None:
    check = ClockCheck(Other(behind_s).now_ms, ours_ms, 0.5)
    await looks(check)
    assert check.ahead_s == pytest.approx(behind_s, abs=0.002)
    problem = check.problem()
    assert problem is None if says is None else says in (problem or "")


async def test_it_knows_before_it_acknowledges(autojump_clock: MockClock) -> None:
    check = ClockCheck(Other(60.0).now_ms, ours_ms, 0.5)
    assert "yet" in (check.problem() or "")
    async with trio.open_nursery() as nursery:
        await nursery.start(check.run)
        assert "set it right" in (check.problem() or "")
        nursery.cancel_scope.cancel()


async def test_a_clock_that_is_set_right_is_ready_again(autojump_clock: MockClock) -> None:
    other = Other(60.0)
    check = ClockCheck(other.now_ms, ours_ms, 0.5)
    await looks(check)
    other.behind_s = 0.0
    await looks(check)
    assert check.problem() is None


async def test_the_database_that_is_away_leaves_what_was_known(autojump_clock: MockClock) -> None:
    other = Other(60.0)
    check = ClockCheck(other.now_ms, ours_ms, 0.5)
    other.is_away = True
    await looks(check)
    assert math.isnan(check.ahead_s)
    assert check.problem() is None
    other.is_away = False
    await looks(check)
    other.behind_s, other.is_away = 0.0, True
    await looks(check, 3)
    assert check.ahead_s == pytest.approx(60.0, abs=0.002)
    assert other.asked == 1 + QUESTIONS + 3


async def test_an_answer_that_took_too_long_says_nothing(autojump_clock: MockClock) -> None:
    other = Other(0.0)
    check = ClockCheck(other.now_ms, ours_ms, 0.5)
    await looks(check)
    other.behind_s, other.way_s = 60.0, 0.51
    await looks(check, 2)
    assert check.problem() is None
    other.way_s = 0.49
    await looks(check)
    assert check.problem() is not None


async def test_a_database_without_a_clock_is_asked_once(autojump_clock: MockClock) -> None:
    asked = 0

    async def none() -> None:
        nonlocal asked
        asked += 1

    check = ClockCheck(none, ours_ms, 0.5)
    await looks(check, 5)
    assert asked == 1
    assert math.isnan(check.ahead_s)


@pytest.fixture(scope="session")
def databases(services: Services) -> Databases:
    return Databases(services("postgres").postgres.address["url"], migrate_database)


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    with databases.clone() as one:
        yield one


@pytest.fixture
async def users(url: str) -> AsyncIterator[SqlUserStore]:
    async with open_database(url) as database:
        yield SqlUserStore(database)


def wrong_by(seconds: float) -> Callable[[], int]:
    return lambda: time.time_ns() // 1_000_000 + round(seconds * 1000)


@pytest.mark.parametrize("off_s", [0.0, 30.0, -30.0])
async def test_against_postgresql(users: SqlUserStore, off_s: float) -> None:
    check = ClockCheck(
        users.now_ms, wrong_by(off_s), 5.0
    )  # as wide as a call may take: this machine may be busy
    async with trio.open_nursery() as nursery:
        await nursery.start(check.run)
        nursery.cancel_scope.cancel()
    assert check.ahead_s == pytest.approx(off_s, abs=5.0)
    problem = check.problem()
    assert (problem is None) == (off_s == 0.0), problem
