"""The send window: how many events one connection may have under way before the client acknowledges them.

The delivery pump asks it before it reads on; the reader feeds it ACKs. It knows numbers and sizes, not
frames. A window in events alone would let a few large messages fill memory, one in bytes alone many small
ones.
"""

from __future__ import annotations

from collections import deque

from .codes import CloseCode, ProtocolError


class SendWindow:
    """Counts what was sent and not yet acknowledged; every operation is O(1), amortised. Times are in
    seconds.
    """

    __slots__ = ("_acked", "_in_flight", "_max_bytes", "_max_events", "_progress_at", "_sizes")

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._sizes: deque[int] = deque()
        self._in_flight = 0
        self._acked = 0
        self._progress_at = 0.0

    @property
    def events(self) -> int:
        """How many events wait for an ACK."""
        return len(self._sizes)

    @property
    def size_bytes(self) -> int:
        """How many bytes wait for an ACK."""
        return self._in_flight

    @property
    def next_n(self) -> int:
        """The number that the next event gets; the first is 1."""
        return self._acked + len(self._sizes) + 1

    @property
    def has_room(self) -> bool:
        """Whether one more event may go, of whatever size: the last one may reach over the limit in bytes."""
        return len(self._sizes) < self._max_events and self._in_flight < self._max_bytes

    def sent(self, size: int, now: float) -> int:
        """Count an event of `size` bytes as sent and return its number."""
        if not self._sizes:
            self._progress_at = now
        self._sizes.append(size)
        self._in_flight += size
        return self._acked + len(self._sizes)

    def ack(self, n: int, now: float) -> None:
        """Take a cumulative ACK; one that says nothing new is ignored.

        Raises: `ProtocolError` for the number of an event that was never sent.
        """
        fresh = n - self._acked
        if fresh > len(self._sizes):
            raise ProtocolError(
                CloseCode.BAD_FRAME, "ACK is ahead of the events; acknowledge only what came."
            )
        if fresh <= 0:
            return
        for _ in range(fresh):
            self._in_flight -= self._sizes.popleft()
        self._acked = n
        self._progress_at = now

    def stalled_since(self, now: float) -> float:
        """Return since when events have waited without any progress; `now` when nothing waits."""
        return self._progress_at if self._sizes else now
