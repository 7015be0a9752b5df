"""One client's connection: the state that its tasks share, and the ways in for everybody else.

`serve.py` runs the tasks; the hub, the router and presence hand things in through `post`, `note` and `offer`, which
never wait and never raise for what the client did: a client that is too slow loses its connection and nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

import trio

from ..domain.accounts import Device
from ..domain.messages import InboxRow
from ..ids import FIRST_ID, DeviceId, MessageId, UserId
from ..protocol import codec
from ..protocol.buckets import LeakyBucket
from ..protocol.codes import CloseCode, ErrorCode, RequestError
from ..protocol.frames import Event, Frame, GoAway, Limits
from ..protocol.heartbeat import Heartbeat
from ..protocol.outbox import Outbox, OutboxFullError
from ..protocol.session import Role, Session, State
from ..protocol.window import SendWindow
from ..settings import LimitSettings, Timing
from ..wakeup import Wakeup
from .times import EventTimes

CLOSE_GRACE_S = 2.0


Buckets = dict[str, LeakyBucket]


class Connection:
    """The state of one connection.

    `live` holds rows for this device that were stored while it is connected; `lost` is the smallest position of those
    that did not fit, so that the pump reads the inbox again from there. `safe` is the newest cursor that went out.
    `was_full` says that a write found no room in the socket since the writer looked.
    """

    __slots__ = (
        "_buckets",
        "_limits",
        "address",
        "closing",
        "device",
        "heartbeat",
        "hello_by",
        "id",
        "in_flight",
        "is_held",
        "is_idle",
        "live",
        "live_bytes",
        "lost",
        "nonce",
        "outbox",
        "pump_wakeup",
        "reader_wakeup",
        "safe",
        "scope",
        "session",
        "start_pump",
        "times",
        "user",
        "was_full",
        "window",
        "writer_wakeup",
    )

    def __init__(
        self, number: int, address: str, nonce: bytes, limits: LimitSettings, timing: Timing
    ) -> None:
        now = trio.current_time()
        self.id = number
        self.address = address
        self.nonce = nonce
        self.hello_by = now + timing.hello_s
        self.user: UserId | None = None
        self.device: DeviceId | None = None
        self.session = Session(Role.SERVER, Limits())
        self.outbox = Outbox(limits.outbox_frames, limits.outbox_bytes)
        self.window = SendWindow(Limits().window_events, Limits().window_bytes)
        # Longer than what WELCOME tells the client, so that the client pings and gets a fresh cursor with the answer.
        self.heartbeat = Heartbeat(timing.heartbeat_s * 1.2, timing.answer_s, now)
        self.closing: tuple[CloseCode, str] | None = None
        self.in_flight = 0
        self.live: deque[InboxRow] = deque()
        self.live_bytes = 0
        self.lost: MessageId | None = None
        self.safe = FIRST_ID
        self.is_idle = False
        self.is_held = False
        self.was_full = False
        self.times = EventTimes()
        self.scope = trio.CancelScope()
        self.start_pump: Callable[[], Awaitable[object]] | None = None
        self.writer_wakeup = Wakeup()
        self.pump_wakeup = Wakeup()
        self.reader_wakeup = Wakeup()
        self._limits = limits
        self._buckets: Buckets = {}

    def sign_in(self, device: Device, start: MessageId, window: int, buckets: Buckets) -> None:
        """Note who this is, where its inbox is to be read from, and how many events it wants unacknowledged.

        `buckets` are the device's own: connecting anew must not empty them.
        """
        self.user = device.user
        self.device = device.device
        self.safe = start
        self._buckets = buckets
        limits = self.session.limits
        self.window = SendWindow(min(window, limits.window_events), limits.window_bytes)

    @property
    def is_over(self) -> bool:
        """Whether the connection is ending: it was closed from here, or the client has left."""
        return self.session.state is State.CLOSED

    def post(self, frame: Frame) -> None:
        """Put a frame on its way. A client that leaves no room is too slow and loses its connection, nothing else."""
        if not self.is_over:
            self._post(frame, codec.encode(frame))

    def _post(self, frame: Frame, encoded: bytes) -> None:
        self.session.sending(frame)
        try:
            self.outbox.put(encoded)
        except OutboxFullError:
            self.close(CloseCode.TOO_SLOW, "Too much waits for this connection; read faster.")
        self.writer_wakeup.set()

    def note(self, key: object, encoded: bytes, *, keep: bool = False) -> bool:
        """Put a note on its way, in place of an older one of the same key. Return False if it was dropped."""
        if self.session.state not in (State.READY, State.LEAVING):
            return True
        try:
            is_kept = self.outbox.note(key, encoded, keep=keep)
        except OutboxFullError:
            self.close(CloseCode.TOO_SLOW, "Too much waits for this connection; read faster.")
            return True
        self.writer_wakeup.set()
        return is_kept

    async def until_room(self) -> None:
        """Return when there is room for the answers to another message; the reader's way of holding a client back."""
        while self.closing is None and (
            self.in_flight >= self._limits.sends_in_flight
            or self.outbox.frames * 2 > self._limits.outbox_frames
        ):
            await self.reader_wakeup.wait()

    def offer(self, row: InboxRow) -> None:
        """Hand over a row that was just stored for this device; one too many makes the pump read the inbox again."""
        live = self.live
        if len(live) < self._limits.live_events:
            live.append(row)
            self.live_bytes += len(row.body) + len(row.wrap)
            self.pump_wakeup.set()
        else:
            first = min(row.pos, *(waiting.pos for waiting in live))
            live.clear()
            self.live_bytes = 0
            self.read_again(first)

    def next_live(self) -> InboxRow:
        """Take the oldest row out of the live queue."""
        row = self.live.popleft()
        self.live_bytes -= len(row.body) + len(row.wrap)
        return row

    def read_again(self, first: MessageId) -> None:
        """Make the pump read the inbox again, from this position on."""
        self.lost = first if self.lost is None else min(first, self.lost)
        self.pump_wakeup.set()

    def acknowledge(self, n: int) -> int:
        """Take the client's ACK; the pump goes on if the window is what held it. Return how many events are new in it.

        Raises: `ProtocolError` for an event that was never sent.
        """
        before = self.window.events
        self.window.ack(n, trio.current_time())
        if self.is_held:
            self.pump_wakeup.set()
        return before - self.window.events

    def socket_full(self) -> None:
        """Note that the client reads more slowly than this writes."""
        self.was_full = True

    async def until_window(self) -> bool:
        """Return when the window has room for another event, and whether that took waiting for ACKs; the pump's."""
        self.is_held = True
        had_room = self.window.has_room
        while not self.window.has_room:
            await self.pump_wakeup.wait()
        self.is_held = False
        return not had_room

    def deliver(self, row: InboxRow, cursor: MessageId | None, now: float) -> None:
        """Put a row on its way as the next EVENT; the pump's, which minds the window."""
        if self.is_over:
            return
        window = self.window
        event = Event(
            window.next_n, row.id, row.conv, row.kind, row.sender, row.sender_device, row.cid,
            row.wrap, row.body, row.ref, cursor,
        )  # fmt: skip
        encoded = codec.encode(event)
        window.sent(len(encoded), now)
        self.times.sent(row.pos, row.cid)
        self._post(event, encoded)

    def cursor(self, live_horizon: MessageId) -> MessageId:
        """Return the newest cursor that is safe after everything put into the outbox so far."""
        if self.is_idle and not self.live and self.lost is None:
            self.safe = max(self.safe, live_horizon)
        return self.safe

    def spend(self, what: str, burst: float, per_s: float, amount: float = 1) -> None:
        """Take from this connection's bucket of that name.

        Raises: `RequestError` (`rate_limited`, with the time to wait), and nothing is taken.
        """
        wait_s = self._bucket(what, burst, per_s).take(trio.current_time(), min(amount, burst))
        if wait_s:
            raise RequestError(
                ErrorCode.RATE_LIMITED, f"Too many {what}; slow down.", retry_after_ms=int(wait_s * 1000) + 1
            )

    async def until_allowed(self, what: str, burst: float, per_s: float) -> None:
        """Take from this connection's bucket of that name, and wait first if it must be: for what is never refused."""
        bucket = self._bucket(what, burst, per_s)
        wait_s = bucket.take(trio.current_time())
        if wait_s:
            await trio.sleep(wait_s)
            bucket.take(trio.current_time())

    def can_spend(self, what: str, burst: float, per_s: float, amount: float) -> bool:
        """Take that much at once if it is there: the cheap way for a whole message full of frames."""
        return amount <= burst and not self._bucket(what, burst, per_s).take(trio.current_time(), amount)

    @property
    def buckets(self) -> Buckets:
        """The device's rate limits."""
        return self._buckets

    def _bucket(self, what: str, burst: float, per_s: float) -> LeakyBucket:
        bucket = self._buckets.get(what)
        if bucket is None:
            bucket = self._buckets[what] = LeakyBucket(burst, per_s)
        return bucket

    def close(self, code: CloseCode, reason: str) -> None:
        """End the connection: what waits is written if that takes no longer than `CLOSE_GRACE_S`, then it closes."""
        if self.closing is not None:
            return
        self.closing = (code, reason)
        self.session.close()
        self.writer_wakeup.set()
        self.scope.deadline = min(self.scope.deadline, trio.current_time() + CLOSE_GRACE_S)

    def go_away(self, reason: str, wait_s: tuple[float, float]) -> None:
        """Ask the client to reconnect elsewhere after a random wait in that range."""
        if self.session.state not in (State.OPENING, State.LEAVING, State.CLOSED):
            self.post(GoAway(reason, int(wait_s[0] * 1000), int(wait_s[1] * 1000)))
