"""What became of every message, read off the histories of all devices.

`figures.py` makes availability and latencies of it. Times are UTC milliseconds as the devices wrote them down, all by
the clock of one machine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chappe.history import Finish, History, Invoke, Shown, Start, Tick


@dataclass(frozen=True, slots=True)
class Send:
    """One message: when it was begun, when its sender heard that it is stored, when other devices showed it."""

    text: str
    invoked_ms: int
    sent_ms: int | None
    shown_ms: tuple[int, ...]

    def is_answered(self, within_s: float) -> bool:
        """Whether the sender heard of it in time."""
        return self.sent_ms is not None and self.sent_ms - self.invoked_ms <= within_s * 1000


def sends(histories: Sequence[History]) -> list[Send]:
    """Return all messages, in the order in which they were begun."""
    shown: defaultdict[str, list[int]] = defaultdict(list)
    for history in histories:
        for _, one in history.each(Shown):
            shown[one.text].append(one.at_ms)
    found = []
    for history in histories:
        answers = dict(reversed(list(_answers(history))))  # the earliest of each wins
        for _, invoke in history.each(Invoke):
            sent_ms, shown_ms = answers.get(invoke.text), tuple(sorted(shown[invoke.text]))
            found.append(Send(invoke.text, invoke.at_ms, sent_ms, shown_ms))
    return sorted(found, key=lambda send: (send.invoked_ms, send.text))


def _answers(history: History) -> Iterator[tuple[str, int]]:
    """Yield what this device was told of its account's messages; after a crash the pages tell it too."""
    for record in history.records:
        if isinstance(record, Tick) and record.state in {"sent", "delivered", "read"}:
            yield record.text, record.at_ms
        elif isinstance(record, Start | Finish):
            for row in (row for page in record.pages for row in page.rows):
                if row.id is not None:
                    yield row.text, record.at_ms
