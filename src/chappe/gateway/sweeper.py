"""The node's one clock over all connections: who did not sign in, does not answer, does not acknowledge.

One task looks at every connection once a second, instead of a timer in each: twenty thousand idle connections cost
twenty milliseconds a second and no memory. The limits are in `settings.Timing`.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from ..protocol.codes import CloseCode
from ..protocol.frames import Ping
from ..protocol.session import State
from ..settings import Timing
from .connection import Connection
from .hub import Hub

Clock = Callable[[], int]
EVERY_S = 1.0


async def sweep(hub: Hub, timing: Timing, now_ms: Clock, late: Callable[[float], None]) -> None:
    """Look after all connections, for ever. `late` hears by how many seconds each round began too late: that long the
    event loop was busy with others.
    """
    while True:
        due = trio.current_time() + EVERY_S
        await trio.sleep_until(due)
        now = trio.current_time()
        late(now - due)
        for connection in hub:
            if connection.closing is None:
                _look_at(connection, now, timing, now_ms)


def _look_at(connection: Connection, now: float, timing: Timing, now_ms: Clock) -> None:
    if connection.user is None:
        if now >= connection.hello_by:
            connection.close(CloseCode.NOT_AUTHENTICATED, "No HELLO came in time.")
        return
    if connection.session.state not in (State.READY, State.LEAVING):
        return
    if now - connection.window.stalled_since(now) >= timing.stall_s:
        connection.close(CloseCode.TOO_SLOW, "Events were not acknowledged in time; reconnect and resume.")
    elif connection.heartbeat.is_dead(now):
        connection.close(CloseCode.TOO_SLOW, "PING was not answered in time.")
    elif (n := connection.heartbeat.due(now)) is not None:
        connection.post(Ping(n, now_ms()))
