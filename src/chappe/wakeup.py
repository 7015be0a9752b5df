"""A flag that one task waits for: the cheapest way to tell a worker that there is something to do.

Writers, pumps and the log writer sleep on one each. Setting it twice wakes once, so a burst of work costs one
wake-up; a `trio.Event` would be made anew for each, and a memory channel would carry items that already wait elsewhere.
"""

from __future__ import annotations

import trio


class Wakeup:
    """Level-triggered, for one waiter. `set` may be called from anywhere on trio's thread."""

    __slots__ = ("_is_set", "_waiter")

    def __init__(self) -> None:
        self._is_set = False
        self._waiter: trio.lowlevel.Task | None = None

    def set(self) -> None:
        """Wake the waiter, now or when it next waits."""
        self._is_set = True
        if self._waiter is not None:
            trio.lowlevel.reschedule(self._waiter)
            self._waiter = None

    async def wait(self) -> None:
        """Return once the flag was set, and clear it. Cancelled: the flag stays as it is."""
        if self._is_set:
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            if self._waiter is not None:
                raise RuntimeError("a Wakeup has room for one waiter")
            self._waiter = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)
        self._is_set = False

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._waiter = None
        return trio.lowlevel.Abort.SUCCEEDED
