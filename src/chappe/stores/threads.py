"""The one gateway for blocking drivers: runs a function in a worker thread, a few at a time, each with a
deadline.

Every store owns one for each kind of work, so that a slow store fills its own threads and nobody else's. It
translates nothing: a deadline is `trio.TooSlowError` and the driver's errors pass through; the adapter names
them. Rejected: waiting for the thread when the caller is cancelled, because one hung disk would then hang
every connection that asked it something.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack, cast

import trio

# For `sys.setswitchinterval`, at start: a thread that comes back from its driver waits this long for a busy
# trio thread to let it in. With Python's own 5 ms, `bench/log_append.py --busy` had appends past their deadline.
SWITCH_INTERVAL_S: Final = 0.0005

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Threads:
    """At most `size` calls at once; each, with its wait for a thread, gets `deadline_s` seconds.

    `shared` is what several of these have to share beyond that, say the one writer of a file. A call asks for it
    once it has its place here: with `size` 1 on all of them, they take turns however many calls wait in each.
    """

    def __init__(self, size: int, deadline_s: float, shared: trio.CapacityLimiter | None = None) -> None:
        self._limiter = trio.CapacityLimiter(size)
        # trio asks for an object with two methods of a limiter, and says so in words only.
        self._places = self._limiter if shared is None else cast("Any", _Both(self._limiter, shared))
        self._deadline_s = deadline_s

    async def run(self, work: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
        """Return `work(*args)`, run in a thread.

        Past the deadline, or cancelled, the call is given up but the thread works on and keeps its place
        until it is done: whether the work happened is then unknown.

        Raises: `trio.TooSlowError` past the deadline, and whatever `work` raises.
        """
        with trio.fail_after(self._deadline_s):
            return await trio.to_thread.run_sync(work, *args, abandon_on_cancel=True, limiter=self._places)

    async def drain(self, until: float | None = None) -> bool:
        """Wait, for one deadline at most, until no thread works any more; return whether that is so.

        `until`, in trio's time, is for who drains several within one deadline. Not cancelled from outside. Nothing can
        be run afterwards.
        """
        until = trio.current_time() + self._deadline_s if until is None else until
        with trio.CancelScope(deadline=until, shield=True):
            for _ in range(int(self._limiter.total_tokens)):
                await self._limiter.acquire_on_behalf_of(object())
            return True
        return False


class _Both:
    """Two limiters as one: a place in both, asked for in order and given back together."""

    def __init__(self, own: trio.CapacityLimiter, shared: trio.CapacityLimiter) -> None:
        self._own, self._shared = own, shared

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        await self._own.acquire_on_behalf_of(borrower)
        try:
            await self._shared.acquire_on_behalf_of(borrower)
        except BaseException:
            self._own.release_on_behalf_of(borrower)
            raise

    def release_on_behalf_of(self, borrower: object) -> None:
        self._shared.release_on_behalf_of(borrower)
        self._own.release_on_behalf_of(borrower)
