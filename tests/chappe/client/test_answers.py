"""Answers are told after their questions, when those come soon enough; in the end everything is told once."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from chappe.client.answers import MOST_HELD, PATIENCE_S, RECENT_MS, Answers, may_come
from chappe.client.events import Event, MessageChanged, MessageReceived, ServerSuspected
from chappe.client.values import DeliveryState, Message
from chappe.ids import Cid, ConversationId, DeviceId, MessageId, UserId, floor_id

NOTHING: frozenset[MessageId] = frozenset()


def named(number: int) -> MessageId:
    return MessageId(number.to_bytes(16, "big"))


def message(number: int, question: int | None = None) -> Message:
    return Message(
        Cid(b"cid"), ConversationId(b"conv"), UserId(b"peer"), UserId(b"peer"), DeviceId(b"device"), mine=False,
        id=named(number), text="text", reply_to=None if question is None else named(question), at_ms=0,
        state=DeliveryState.SENT,
    )  # fmt: skip


def came(number: int, question: int | None = None) -> MessageReceived:
    return MessageReceived(message(number, question))


def test_what_answers_nothing_or_what_is_here_is_told_at_once() -> None:
    events: list[Event] = [came(1), ServerSuspected("of nothing"), came(3, 2)]
    answers = Answers()
    assert answers.in_order(events, NOTHING, 0) == events
    assert answers.deadline == math.inf


def test_an_answer_is_told_after_its_question() -> None:
    answers = Answers()
    assert answers.in_order([came(2, 1), came(9)], {named(2)}, 0) == [came(9)]
    assert answers.in_order([came(1), came(10)], NOTHING, 1) == [came(1), came(2, 1), came(10)]
    assert answers.deadline == math.inf


def test_an_answer_to_an_answer_waits_too() -> None:
    answers = Answers()
    assert answers.in_order([came(2, 1)], {named(2)}, 0) == []
    assert answers.in_order([came(3, 2)], NOTHING, 1) == []  # stored, but not told
    assert answers.in_order([came(1)], NOTHING, 2) == [came(1), came(2, 1), came(3, 2)]


def test_an_own_question_is_there_when_it_has_its_id() -> None:
    answers = Answers()
    sent = MessageChanged(message(1))
    assert answers.in_order([came(2, 1)], {named(2)}, 0) == []
    assert answers.in_order([sent], NOTHING, 1) == [sent, came(2, 1)]


def test_a_question_that_does_not_come_is_not_waited_for_long() -> None:
    answers = Answers()
    answers.in_order([came(2, 1)], {named(2)}, 10)
    answers.in_order([came(4, 3), came(5, 1)], {named(4), named(5)}, 11)
    assert answers.deadline == 10 + PATIENCE_S
    assert answers.overdue(answers.deadline - 0.1) == []
    assert answers.overdue(answers.deadline) == [came(2, 1), came(5, 1)]
    assert answers.deadline == 11 + PATIENCE_S
    assert answers.overdue(math.inf) == [came(4, 3)]
    assert answers.overdue(math.inf) == []


def test_so_many_are_held_and_no_more_and_a_long_chain_is_no_deep_one() -> None:
    answers = Answers()
    chain = [came(number + 1, number) for number in range(1, 2 * MOST_HELD)]
    assert len(answers.in_order(chain, {named(2)}, 0)) == len(chain) - MOST_HELD
    assert answers.in_order([came(1)], NOTHING, 1) == [came(1), *chain[:MOST_HELD]]


def test_only_a_question_of_just_now_can_be_on_its_way() -> None:
    now = floor_id(10_000_000)
    assert may_come(floor_id(10_000_000 - RECENT_MS + 1), now)
    assert not may_come(floor_id(10_000_000 - RECENT_MS), now)
    assert not may_come(now, now)
    assert not may_come(floor_id(10_000_001), now)


@given(st.data())
def test_any_order_of_arrival(data: st.DataObject) -> None:
    """Each message answers an earlier one or none; whatever arrives when, each is told once, after its question."""
    questions = [
        data.draw(st.none() | st.integers(0, number - 1)) if number else None for number in range(12)
    ]
    arrival = data.draw(st.permutations(range(12)))
    answers, told, here = Answers(), list[Event](), set[int]()
    while arrival:
        batch = [arrival.pop() for _ in range(data.draw(st.integers(1, len(arrival))))]
        early = set()
        for number in batch:
            here.add(number)
            if questions[number] not in here | {None}:
                early.add(named(number))
        told += answers.in_order([came(number, questions[number]) for number in batch], early, 0)
    assert answers.deadline == math.inf
    order = [event.message.id for event in told if isinstance(event, MessageReceived)]
    assert sorted(order, key=str) == sorted(map(named, range(12)), key=str)
    for number, question in enumerate(questions):
        assert question is None or order.index(named(question)) < order.index(named(number))
