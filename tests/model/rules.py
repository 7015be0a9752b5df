"""The rules that make messages complete, and switches to leave each of them out: then the model must find a loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chappe.gateway.connection import Connection
from chappe.gateway.router import Router
from chappe.protocol.frames import Send, Sent
from chappe.settings import Timing
from chappe.workers.log_writer import Outcome

# W as in production. S larger, so that a search meets what depends on it.
TIMING = Timing(skew_s=3.0)


@dataclass(frozen=True)
class Rules:
    """All of them, as a node has them. `w`, `s`: how far a reader's cursor stays behind the present."""

    w: bool = True
    s: bool = True
    do_cursors_follow_reads: bool = True
    is_late_refused: bool = True
    is_stored_again: bool = True
    does_resend_wait: bool = True
    is_log_first: bool = True

    def late_ms(self) -> int:
        """Return how far cursors stay behind the present."""
        return int((self.w * TIMING.write_deadline_s + self.s * TIMING.skew_s) * 1000)

    def ack_deadline_s(self) -> float:
        """Return how long a write may take and be acknowledged."""
        return TIMING.write_deadline_s if self.is_late_refused else math.inf

    def resend_ms(self) -> int:
        """Return what WELCOME says."""
        return TIMING.late_ms if self.does_resend_wait else 0

    @property
    def router(self) -> type[Router]:
        """The router."""
        return Router if self.is_stored_again else _AnsweringRouter


class _AnsweringRouter(Router):
    """Answers a resend with the id of the first try, and believes that it is in the inboxes."""

    async def send(self, connection: Connection, sends: Sequence[Send]) -> None:
        fresh = []
        for send in sends:
            made = await self._take_in(connection, send)
            if made is not None and made.id is not None:
                made.outcome = Outcome.STORED
                connection.post(Sent(send.cid, made.id, duplicate=True))
            elif made is not None:
                fresh.append(send)
                del self._tries[connection.device, send.cid]
        if fresh:
            await super().send(connection, fresh)
