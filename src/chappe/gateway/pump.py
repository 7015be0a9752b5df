"""The delivery pump: one per signed-in connection, from the device's inbox to its outbox.

It first reads the inbox from the cursor on, page by page, while what is stored meanwhile waits in `connection.live`;
then it hands over what arrives. When that queue overflows it reads the inbox again from the first row lost. It is the
only one that numbers events and moves the safe cursor, and it waits for the client's ACKs, nobody else does. Rows may
be sent twice around a restart or an overflow (the client drops what it has), never not at all.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from ..ids import MessageId, before
from ..metrics import Metrics
from ..ports import MessageStore
from ..protocol.frames import Drained
from .connection import Connection
from .times import Delays

PAGE_ROWS = 256
SENT_LEAST = 512


class Pump:
    """The pumps' shared parts. `horizon` returns up to where every inbox is known to be complete now, `live_horizon` up
    to where that is so of what was handed over without reading; `saw` hears of the newest position of what is read,
    since the clock here must not fall behind it.
    """

    def __init__(
        self,
        store: MessageStore,
        metrics: Metrics,
        horizon: Callable[[], MessageId],
        live_horizon: Callable[[], MessageId],
        saw: Callable[[MessageId], None],
        delays: Delays,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._horizon = horizon
        self._live_horizon = live_horizon
        self._saw = saw
        self._delays = delays

    async def run(self, connection: Connection) -> None:
        """Pump until cancelled. A restart begins at the connection's last safe cursor.

        Raises: `StoreUnavailable` when the inbox cannot be read: restarting is the supervisor's business.
        """
        connection.is_idle = False
        sent = _Sent()
        await self._catch_up(connection, connection.safe, sent)
        connection.post(Drained(connection.safe))
        while True:
            if connection.lost is not None:
                first, connection.lost = connection.lost, None
                self._metrics.rereads.inc()
                await self._catch_up(connection, before(first), sent)
            elif connection.live:
                await self._hand_over(connection, sent)
            else:
                connection.is_idle = True
                await connection.pump_wakeup.wait()
                connection.is_idle = False

    async def _hand_over(self, connection: Connection, sent: _Sent) -> None:
        """Send what waits in the live queue, the last one with a fresh cursor."""
        live = connection.live
        count = 0
        now = trio.current_time()
        horizon = self._live_horizon()
        while live and connection.lost is None:
            if not connection.window.has_room:
                self._metrics.deliveries.inc(count)
                count = 0
                await self._until_window(connection)
                continue  # the queue may have overflowed meanwhile: then what is left is newer than what is lost
            row = connection.next_live()
            if not sent.is_new(row.pos):
                continue
            cursor = None
            if not live:
                cursor = connection.safe = max(connection.safe, horizon)
            connection.deliver(row, cursor, now)
            count += 1
        sent.forget(connection.safe)
        self._metrics.deliveries.inc(count)

    async def _until_window(self, connection: Connection) -> None:
        if await connection.until_window():
            self._delays.begin(connection)

    async def _catch_up(self, connection: Connection, after: MessageId, sent: _Sent) -> None:
        """Send everything in the inbox after a position, but for what was sent on this connection."""
        assert connection.device is not None
        horizon = after
        while True:
            # Taken before the read: what is stored later is not covered by it. Nor is what came late among the pages
            # before, so once they have passed it the horizon stays.
            if after <= horizon:
                horizon = self._horizon()
            rows = await self._store.inbox(connection.device, after, PAGE_ROWS)
            count = 0
            for row in rows:
                await self._until_window(connection)
                connection.safe = max(connection.safe, min(row.pos, horizon))
                if sent.is_new(row.pos):
                    connection.deliver(row, connection.safe, trio.current_time())
                    count += 1
            self._metrics.deliveries.inc(count)
            if rows:
                after = rows[-1].pos
                self._saw(after)
            if len(rows) < PAGE_ROWS:
                connection.safe = max(connection.safe, horizon)
                sent.forget(connection.safe)
                return


class _Sent:
    """Positions sent on one connection that are past the safe cursor: they may come live, or be read, once more."""

    __slots__ = ("_most", "_positions")

    def __init__(self) -> None:
        self._positions: set[MessageId] = set()
        self._most = SENT_LEAST

    def is_new(self, pos: MessageId) -> bool:
        """Take note of a position; return whether it was not sent before."""
        if pos in self._positions:
            return False
        self._positions.add(pos)
        return True

    def forget(self, safe: MessageId) -> None:
        """Drop what will not come again, now and then: what is left is what came within some seconds."""
        if len(self._positions) > self._most:
            self._positions = {pos for pos in self._positions if pos > safe}
            self._most = max(SENT_LEAST, 2 * len(self._positions))
