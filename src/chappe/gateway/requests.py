"""Requests that take a while: calls and sign-ups, each a temporary child of a pool, answered by RESULT or ERROR.

They run beside the reader, so that a slow user store holds up nobody's messages. Every request is answered exactly
once, also when its handler crashes: then the crash goes to the supervisor and "internal" to the client.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVarTuple

import msgspec
from msgspec import Struct

from supervisors import DynamicSupervisor, NotRunning, Restart, TooManyChildren, child

from ..errors import Missing, Stale, StoreUnavailable, Taken
from ..metrics import Metrics
from ..protocol.codes import ErrorCode, RequestError
from ..protocol.frames import Result
from .connection import Connection
from .refusals import refuse, store_away

Ts = TypeVarTuple("Ts")

_TAKEN = {"username": ErrorCode.USERNAME_TAKEN, "phone": ErrorCode.PHONE_TAKEN}


class Requests:
    """Starts requests in their pool, whichever that is now: its supervisor may have restarted it.

    The pool's `max_children` bounds the whole node, the session each connection.
    """

    def __init__(self, pool: Callable[[], DynamicSupervisor], metrics: Metrics) -> None:
        self._pool = pool
        self._metrics = metrics

    def start(
        self, connection: Connection, rid: int, handler: Callable[[*Ts], Awaitable[Struct]], *args: *Ts
    ) -> None:
        """Run `await handler(*args)` and answer with what it returns or why it refused."""
        answer = partial(self._answer, connection, rid, partial(handler, *args))
        try:
            self._pool().start_child_nowait(child(answer, restart=Restart.TEMPORARY))
        except (TooManyChildren, NotRunning):
            overloaded = RequestError(ErrorCode.OVERLOADED, "Too many requests; try again later.")
            refuse(connection, self._metrics, overloaded, rid=rid)

    async def _answer(
        self, connection: Connection, rid: int, handler: Callable[[], Awaitable[Struct]]
    ) -> None:
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
        finally:
            if refusal is not None:
                refuse(connection, self._metrics, refusal, rid=rid)
