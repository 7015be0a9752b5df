"""The driver's errors in our words: what the adapter raises, and what metrics call it.

`messages.py` raises what `translated` returns, `bridge.py` names outcomes with `kind`. What is neither a store that is
away nor one that is slow (a bad statement, a missing right) is not translated: it is a bug or a wrong setting, and no
retry would help.
"""

from __future__ import annotations

from typing import Final

from cassandra import (
    InvalidRequest,
    OperationTimedOut,
    ReadFailure,
    ReadTimeout,
    Timeout,
    Unavailable,
    WriteFailure,
    WriteTimeout,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionException
from cassandra.pool import NoConnectionsAvailable
from cassandra.protocol import IsBootstrappingErrorMessage, OverloadedErrorMessage, ServerError

from ...errors import StoreUnavailable

# Answered before any replica was asked to do anything.
_REFUSED: Final = (Unavailable, NoConnectionsAvailable, OverloadedErrorMessage, IsBootstrappingErrorMessage)
_TIMEOUTS: Final = (Timeout, ReadTimeout, WriteTimeout, OperationTimedOut)
_AWAY: Final = (
    *_REFUSED,
    *_TIMEOUTS,
    ReadFailure,
    WriteFailure,
    ServerError,
    ConnectionException,
    NoHostAvailable,
    OSError,
)


def is_refused(error: BaseException) -> bool:
    """Whether a request that ended so has certainly changed nothing."""
    if isinstance(error, NoHostAvailable):
        return all(map(is_refused, _inner(error)))
    return isinstance(error, _REFUSED)


def kind(error: BaseException) -> str:
    """Return a metric's name for an error: timeout, unavailable, invalid or error."""
    if isinstance(error, _TIMEOUTS):
        return "timeout"
    if isinstance(error, InvalidRequest):
        return "invalid"
    return "unavailable" if isinstance(error, _AWAY) else "error"


def translated(error: BaseException) -> BaseException:
    """Return what to raise for a driver's error: `StoreUnavailable`, or the error itself when it is a bug."""
    if isinstance(error, NoHostAvailable):
        # The driver puts whatever happened while sending in here, a wrong type of a value too.
        for inner in _inner(error):
            if not isinstance(inner, _AWAY):
                return inner
    if isinstance(error, _AWAY):
        return StoreUnavailable(f"Cassandra did not take the work ({_brief(error)}); try again.")
    return error


def _inner(error: NoHostAvailable) -> list[BaseException]:
    return list(error.errors.values()) if isinstance(error.errors, dict) else []


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
