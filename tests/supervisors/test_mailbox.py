"""Mailboxes and timers without an event loop: order, bounds, counts; a model plays any sequence of operations."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from supervisors import BadSpec
from supervisors.calls import Call
from supervisors.mailbox import Mailbox, MailboxFull, MailboxSpec, Message, Overflow
from supervisors.timers import SPARE, Timers


async def nothing() -> None: ...


def message(name: object, *, is_pinned: bool = False, call: Call[Any] | None = None) -> Message:
    return Message(nothing, (name,), call, is_pinned=is_pinned)


def drain(mailbox: Mailbox) -> list[object]:
    taken = []
    while (found := mailbox.take()) is not None:
        taken.append(found.args[0])
    return taken


def filled(overflow: Overflow, capacity: int = 2) -> Mailbox:
    mailbox = Mailbox(MailboxSpec(capacity, overflow), "a/server")
    for name in range(capacity):
        mailbox.offer(message(name))
    return mailbox


@pytest.mark.parametrize("capacity", [0, -1, 1.5, True, "many"])
def test_a_mailbox_has_room_for_one_or_more(capacity: Any) -> None:
    with pytest.raises(BadSpec, match="room for 1 message or more"):
        MailboxSpec(capacity)


def test_a_policy_is_one_of_the_enum() -> None:
    with pytest.raises(BadSpec, match="overflow"):
        MailboxSpec(1, cast("Overflow", "drop"))


def test_rule_26_reject_raises_at_the_sender_and_names_the_server() -> None:
    mailbox = filled(Overflow.REJECT)
    with pytest.raises(MailboxFull, match=r"a/server is full \(2 messages\)"):
        mailbox.offer(message("x"))
    assert (drain(mailbox), mailbox.dropped) == ([0, 1], 1)


def test_rule_26_drop_newest_gives_back_what_came() -> None:
    mailbox, late = filled(Overflow.DROP_NEWEST), message("x")
    assert mailbox.offer(late) is late
    assert (drain(mailbox), mailbox.dropped) == ([0, 1], 1)


def test_rule_26_drop_oldest_spares_what_the_server_asked_for() -> None:
    mailbox = Mailbox(MailboxSpec(2, Overflow.DROP_OLDEST), "a")
    mailbox.push(message("timer", is_pinned=True))
    old, late = message("old"), message("late")
    assert mailbox.offer(old) is None
    assert mailbox.offer(late) is old
    assert drain(mailbox) == ["timer", "late"]
    for name in "xyz":
        mailbox.push(message(name, is_pinned=True))
    assert mailbox.offer(late) is late
    assert drain(mailbox) == ["x", "y", "z"]
    assert (mailbox.dropped, mailbox.high_water) == (2, 3)


def test_who_lines_up_gets_in_before_who_comes_later() -> None:
    mailbox = filled(Overflow.REJECT)
    first, second = message("first"), message("second")
    mailbox.line_up(first)
    mailbox.line_up(second)
    assert (mailbox.depth, mailbox.waiting) == (2, 2)
    assert repr(mailbox) == "<Mailbox of a/server: 2 of 2, 2 waiting>"
    mailbox.take()
    with pytest.raises(MailboxFull):
        mailbox.offer(message("late"))
    assert not mailbox.withdraw(first)
    assert mailbox.withdraw(second)
    assert not mailbox.withdraw(second)
    assert drain(mailbox) == [1, "first"]


def test_a_closed_mailbox_counts_the_lost() -> None:
    mailbox = filled(Overflow.REJECT)
    mailbox.push(message("timer", is_pinned=True))
    mailbox.line_up(message("call"))
    mailbox.close()
    mailbox.offer(message("late"))
    mailbox.line_up(message("late"))
    mailbox.push(message("late", is_pinned=True))
    assert (mailbox.depth, mailbox.waiting, mailbox.lost, mailbox.take()) == (0, 0, 4, None)


async def test_the_reader_waits_for_a_message_a_wake_or_a_time(autojump_clock: MockClock) -> None:
    mailbox = Mailbox(MailboxSpec(), "a")
    await mailbox.arrival(3.0)
    assert trio.current_time() == 3
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mailbox.arrival)
        await trio.testing.wait_all_tasks_blocked()
        mailbox.wake()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mailbox.arrival)
        await trio.testing.wait_all_tasks_blocked()
        mailbox.offer(message("x"))
    await mailbox.arrival()
    assert drain(mailbox) == ["x"]
    assert trio.current_time() == 3


OPERATIONS = ["offer", "line_up", "push", "take", "withdraw"]


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 4), st.sampled_from(Overflow), st.lists(st.sampled_from(OPERATIONS), max_size=60))
def test_a_mailbox_keeps_its_word(capacity: int, overflow: Overflow, script: list[str]) -> None:
    """What is taken is what got in and was not dropped, in order; the bound holds for all but what was pushed."""
    mailbox = Mailbox(MailboxSpec(capacity, overflow), "a")
    inside: list[Message] = []
    line: list[Message] = []
    refused = most = 0
    for step, verb in enumerate(script):
        new = message(step, is_pinned=verb == "push")
        if verb == "offer" and len(inside) >= capacity:
            refused += 1
            loose = [item for item in inside if not item.is_pinned]
            if overflow is Overflow.REJECT:
                with pytest.raises(MailboxFull):
                    mailbox.offer(new)
            elif overflow is Overflow.DROP_OLDEST and loose:
                assert mailbox.offer(new) is loose[0]
                inside.remove(loose[0])
                inside.append(new)
            else:
                assert mailbox.offer(new) is new
        elif verb == "line_up" and len(inside) >= capacity:
            mailbox.line_up(new)
            line.append(new)
        elif verb in {"offer", "line_up", "push"}:
            assert getattr(mailbox, verb)(new) is None
            inside.append(new)
        elif verb == "take":
            assert mailbox.take() is (inside.pop(0) if inside else None)
            if line and len(inside) < capacity:
                inside.append(line.pop(0))
        elif line:
            assert mailbox.withdraw(line.pop(len(line) // 2))
        most = max(most, len(inside))
        assert (mailbox.depth, mailbox.waiting) == (len(inside), len(line))
        assert len([item for item in inside if not item.is_pinned]) <= capacity
    assert (mailbox.dropped, mailbox.high_water) == (refused, most)
    assert drain(mailbox) == [item.args[0] for item in [*inside, *line]]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["set", "cancel", "take"]), st.integers(0, 20)), max_size=80),
    st.integers(0, 2),
)
def test_timers_come_once_in_time_and_in_order(script: list[tuple[str, int]], seed: int) -> None:
    timers, pending, now = Timers(), dict[int, float](), 0.0
    handles = {}
    for step, (verb, number) in enumerate(script):
        if verb == "set":
            pending[step] = now + number
            handles[step] = timers.set(now + number, step)
        elif verb == "cancel" and handles:
            chosen = list(handles)[(number + seed) % len(handles)]
            assert handles[chosen].is_pending == (chosen in pending)
            assert handles[chosen].cancel() == (pending.pop(chosen, None) is not None)
        elif verb == "take":
            now += number / 4
            due = sorted((due_s, key) for key, due_s in pending.items() if due_s <= now)
            assert timers.take_due(now) == [key for _, key in due]
            for _, key in due:
                del pending[key]
        assert len(timers) == len(pending)
        assert timers.next_s <= min(pending.values(), default=math.inf)


def test_cancelled_timers_do_not_pile_up() -> None:
    timers = Timers()
    kept = timers.set(1.0, "kept")
    for _ in range(1_000):
        timers.set(3_600.0, "never").cancel()
    assert len(timers._heap) <= 2 * SPARE
    assert timers.take_due(2.0) == ["kept"]
    assert not kept.cancel()
    timers.set(1.0, "x")
    timers.clear()
    assert (len(timers), timers.next_s) == (0, math.inf)
