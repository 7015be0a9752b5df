"""What a server answers: results, errors it lives through, and replies that come later.

A server's methods use `Reply` and `ReplyError`; the loop in `server.py` turns what they return into the end of a
`Call`, which is the side that waits, in `calls.py`.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import trio

from .checks import is_a
from .pid import Down

R = TypeVar("R")


class ReplyError(Exception):
    """Raised in a server's method to make the call raise `error`, while the server lives on.

    Any other exception ends the server. It must leave the method bare: inside a group it is a crash. When nobody
    called (a cast, an info) it goes nowhere.

    Raises: TypeError, if `error` is no exception.
    """

    def __init__(self, error: Exception) -> None:
        _check(error)
        super().__init__(error)
        self.error = error


class Reply(Generic[R]):
    """An answer that comes later. A method returns it instead of its result, and the server goes on at once.

    Whoever holds it then calls `send` or `fail`, once. One reply may be returned to many calls, which all get
    the one answer. If nobody ever does, the calls time out, or end with the server.
    """

    __slots__ = ("_calls", "_error", "_value", "is_sent")

    def __init__(self) -> None:
        self._calls: list[Call[R]] = []
        self._error: Exception | None = None
        self._value: R | None = None
        self.is_sent = False

    def send(self, value: R) -> None:
        """Answer. A call that has ended meanwhile does not notice. Without a checkpoint.

        Raises: RuntimeError, if there was an answer already.
        """
        self._settle(value, None)

    def fail(self, error: Exception) -> None:
        """Answer with an error, which the calls raise. As `send` otherwise.

        Raises: RuntimeError; TypeError, if `error` is no exception.
        """
        _check(error)
        self._settle(None, error)

    def _settle(self, value: R | None, error: Exception | None) -> None:
        if self.is_sent:
            raise RuntimeError("A reply is sent only once.")
        self.is_sent = True
        self._value, self._error = value, error
        calls, self._calls = self._calls, []
        for call in calls:
            call.settle(value, error)

    def _answer(self, call: Call[R]) -> None:
        if self.is_sent:
            call.settle(self._value, self._error)
        else:
            self._calls.append(call)


class Call(Generic[R]):
    """The caller's side of one call: it ends once, and what comes later is dropped."""

    __slots__ = ("_event", "down", "error", "is_done", "value")

    def __init__(self) -> None:
        self.is_done = False
        self.value: R | None = None
        self.error: Exception | None = None
        self.down: Down | None = None
        self._event = trio.Event()

    def settle(self, value: R | None, error: Exception | None = None) -> None:
        if not self.is_done:
            self.is_done = True
            self.value, self.error = value, error
            self._event.set()

    def died(self, down: Down) -> None:
        if not self.is_done:  # else the answer was the server's last word
            self.down = down
            self.settle(None)

    async def done(self) -> None:
        await self._event.wait()


def _check(error: Exception) -> None:
    if not is_a(error, Exception):
        raise TypeError(f"A call is answered with a result or an Exception, not with {error!r} as its error.")
