"""Runs a command's async body: signals become cancellation, and errors become exit codes.

Every command that talks to a server goes through `run`. Ctrl-C and SIGTERM cancel the body instead of raising
in the middle of whatever runs, so that the store is closed and the server hears a goodbye; a second one no
longer waits. Standard input is read by a thread that may be left behind: a read that blocks must not hold up
the exit.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from .exits import CommandError, ExitCode

T = TypeVar("T")
_READ_BYTES = 4096


def run(body: Callable[[], Awaitable[T]]) -> T:
    """Run `body` to its end and return its result.

    Raises:
        CommandError: a signal ended it; the code says which.
    """
    return trio.run(_run, body)


async def _run(body: Callable[[], Awaitable[T]]) -> T:
    results: list[T] = []
    signals: list[int] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(_cancel_on_signal, nursery.cancel_scope, signals)
        results.append(await body())
        nursery.cancel_scope.cancel()
    if results:
        return results[0]
    if signal.SIGTERM in signals:
        raise CommandError("Ended by SIGTERM.", ExitCode.TERMINATED)
    raise CommandError("Ended by Ctrl-C.", ExitCode.INTERRUPTED)


async def _cancel_on_signal(
    scope: trio.CancelScope, signals: list[int], *, task_status: trio.TaskStatus[None]
) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
        task_status.started()
        async for number in received:
            signals.append(number)
            scope.cancel()
            return


class Input:
    """Standard input without Python's buffer, whose lock would be held by the thread left behind."""

    def __init__(self, fd: int = 0) -> None:
        self._fd = fd
        self._lines: deque[bytes] = deque()
        self._rest = b""

    async def read(self) -> bytes:
        """Return the next bytes, or nothing at the end. A cancelled read may swallow what is typed next."""
        return await trio.to_thread.run_sync(os.read, self._fd, _READ_BYTES, abandon_on_cancel=True)

    async def line(self) -> str | None:
        """Return the next line without its end, or None at the end of the input."""
        while not self._lines:
            data = await self.read()
            if not data:
                rest, self._rest = self._rest, b""
                return rest.decode(errors="replace") if rest else None
            *whole, self._rest = (self._rest + data).split(b"\n")
            self._lines.extend(whole)
        return self._lines.popleft().decode(errors="replace").rstrip("\r")

    async def ask(self, question: str) -> str:
        """Ask on standard error, return the answering line.

        Raises:
            CommandError: the input has ended.
        """
        print(question, end="", file=sys.stderr, flush=True)
        answer = await self.line()
        if answer is None:
            raise CommandError("There was no answer: standard input has ended.", ExitCode.USAGE)
        return answer
