"""Answers wait a moment for what they answer, so that an application hears of a conversation in its order.

What two gateways accept comes on two ways, and an answer may be faster than its question: by milliseconds on a busy
machine, by seconds when the bus between the gateways had lost the question and its inbox has to be read. Both are
stored when they come; only the event of the answer waits, and not for long, because some questions never come.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final

from ..ids import MessageId, millis
from .events import Event, MessageChanged, MessageReceived
from .values import Message

PATIENCE_S: Final = 5.0
RECENT_MS: Final = 150_000
"""Questions from before that have come, or never will: inboxes are read every two minutes."""

MOST_HELD: Final = 1_000
"""Of one connection; more are told out of order."""


def may_come(question: MessageId, answer: MessageId) -> bool:
    """Return whether a question that is not here can still be on its way."""
    return question < answer and millis(answer) - millis(question) < RECENT_MS


class Answers:
    """The events of answers that came first, on one connection."""

    def __init__(self) -> None:
        self._held: defaultdict[MessageId, list[MessageReceived]] = defaultdict(list)  # by question
        self._until: dict[MessageId, float] = {}  # soonest first, since all wait equally long
        self._untold: set[MessageId | None] = set()

    @property
    def deadline(self) -> float:
        """When the first of them has waited for long enough; never, when there is none."""
        return next(iter(self._until.values()), math.inf)

    def in_order(self, events: Iterable[Event], early: AbstractSet[MessageId], now: float) -> list[Event]:
        """Return the events but for the `early` answers, and after each question the answers that waited for it."""
        told: list[Event] = []
        for event in events:
            if isinstance(event, MessageReceived) and self._waits(event.message, early):
                self._hold(event, now)
            else:
                self._tell([event], told)
        return told

    def overdue(self, now: float) -> list[Event]:
        """Return the events of those that have waited for long enough, and of answers to them."""
        told: list[Event] = []
        while self._until and self.deadline <= now:
            self._tell(self._answers_to(next(iter(self._until))), told)
        return told

    def _waits(self, answer: Message, early: AbstractSet[MessageId]) -> bool:
        return (answer.id in early or answer.reply_to in self._untold) and len(self._untold) < MOST_HELD

    def _hold(self, event: MessageReceived, now: float) -> None:
        question = event.message.reply_to
        assert question is not None
        self._held[question].append(event)
        self._untold.add(event.message.id)
        self._until.setdefault(question, now + PATIENCE_S)

    def _tell(self, events: Iterable[Event], told: list[Event]) -> None:
        ready = deque(events)
        while ready:
            told.append(event := ready.popleft())
            # Changed: an own message may hear its answer before it hears that it was sent.
            if isinstance(event, MessageReceived | MessageChanged) and event.message.id is not None:
                ready.extend(self._answers_to(event.message.id))

    def _answers_to(self, question: MessageId) -> list[MessageReceived]:
        self._until.pop(question, None)
        answers = self._held.pop(question, [])
        self._untold.difference_update(answer.message.id for answer in answers)
        return answers
