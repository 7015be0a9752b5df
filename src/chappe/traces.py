"""What became of one message or call, in the log: those that failed or were slow, by an id that finds them everywhere.

A message's trace is its cid. The sender's device made it, every gateway and store has it, and so does whoever receives
the message: nothing has to be carried along, and all tries of one message share it (docs/adr/0080-a-cid-is-a-trace.md).
Router, log writer, requests and the timing of deliveries call this; a healthy message costs it a comparison. In an
outage everything fails, so each kind of line comes once a second at most and says how many it stands for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final, Protocol

import structlog
import trio

from .domain.messages import StoredMessage
from .ids import Cid

SLOW_S: Final = 1.0
"""As the objective for deliveries has it; an append or a call that takes longer is worth a line too."""

EVERY_S: Final = 1.0
MOST_TRACES: Final = 5

log = structlog.get_logger("traces")


class SpanSink(Protocol):
    """Takes what was timed of single messages; `spans.py`, where that is asked for."""

    def record(
        self, name: str, cid: Cid, seconds: float, *, batch: int = 1, error: str | None = None
    ) -> None:
        """Take a part of a message's way that ends now."""


class Traces:
    """Log lines about messages and calls of a node, and spans if `spans` is set."""

    def __init__(self) -> None:
        self.spans: SpanSink | None = None
        self._due_s: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def appended(
        self, messages: Sequence[StoredMessage], seconds: float, error: BaseException | None = None
    ) -> None:
        """Note how long a batch took to be stored, or why it was not."""
        if error is not None:
            self._warn("append_failed", _cids(messages), len(messages), seconds, error=str(error))
        elif seconds > SLOW_S:
            self._warn("append_slow", _cids(messages), len(messages), seconds)
        if self.spans is not None:
            self._record("append", messages, seconds, None if error is None else str(error))

    def sent(self, messages: Sequence[StoredMessage], seconds: float, failed: str | None = None) -> None:
        """Note how long it took from SEND to durable, or to the end that it `failed` with."""
        if seconds > SLOW_S and failed is None:
            self._warn("send_slow", _cids(messages), len(messages), seconds)
        if self.spans is not None:
            self._record("send", messages, seconds, failed)

    def published(self, messages: Sequence[StoredMessage], seconds: float) -> None:
        """Note how long it took a batch to get from the bus' queue to other gateways' channels."""
        if self.spans is not None:
            self._record("publish", messages, seconds, None)

    def delivered(self, cid: Cid, seconds: float) -> None:
        """Note how long it took from accepted to the socket of a device that was there."""
        if seconds > SLOW_S:
            self._warn("delivery_slow", [cid], 1, seconds)
        if self.spans is not None:
            self.spans.record("deliver", cid, seconds)

    def called(self, call: str, seconds: float, *, code: str | None, connection: int, rid: int) -> None:
        """Note how long a call took, and the code if it failed and that was our fault."""
        if code is not None:
            self._warn("call_failed", (), 1, seconds, call=call, code=code, connection=connection, rid=rid)
        elif seconds > SLOW_S:
            self._warn("call_slow", (), 1, seconds, call=call, connection=connection, rid=rid)

    def _record(
        self, name: str, messages: Sequence[StoredMessage], seconds: float, error: str | None
    ) -> None:
        assert self.spans is not None
        for message in messages:
            self.spans.record(name, message.cid, seconds, batch=len(messages), error=error)

    def _warn(self, event: str, cids: Iterable[Cid], count: int, seconds: float, **more: object) -> None:
        now = trio.current_time()
        if now < self._due_s.get(event, now):
            self._left_out[event] = self._left_out.get(event, 0) + count
            return
        self._due_s[event] = now + EVERY_S
        left_out = self._left_out.pop(event, 0)
        traces = [cid.hex() for cid in islice(cids, MOST_TRACES)]
        facts: dict[str, object] = {"traces": traces} if traces else {}
        if left_out:
            facts |= {"left_out": left_out}  # since the last line of this kind
        log.warning(event, count=count, seconds=round(seconds, 3), **facts, **more)


def _cids(messages: Sequence[StoredMessage]) -> Iterable[Cid]:
    return (message.cid for message in messages)
