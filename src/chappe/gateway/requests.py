"""Requests that take a while: calls and sign-ups, each a temporary child of a pool, answered by RESULT or ERROR.

They run beside the reader, so that a slow user store holds up nobody's messages. Every request is answered exactly
once, also when its handler crashes: then the crash goes to the supervisor and "internal" to the client.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import trio
from msgspec import Struct

from supervisors import DynamicSupervisor, NotRunning, Restart, TooManyChildren, child

from ..errors import Missing, Stale, StoreUnavailable, Taken
from ..metrics import Metrics, Outcome, outcome_of
from ..protocol.codes import ErrorCode, RequestError
from ..protocol.frames import Result
from .connection import Connection
from .refusals import refuse, store_away

_TAKEN = {"username": ErrorCode.USERNAME_TAKEN, "phone": ErrorCode.PHONE_TAKEN}


class Requests:
    """Starts requests in their pool, whichever that is now: its supervisor may have restarted it.

    The pool's `max_children` bounds the whole node, the session each connection.
    """

    def __init__(self, pool: Callable[[], DynamicSupervisor], metrics: Metrics) -> None:
        self._pool = pool
        self._metrics = metrics

    def start(
        self, connection: Connection, rid: int, name: str, handler: Callable[[], Awaitable[Struct]]
    ) -> None:
        """Run `await handler()` and answer with what it returns or why it refused; `name` is what metrics call it."""
        answer = partial(self._answer, connection, rid, name, handler)
        try:
            self._pool().start_child_nowait(child(answer, restart=Restart.TEMPORARY))
        except (TooManyChildren, NotRunning):
            overloaded = RequestError(ErrorCode.OVERLOADED, "Too many requests; try again later.")
            self._metrics.call_ended(name, Outcome.FAILED)
            refuse(connection, self._metrics, overloaded, rid=rid)

    async def _answer(
        self, connection: Connection, rid: int, name: str, handler: Callable[[], Awaitable[Struct]]
    ) -> None:
        began = trio.current_time()
        is_cancelled = False
        refusal: RequestError | None = RequestError(
            ErrorCode.INTERNAL, "Something broke here; it was reported."
        )
        try:
            result = await handler()
            connection.post(Result(rid, msgspec.Raw(msgspec.msgpack.encode(result))))
            refusal = None
        except RequestError as error:
            refusal = error
        except Taken as error:
            refusal = RequestError(_TAKEN.get(error.what, ErrorCode.BAD_REQUEST), str(error))
        except Stale as error:
            refusal = RequestError(ErrorCode.STALE_DEVICE_LIST, str(error))
        except Missing as error:
            refusal = RequestError(ErrorCode.NOT_FOUND, str(error))
        except StoreUnavailable:
            refusal = store_away(self._metrics, "request")
        except trio.Cancelled:
            is_cancelled = True  # the node stops, which is no failure of the call
            raise
        finally:
            if refusal is not None:
                refuse(connection, self._metrics, refusal, rid=rid)
            if not is_cancelled:
                outcome = Outcome.OK if refusal is None else outcome_of(refusal.code)
                taken_s = trio.current_time() - began
                self._metrics.call_ended(name, outcome, taken_s)
                code = refusal.code if refusal is not None and outcome is Outcome.FAILED else None
                self._metrics.traces.called(name, taken_s, code=code, connection=connection.id, rid=rid)
