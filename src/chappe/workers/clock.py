"""Is this node's wall clock right? A permanent child asks the clock that all nodes have in common, the database's.

Message ids come from the wall clock, and the completeness rule holds only while any two nodes' clocks are within S of
each other (docs/architecture.md). `app.py` shows what is known here in `/readyz` and as a gauge; setting the clock is
for whoever runs the machine. How an offset comes from questions and answers is in `domain/skew.py`.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from ..domain.skew import Offset, best, offset
from ..errors import StoreUnavailable

# A step of the clock is seen before a balancer has asked twice, for four small round trips. A clock that runs wrong
# by a bad 100 ppm needs more than an hour to be S away.
EVERY_S: Final = 10.0
QUESTIONS: Final = 4


class ClockCheck:
    """The last known offset. It outlives its task, and a database that is away or too slow to say anything."""

    def __init__(
        self, reference: Callable[[], Awaitable[int | None]], now_ms: Callable[[], int], most_s: float
    ) -> None:
        self._reference = reference
        self._now_ms = now_ms
        self._most_ms = most_s * 1000
        self._known: Offset | None = None
        self._has_looked = False

    @property
    def ahead_s(self) -> float:
        """By how much this node's clock is ahead of the database's, in seconds; NaN when nothing is known."""
        return math.nan if self._known is None else self._known.ahead_ms / 1000

    def problem(self) -> str | None:
        """Return what is wrong with the clock, in one sentence; None when nothing is known to be."""
        if not self._has_looked:
            return "The wall clock was not held against the database's yet; wait a moment."
        if self._known is None or abs(self._known.ahead_ms) <= self._most_ms:
            return None
        off_s, where = abs(self.ahead_s), "ahead of" if self.ahead_s > 0 else "behind"
        return (
            f"The wall clock is {off_s:.1f} s {where} the database's, and timing.skew_s allows"
            f" {self._most_ms / 1000:g} s; set it right."
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look now, acknowledge, and look again for ever; a database without a clock of its own is asked once."""
        has_clock = await self._look()
        self._has_looked = True
        task_status.started()
        while has_clock:
            await trio.sleep(EVERY_S)
            has_clock = await self._look()
        await trio.sleep_forever()

    async def _look(self) -> bool:
        """Ask a few times and keep the best answer. Return False when there is no clock to ask."""
        found = []
        try:
            for _ in range(QUESTIONS):
                asked_ms, asked = self._now_ms(), trio.current_time()
                theirs_ms = await self._reference()
                if theirs_ms is None:
                    return False
                # By the clock that nobody sets: the other one may be set right while the answer is on its way.
                found.append(offset(asked_ms, (trio.current_time() - asked) * 1000, theirs_ms))
        except StoreUnavailable:
            pass  # `/readyz` says so by itself; the answers until here count
        self._known = best(found, self._most_ms) or self._known
        return True
