"""From the driver's callbacks to trio, without a thread for each request.

`messages.py` sends statements through it. The driver answers on its own event thread; an answer goes into a deque, and
one wake-up of trio empties it, however many answers came meanwhile. At most `requests` are in flight: more wait their
turn, here, where waiting can be cancelled. A deadline for a whole operation is the caller's; the driver ends every
request by itself after `REQUEST_S` (`session.py`), and only then is its slot free again, whoever has given up on it.

Rejected: `future.result()` in a thread for each request (two thread switches, and as many threads as requests), and the
driver's asyncio loop (a second event loop in this process, and each answer would still have to change threads).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import trio
from cassandra.cluster import ResultSet

from . import faults

# Told of every request that ended: its name, "ok" or what kind of error, and the seconds it took.
Observe = Callable[[str, str, float], None]
# Told of what deserves a look: "tombstones", "large_read", "batch", "partition" or "other", and a sentence about it.
Warn = Callable[[str, str], None]

_WARNINGS: Final = (("tombstone", "tombstones"), ("read size", "large_read"), ("atch", "batch"))


class Answer(NamedTuple):
    """One page of rows (none of a write), and where the next page begins; None after the last one."""

    rows: list[tuple[Any, ...]]
    next_page: bytes | None


class Failure(NamedTuple):
    """What the driver said in place of an answer. `is_refused`: the request has certainly changed nothing."""

    error: BaseException
    is_refused: bool


Result = Answer | Failure


@dataclass(slots=True, eq=False)
class _Call:
    """Requests that one task waits for together."""

    name: str
    results: list[Result | None]
    left: int
    task: trio.lowlevel.Task | None = None


class Bridge:
    """Sends statements on a session. To be made, and used, inside one trio run."""

    def __init__(self, session: Any, *, requests: int, observe: Observe, warn: Warn) -> None:
        self._session = session
        self._requests = requests
        self._slots = trio.Semaphore(requests, max_value=requests)
        self._observe = observe
        self._warn = warn
        self._token = trio.lowlevel.current_trio_token()
        self._answers: deque[tuple[_Call, int, float, Any, list[Any] | None, BaseException | None]] = deque()
        self._is_woken = False

    @property
    def in_flight(self) -> int:
        """How many requests the driver has, those included that nobody waits for any more."""
        return self._requests - self._slots.value

    async def ask(
        self, name: str, statements: Sequence[Any], profile: str, next_page: bytes | None = None
    ) -> list[Result]:
        """Send all statements at once and wait for all of them; return each one's result, in order.

        `next_page` goes on where an earlier answer ended, with the same single statement. Cancelled, what was sent
        goes on and may happen; its answers are dropped.
        """
        call = _Call(name, [None] * len(statements), len(statements))
        for number, statement in enumerate(statements):
            try:
                self._slots.acquire_nowait()
            except trio.WouldBlock:
                await self._slots.acquire()
            self._send(call, number, statement, profile, next_page)
        if call.left:
            call.task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(lambda _: self._abandon(call))
        else:
            await trio.lowlevel.checkpoint()
        return [result for result in call.results if result is not None]

    async def drain(self) -> None:
        """Wait until nothing is in flight. Nothing may be asked meanwhile."""
        for _ in range(self._requests):
            await self._slots.acquire()

    def _send(self, call: _Call, number: int, statement: Any, profile: str, next_page: bytes | None) -> None:
        started = trio.current_time()
        try:
            future = self._session.execute_async(statement, execution_profile=profile, paging_state=next_page)
        except BaseException:
            self._slots.release()
            raise
        what = (call, number, started, future)
        future.add_callbacks(self._answered, self._failed, callback_args=what, errback_args=what)

    # The driver's thread, or this one when the answer is there already:

    def _answered(
        self, rows: list[Any] | None, call: _Call, number: int, started: float, future: Any
    ) -> None:
        self._put((call, number, started, future, rows, None))

    def _failed(self, error: BaseException, call: _Call, number: int, started: float, future: Any) -> None:
        self._put((call, number, started, future, None, error))

    def _put(self, answer: tuple[_Call, int, float, Any, list[Any] | None, BaseException | None]) -> None:
        self._answers.append(answer)
        # Without a lock: who finds it true has appended before `_drain` looks into the deque for the last time.
        if not self._is_woken:
            self._is_woken = True
            try:
                self._token.run_sync_soon(self._take)
            except trio.RunFinishedError:
                self._answers.clear()  # nobody is left who could want them

    # trio's thread:

    def _take(self) -> None:
        self._is_woken = False
        now = trio.current_time()
        while self._answers:
            call, number, started, future, rows, error = self._answers.popleft()
            if call.results[number] is not None:
                continue  # both the first try and the speculative one were answered
            if error is None:
                more = ResultSet(future, rows).paging_state if future.has_more_pages else None
                call.results[number] = Answer(rows or [], more)
            else:
                call.results[number] = Failure(error, _is_refused(future, error))
            self._slots.release()
            self._observe(call.name, "ok" if error is None else faults.kind(error), now - started)
            for warning in future.warnings or ():
                self._warn(next((name for part, name in _WARNINGS if part in warning), "other"), warning)
            call.left -= 1
            if not call.left and call.task is not None:
                trio.lowlevel.reschedule(call.task)
                call.task = None

    def _abandon(self, call: _Call) -> trio.lowlevel.Abort:
        call.task = None
        return trio.lowlevel.Abort.SUCCEEDED


def _is_refused(future: Any, error: BaseException) -> bool:
    # The last error says nothing of earlier tries; the driver keeps theirs by host, a moment after it tries again.
    earlier = [future._errors.get(host) for host in future.attempted_hosts[:-1]]
    return all(one is not None and faults.is_refused(one) for one in (error, *earlier))
