"""What a full queue of live messages cannot take is dropped, and nobody reads the inbox again."""

from __future__ import annotations

from chappe.domain.messages import InboxRow
from chappe.gateway.connection import Connection


def plant() -> None:
    def offer(self: Connection, row: InboxRow) -> None:
        if len(self.live) < self._limits.live_events:
            self.live.append(row)
            self.pump_wakeup.set()

    Connection.offer = offer  # type: ignore[method-assign]
