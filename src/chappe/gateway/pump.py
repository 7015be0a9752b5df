"""The delivery pump: one per signed-in connection, from the device's inbox to its outbox.

It first reads the inbox from the cursor on, page by page, while what is stored meanwhile waits in `connection.live`;
then it hands over what arrives. When that queue overflows it reads the inbox again from the first row lost. It is the
only one that numbers events and moves the safe cursor, and it waits for the client's ACKs, nobody else does. Rows may
be sent twice around a restart or an overflow (the client drops what it has), never not at all.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from ..ids import MessageId, before, floor_id
from ..metrics import Metrics
from ..ports import MessageStore
from ..protocol.frames import Drained
from .connection import Connection

PAGE_ROWS = 256


class Pump:
    """The pumps' shared parts. `horizon` returns up to where every inbox is known to be complete now."""

    def __init__(
        self,
        store: MessageStore,
        metrics: Metrics,
        horizon: Callable[[], MessageId],
        now_ms: Callable[[], int],
        late_ms: int,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._horizon = horizon
        self._now_ms = now_ms
        self._late_ms = late_ms

    async def run(self, connection: Connection) -> None:
        """Pump until cancelled. A restart begins at the connection's last safe cursor.

        Raises: `StoreUnavailable` when the inbox cannot be read: restarting is the supervisor's business.
        """
        connection.is_idle = False
        seen = await self._catch_up(connection, connection.safe)
        connection.post(Drained(connection.safe))
        seen_until = trio.current_time() + self._late_ms / 1000
        while True:
            if connection.lost is not None:
                first, connection.lost = connection.lost, None
                self._metrics.overflows.inc()
                seen |= await self._catch_up(connection, before(first))
                seen_until = trio.current_time() + self._late_ms / 1000
            elif connection.live:
                if seen and trio.current_time() > seen_until:
                    seen = set()
                await self._hand_over(connection, seen)
            else:
                connection.is_idle = True
                await connection.pump_wakeup.wait()
                connection.is_idle = False

    async def _hand_over(self, connection: Connection, seen: set[MessageId]) -> None:
        """Send what waits in the live queue, the last one with a fresh cursor."""
        live = connection.live
        sent = 0
        now = trio.current_time()
        horizon = self._horizon()
        while live and connection.lost is None:
            if not connection.window.has_room:
                self._metrics.deliveries.inc(sent)
                sent = 0
                await connection.until_window()
                continue  # the queue may have overflowed meanwhile: then what is left is newer than what is lost
            row = live.popleft()
            if row.id in seen:
                continue
            cursor = None
            if not live:
                cursor = connection.safe = max(connection.safe, horizon)
            connection.deliver(row, cursor, now)
            sent += 1
        self._metrics.deliveries.inc(sent)

    async def _catch_up(self, connection: Connection, after: MessageId) -> set[MessageId]:
        """Send everything in the inbox after an id; return what might also arrive live."""
        assert connection.device is not None
        seen: set[MessageId] = set()
        recent = floor_id(self._now_ms() - self._late_ms)
        while True:
            # Taken before the read: what is stored later is not covered by it.
            horizon = self._horizon()
            rows = await self._store.inbox(connection.device, after, PAGE_ROWS)
            for row in rows:
                await connection.until_window()
                connection.safe = max(connection.safe, min(row.id, horizon))
                connection.deliver(row, connection.safe, trio.current_time())
                if row.id >= recent:
                    seen.add(row.id)
            self._metrics.deliveries.inc(len(rows))
            if len(rows) < PAGE_ROWS:
                connection.safe = max(connection.safe, horizon)
                return seen
            after = rows[-1].id
