"""The way from the driver's thread to trio: bounded, safe to cancel, one wake-up for many answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trio
import trio.testing
from cassandra.query import SimpleStatement

from chappe.stores.cassandra.bridge import Answer, Bridge, Failure
from chappe.stores.cassandra.session import READ

from .cluster import Gate

ASK = SimpleStatement("SELECT cluster_name FROM system.local", is_idempotent=True)


class Counting(Bridge):
    """Counts how often trio was woken for answers."""

    wakeups = 0

    def _take(self) -> None:
        self.wakeups += 1
        super()._take()


@pytest.fixture
def gate(session: Any) -> Iterator[Gate]:
    gate = Gate(session)
    yield gate
    gate.open()


def make(gate: Gate, requests: int = 10, seen: list[Any] | None = None) -> Counting:
    seen = [] if seen is None else seen
    return Counting(
        gate, requests=requests, observe=lambda *what: seen.append(what), warn=lambda *what: seen.append(what)
    )


async def test_several_statements_are_answered_in_order(gate: Gate) -> None:
    seen: list[Any] = []
    bridge = make(gate, requests=2, seen=seen)
    asked = [SimpleStatement(f"SELECT (int){n} FROM system.local") for n in range(5)]
    results = await bridge.ask("look", asked, READ)
    assert [result.rows[0][0] for result in results if isinstance(result, Answer)] == [0, 1, 2, 3, 4]
    assert [(name, outcome) for name, outcome, _ in seen] == [("look", "ok")] * 5
    assert bridge.in_flight == 0
    assert await bridge.ask("nothing", [], READ) == []


async def test_an_error_stands_in_its_place(gate: Gate) -> None:
    seen: list[Any] = []
    bridge = make(gate, seen=seen)
    one, other = await bridge.ask("look", [ASK, SimpleStatement("SELECT nothing FROM nowhere.at_all")], READ)
    assert isinstance(one, Answer)
    assert isinstance(other, Failure)
    assert not other.is_refused
    assert sorted(outcome for _, outcome, _ in seen) == ["invalid", "ok"]


async def test_no_more_requests_than_slots_are_with_the_driver(gate: Gate) -> None:
    bridge = make(gate, requests=3)
    gate.is_shut = True
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(bridge.ask, "look", [ASK], READ)
        await trio.testing.wait_all_tasks_blocked()
        gate.until_waiting(3)
        assert (gate.sent, bridge.in_flight) == (3, 3)
        gate.open()
    assert (gate.sent, bridge.in_flight) == (10, 0)


async def test_a_cancelled_request_keeps_its_slot_until_the_driver_is_done(gate: Gate) -> None:
    bridge = make(gate, requests=1)
    gate.is_shut = True
    with trio.CancelScope() as scope:
        scope.cancel()
        await bridge.ask("look", [ASK], READ)
    assert scope.cancelled_caught
    assert bridge.in_flight == 1
    gate.until_waiting(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bridge.ask, "look", [ASK], READ)
        await trio.testing.wait_all_tasks_blocked()
        assert gate.sent == 1
        gate.open()
    assert (gate.sent, bridge.in_flight) == (2, 0)


async def test_cancelled_while_it_waits_for_a_slot_nothing_more_is_sent(gate: Gate) -> None:
    bridge = make(gate, requests=1)
    gate.is_shut = True
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bridge.ask, "look", [ASK, ASK, ASK], READ)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert gate.sent == 1
    gate.until_waiting(1)
    gate.open()
    await bridge.drain()
    assert gate.sent == 1


async def test_a_request_that_cannot_be_sent_gives_its_slot_back(gate: Gate) -> None:
    bridge = make(gate, requests=1)
    with pytest.raises(ValueError, match="nobody"):
        await bridge.ask("look", [ASK], "nobody knows this profile")
    assert bridge.in_flight == 0


async def test_two_answers_to_one_request_count_once(gate: Gate) -> None:
    seen: list[Any] = []
    bridge = make(gate, requests=2, seen=seen)
    gate.is_shut = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bridge.ask, "look", [ASK], READ)
        await trio.testing.wait_all_tasks_blocked()
        (answer,) = gate.until_waiting(1)
        answer()  # as when a speculative request and the first one both come back
        gate.open()
    assert len(seen) == 1
    assert bridge.in_flight == 0


async def test_ten_thousand_answers_come_with_few_wakeups(gate: Gate) -> None:
    bridge = make(gate, requests=512)
    done = 0

    async def ask() -> None:
        nonlocal done
        results = await bridge.ask("look", [ASK] * 100, READ)
        done += sum(isinstance(result, Answer) for result in results)

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(ask)
    assert done == 10_000
    assert bridge.in_flight == 0
    assert bridge.wakeups < 10_000


async def test_answers_that_came_together_are_taken_with_one_wakeup(gate: Gate) -> None:
    bridge = make(gate, requests=100)
    gate.is_shut = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bridge.ask, "look", [ASK] * 100, READ)
        await trio.testing.wait_all_tasks_blocked()
        gate.until_waiting(100)
        gate.open()
    assert bridge.wakeups == 1


def test_answers_after_the_run_has_ended_are_dropped(gate: Gate) -> None:
    gate.is_shut = True

    async def main() -> None:
        with trio.move_on_after(0):
            await make(gate).ask("look", [ASK] * 3, READ)

    trio.run(main)
    raised: list[Exception] = []

    def late() -> None:  # in the driver an error of a callback would be written to the log, and no more
        try:
            for answer in gate.until_waiting(3):
                answer()
        except Exception as error:  # noqa: BLE001 - whatever it is
            raised.append(error)

    thread = threading.Thread(target=late)
    thread.start()
    thread.join()
    assert raised == []
