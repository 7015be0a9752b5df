"""The heartbeat: notices a peer that is gone although its socket is still open.

Either side of a connection has one: it pings after a silence and calls the peer dead when the ping brings
nothing back. Any message counts as a sign of life, so a connection that talks sends no pings. A server gives
itself a longer silence than it tells its clients (WELCOME's `heartbeat_s`): then it is the client who pings,
an idle connection costs one PING and one PONG a period, and that PONG brings the client a fresh cursor.
"""

from __future__ import annotations


class Heartbeat:
    """Decides when to ping and when to give up. All times are seconds of one monotonic clock.

    `every_s` of silence bring a PING, `answer_s` (no longer than `every_s`) without a sign of life the end.
    """

    __slots__ = ("_answer_s", "_every_s", "_heard_at", "_n", "_pinged_at")

    def __init__(self, every_s: float, answer_s: float, now: float) -> None:
        self._every_s = every_s
        self._answer_s = answer_s
        self._heard_at = now
        self._pinged_at: float | None = None
        self._n = 0

    def heard(self, now: float) -> None:
        """Note that something came from the peer: call it once per WebSocket message."""
        self._heard_at = now
        self._pinged_at = None

    def due(self, now: float) -> int | None:
        """Return the `n` of the PING to send now, or None. A number is returned once, so send it."""
        if self._pinged_at is not None or now < self.next_at():
            return None
        self._n += 1
        self._pinged_at = now
        return self._n

    def is_dead(self, now: float) -> bool:
        """Return whether a PING was sent and nothing at all came in the time to answer it."""
        return self._pinged_at is not None and now >= self.next_at()

    def next_at(self) -> float:
        """Return when to ask `due` and `is_dead` again; hearing something only moves it later.

        Both decide by this very number: with another rounding, a loop that sleeps until then would spin.
        """
        return self._heard_at + self._every_s if self._pinged_at is None else self._pinged_at + self._answer_s
