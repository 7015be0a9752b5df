"""How a frame is refused: counted by its code, and answered with an ERROR that names the frame if it has a name.

Router, dispatch and requests refuse through here; only the log writer's outcomes are answered by the router itself.
"""

from __future__ import annotations

import msgspec

from ..ids import Cid
from ..metrics import Metrics
from ..protocol.codes import ErrorCode, RequestError
from ..protocol.frames import Error
from .connection import Connection


def refuse(
    connection: Connection,
    metrics: Metrics,
    refusal: RequestError,
    *,
    rid: int | None = None,
    cid: Cid | None = None,
) -> None:
    """Answer with an error; the connection goes on."""
    if cid is None:
        metrics.refused(refusal.code)
    else:
        metrics.send_refused(refusal.code)
    detail = msgspec.Raw(refusal.detail or b"\xc0")
    connection.post(Error(refusal.code, refusal.message, rid, cid, refusal.retry_after_ms, detail))


def store_away(metrics: Metrics, operation: str) -> RequestError:
    """Count a store that did not answer; return the refusal that says so."""
    metrics.store_failures.labels(operation).inc()
    return RequestError(ErrorCode.STORE_UNAVAILABLE, "The store is away; try again.")
