"""A store that tells how long each of its operations took and how it ended, whatever database is under it.

`app.py` puts one around every store, so that SQLite, PostgreSQL and Cassandra are measured alike, at the port: with the
wait for a thread or a slot, as the caller felt it. Rejected: a decorator on each adapter's methods, which the next
adapter would forget.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

import trio

from ..errors import Missing, OutcomeUnknown, Stale, StoreUnavailable, Taken

S = TypeVar("S")

# Told of every operation that ended: its name, its outcome and the seconds it took.
Observe = Callable[[str, str, float], None]


def observed(store: S, observe: Observe) -> S:
    """Return the store, whose coroutine methods are observed. Outcomes: ok, refused (`Taken`, `Stale`, `Missing`),
    unavailable, unknown (a write that may have happened), error (a bug). One that is cancelled has none.
    """
    return cast("S", _Observed(store, observe))


class _Observed:
    def __init__(self, store: object, observe: Observe) -> None:
        self._store = store
        self._observe = observe

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._store, name)
        if not iscoroutinefunction(value):
            return value
        store, observe = self._store, self._observe

        async def call(*args: Any, **more: Any) -> Any:
            began = trio.current_time()
            method: Callable[..., Awaitable[Any]] = getattr(store, name)
            outcome = "ok"
            try:
                return await method(*args, **more)
            except trio.Cancelled:
                outcome = ""
                raise
            except BaseException as error:
                outcome = _outcome(error)
                raise
            finally:
                if outcome:
                    observe(name, outcome, trio.current_time() - began)

        self.__dict__[name] = call
        return call


def _outcome(error: BaseException) -> str:
    match error:
        case Taken() | Stale() | Missing():
            return "refused"
        case OutcomeUnknown():
            return "unknown"
        case StoreUnavailable():
            return "unavailable"
        case _:
            return "error"
