"""Timers of a server: messages that are due at a time.

A server keeps one `Timers` and moves what is due into its mailbox, before whatever comes later; no task waits for
a timer. Pure: the time is an argument, in seconds of `trio.current_time()`.
"""

from __future__ import annotations

import heapq
import math
from typing import Final

SPARE: Final = 16
"""Cancelled timers that may lie about before it is worth sweeping them out; beyond it, half of all may."""


class Timer:
    """One message to come. `cancel` it, or let it come; a timer that has come is in the mailbox for good."""

    __slots__ = ("_message", "_timers", "due_s")

    def __init__(self, timers: Timers, due_s: float, message: object) -> None:
        self.due_s = due_s
        self._message = message
        self._timers: Timers | None = timers

    @property
    def is_pending(self) -> bool:
        """Whether the message is still to come."""
        return self._timers is not None

    def cancel(self) -> bool:
        """Forget the message, and tell whether it was still to come. Without a checkpoint."""
        timers, self._timers = self._timers, None
        if timers is None:
            return False
        self._message = None
        timers._cancelled()
        return True


class Timers:
    """The timers of one server, soonest first; those due at the same time keep the order they were set in."""

    __slots__ = ("_count", "_heap", "_idle")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._idle = 0

    def __len__(self) -> int:
        return len(self._heap) - self._idle

    @property
    def next_s(self) -> float:
        """A time before which nothing is due; infinity when there is nothing."""
        return self._heap[0][0] if self._heap else math.inf

    def set(self, due_s: float, message: object) -> Timer:
        """Have a message come at `due_s`."""
        timer = Timer(self, due_s, message)
        heapq.heappush(self._heap, (due_s, self._count, timer))
        self._count += 1
        return timer

    def take_due(self, now_s: float) -> list[object]:
        """Take out the messages that are due, in order."""
        messages = []
        while self._heap and self._heap[0][0] <= now_s:
            timer = heapq.heappop(self._heap)[2]
            if timer._timers is None:
                self._idle -= 1
            else:
                messages.append(timer._message)
                timer._timers = timer._message = None
        return messages

    def clear(self) -> None:
        """Forget them all."""
        for _, _, timer in self._heap:
            timer._timers = timer._message = None
        self._heap.clear()
        self._idle = 0

    def _cancelled(self) -> None:
        self._idle += 1
        if self._idle > SPARE and self._idle * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].is_pending]
            heapq.heapify(self._heap)
            self._idle = 0
