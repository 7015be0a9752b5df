"""The way of a message through a node: check it, give it its id, have it stored, tell everybody.

The reader of a connection calls `send`, `receipt` and `typing`; the log writers call back when a group is durable. It
knows no socket and no database: connections are found in the hub, members and devices in the directory, and who is not
here may be elsewhere, which is for the bus to find out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter

import msgspec
import trio

from ..domain.messages import InboxRow, LogRow, StoredMessage, Watermark
from ..domain.partitions import Budgets
from ..errors import StoreUnavailable
from ..ids import FIRST_ID, Cid, ConversationId, DeviceId, HybridClock, MessageId, before, floor_id
from ..metrics import Metrics
from ..ports import Bus, MessageStore
from ..protocol import codec
from ..protocol.codes import ErrorCode, RequestError
from ..protocol.frames import Error, MismatchedDevices, Receipt, Send, Sent, Typing
from ..settings import LimitSettings, Timing
from ..workers.log_writer import Doubt, Group, LogWriters, Outcome
from .connection import Connection
from .directory import Audience, Directory
from .hub import Hub
from .refusals import refuse, store_away

REMEMBERED_SENDS = 100_000


@dataclass(slots=True)
class _Try:
    """A recent (device, cid): what was sent, its id once it has one, and what became of the last attempt to store it.

    `outcome` is None while it is being stored. Otherwise than STORED it is to be stored once more, under the same id.
    """

    fingerprint: int
    id: MessageId | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Services:
    """What the router works with."""

    hub: Hub
    directory: Directory
    store: MessageStore
    writers: LogWriters
    bus: Bus
    clock: HybridClock
    metrics: Metrics
    now_ms: Callable[[], int]


class Router:
    """Routes messages, receipts and typing notes between the connections of a node and its store."""

    def __init__(self, services: Services, limits: LimitSettings, timing: Timing) -> None:
        self._hub = services.hub
        self._directory = services.directory
        self._store = services.store
        self._writers = services.writers
        self._bus = services.bus
        self._clock = services.clock
        self._metrics = services.metrics
        self._now_ms = services.now_ms
        self._limits = limits
        self._late_ms = timing.late_ms
        self._skew_ms = int(timing.skew_s * 1000)
        self._budgets = Budgets(limits.conversation_bytes_burst, limits.conversation_bytes_per_s)
        self._tries: OrderedDict[tuple[DeviceId, Cid], _Try] = OrderedDict()
        for writer in self._writers:
            writer.on_marks = self._marked
            writer.on_resolved = self._resolved

    def horizon(self) -> MessageId:
        """Return up to where every inbox is complete: whoever reads one from now on misses nothing up to there, since
        nothing that is acknowledged later, by any gateway, has a smaller position.
        """
        horizon = floor_id(self._now_ms() - self._late_ms)
        oldest = self._writers.oldest()
        return horizon if oldest is None or horizon < oldest else before(oldest)

    def live_horizon(self) -> MessageId:
        """Return up to where everybody here has been given everything, though the inbox was not read: as far as the
        inboxes are complete if this gateway alone writes to them; nowhere if the wake for some row may be missing.
        """
        return self.horizon() if self._store.is_exclusive else FIRST_ID

    async def send(self, connection: Connection, sends: Sequence[Send]) -> None:
        """Take in what came in one WebSocket message; every SEND gets its SENT or ERROR, now or when it is durable.

        Waits while the log writer's queue is full. Cancelled: what was queued is stored all the same.
        """
        received = trio.current_time()
        limits = self._limits
        is_within = connection.can_spend("messages", limits.messages_burst, limits.messages_per_s, len(sends))
        accepted: list[tuple[int, Send, _Try]] = []
        for number, send in enumerate(sends):
            try:
                if not is_within:
                    connection.spend("messages", limits.messages_burst, limits.messages_per_s)
                if (made := await self._take_in(connection, send)) is not None:
                    accepted.append((self._writers.number_of(send.conv), send, made))
            except RequestError as refusal:
                refuse(connection, self._metrics, refusal, cid=send.cid)
            except StoreUnavailable:
                refuse(connection, self._metrics, store_away(self._metrics, "send"), cid=send.cid)
            except Exception:
                # A bug: the connection ends, and these are not answered.
                self._metrics.sends_failed.inc(len(sends) - number + len(accepted))
                raise
        if accepted:
            await self._writers.until_room(number for number, _, _ in accepted)
            self._submit(connection, accepted, received)

    def _submit(
        self, connection: Connection, accepted: list[tuple[int, Send, _Try]], received: float
    ) -> None:
        """Give messages their ids and queue them, in one step: each writer's queue is in the order of positions."""
        assert connection.user is not None
        assert connection.device is not None
        next_id, user, device = self._clock.next, connection.user, connection.device
        now = trio.current_time()
        connection.in_flight += len(accepted)
        accepted.sort(key=itemgetter(0))  # stable: within a writer they keep the order in which they came
        for number, part in groupby(accepted, key=itemgetter(0)):
            messages = []
            for _, send, made in part:
                pos = next_id()
                again = None if made.id is None else pos
                made.id = made.id or pos
                messages.append(
                    StoredMessage(
                        made.id, send.conv, send.kind, user, device, send.cid, send.ref, send.body, send.wraps, again
                    )
                )  # fmt: skip
            settle = partial(self._settle, connection, received)
            self._writers[number].submit_nowait(Group(messages, settle, now))

    async def receipt(self, connection: Connection, receipt: Receipt) -> None:
        """Take a watermark; the other devices of the conversation hear of it once it is durable."""
        assert connection.user is not None
        # A receipt has no answer, so a refusal would lose it: a client that sends too many waits instead.
        await connection.until_allowed("receipts", self._limits.receipts_burst, self._limits.receipts_per_s)
        await self._audience(connection, receipt.conv)
        newest = self._clock.newest
        self._metrics.receipts.inc()
        delivered = min(receipt.delivered, newest) if receipt.delivered else None
        read = min(receipt.read, newest) if receipt.read else None
        self._writers.mark(Watermark(receipt.conv, connection.user, delivered, read))

    async def typing(self, connection: Connection, typing: Typing) -> None:
        """Tell the other devices of the conversation that somebody types."""
        connection.spend("notes", self._limits.notes_burst, self._limits.notes_per_s)
        audience = await self._audience(connection, typing.conv)
        note = codec.encode(Typing(typing.conv, typing.active, connection.user))
        elsewhere = []
        for device in audience.devices:
            other = self._hub.of_device(device)
            if other is None:
                elsewhere.append(device)
            elif other.user != connection.user and not other.note(
                (Typing, typing.conv, connection.user), note
            ):
                self._metrics.notes_dropped.inc()
        self._bus.note_nowait(elsewhere, note)

    async def _take_in(self, connection: Connection, send: Send) -> _Try | None:
        """Return what is to be stored, perhaps once more; None if it was answered, or will be, from an earlier try.

        Raises: `RequestError`, `StoreUnavailable`.
        """
        assert connection.device is not None
        audience = await self._audience(connection, send.conv)
        key = (connection.device, send.cid)
        earlier = self._tries.get(key)
        fingerprint = _fingerprint(send)
        # What failed here may have been stored by another gateway since, under another id.
        is_unsure = earlier is None or earlier.outcome is Outcome.UNKNOWN
        if is_unsure and send.after is not None:
            if self._writers.is_in_doubt:
                raise StoreUnavailable("An earlier write may still happen; this could be it.")
            row = await self._store.find(send.conv, connection.device, send.cid, send.after)
            if row is not None:
                # A row in a store that others write to says nothing of the inboxes: another gateway may have died.
                outcome = Outcome.STORED if self._store.is_exclusive else Outcome.UNKNOWN
                earlier = _Try(_fingerprint(row), row.id, outcome)
                self._remember(key, earlier)
        if earlier is not None:
            if earlier.fingerprint != fingerprint:
                raise RequestError(ErrorCode.CID_CONFLICT, "This cid named another message; use a new one.")
            if earlier.outcome is None:
                return None  # it is being written: its SENT goes to the device when that is done
            if earlier.outcome is Outcome.STORED:
                assert earlier.id is not None
                self._metrics.duplicates.inc()
                self._metrics.sends_ok.inc()
                connection.post(Sent(send.cid, earlier.id, duplicate=True))
                return None
        self._check_devices(connection.device, send, audience)
        if send.ref is not None:
            self.saw(send.ref)
        if earlier is None:
            self._spend_budget(send)
            earlier = _Try(fingerprint)
            self._remember(key, earlier)
        earlier.outcome = None
        return earlier

    def _spend_budget(self, send: Send) -> None:
        wait_s = self._budgets.take(send.conv, len(send.body), trio.current_time())
        if wait_s:
            raise RequestError(
                ErrorCode.RATE_LIMITED,
                "Too much was said in this conversation; slow down.",
                retry_after_ms=int(wait_s * 1000) + 1,
            )

    def saw(self, newest: MessageId) -> None:
        """Never make an id that is smaller than one a client has seen, however slow the clock here; nor believe a
        client what no clock within the bounds could have made.
        """
        if newest < floor_id(self._now_ms() + self._skew_ms):
            self._clock.observe(newest)

    def _check_devices(self, device: DeviceId, send: Send, audience: Audience) -> None:
        wraps = send.wraps
        # The common case without making a set: as many as there should be, none for itself, all expected.
        if (
            len(wraps) == len(audience.devices) - 1
            and device not in wraps
            and wraps.keys() <= audience.devices
        ):
            return
        expected = audience.devices - {device}
        extra = wraps.keys() - expected
        detail = MismatchedDevices(missing=sorted(expected - wraps.keys()), extra=sorted(extra))
        raise RequestError(
            ErrorCode.MISMATCHED_DEVICES,
            "The wraps are not for the devices of this conversation; fetch the device lists again.",
            detail=msgspec.msgpack.encode(detail),
        )

    def _remember(self, key: tuple[DeviceId, Cid], made: _Try) -> None:
        self._tries[key] = made
        if len(self._tries) > REMEMBERED_SENDS:
            self._tries.popitem(last=False)

    async def _audience(self, connection: Connection, conv: ConversationId) -> Audience:
        audience = self._directory.audience_nowait(conv) or await self._directory.audience(conv)
        if audience is None or connection.user not in audience.members:
            raise RequestError(ErrorCode.UNKNOWN_CONVERSATION, "No such conversation; open it first.")
        return audience

    def _settle(self, connection: Connection, received: float, group: Group, outcome: Outcome) -> None:
        """Answer the sender and hand the rows to whoever is connected. Late rows are stored, so they are delivered."""
        connection.in_flight -= len(group.messages)
        connection.reader_wakeup.set()
        # The device may have reconnected while this was written; its new connection gets the answer.
        sender = self._hub.of_device(group.messages[0].device) or connection
        for message in group.messages:
            key = (message.device, message.cid)
            made = self._tries.get(key)
            if outcome is Outcome.UNKNOWN:
                if made is not None and self._store.is_exclusive:
                    del self._tries[key]  # whether it is there will be known for certain
                elif made is not None:
                    made.outcome = outcome
                self._fail(
                    sender, message, ErrorCode.STORE_UNAVAILABLE, "The store did not take it; try again."
                )
                continue
            if made is not None:
                made.outcome = Outcome.STORED if self._store.is_exclusive else outcome
            if outcome is Outcome.LATE:
                self._metrics.late_writes.inc()
                self._fail(sender, message, ErrorCode.WRITE_LATE, "The store was too slow; try again.")
            else:
                sender.post(Sent(message.cid, message.id))
            self._deliver(message)
        taken_s = trio.current_time() - received
        if outcome is Outcome.STORED:
            self._metrics.messages.inc(len(group.messages))
            self._metrics.sends_ok.inc(len(group.messages))
            self._metrics.send_seconds.observe(taken_s, len(group.messages))
        self._metrics.traces.sent(
            group.messages, taken_s, None if outcome is Outcome.STORED else outcome.value
        )

    def _fail(self, sender: Connection, message: StoredMessage, code: ErrorCode, text: str) -> None:
        self._metrics.send_refused(code)
        sender.post(Error(code, text, cid=message.cid))

    def _deliver(self, message: StoredMessage) -> None:
        elsewhere = []
        for device, wrap in message.wraps.items():
            connection = self._hub.of_device(device)
            if connection is not None:
                connection.offer(
                    InboxRow(
                        message.id, message.conv, message.kind, message.sender, message.device, message.cid,
                        message.ref, wrap, message.body, message.pos,
                    )
                )  # fmt: skip
            else:
                elsewhere.append(device)
        self._bus.wake_nowait(message, elsewhere)

    def _resolved(self, doubt: Doubt) -> None:
        for device in doubt.devices:
            connection = self._hub.of_device(device)
            if connection is not None:
                connection.read_again(doubt.first)

    def _marked(self, marks: Sequence[Watermark]) -> None:
        for mark in marks:
            audience = self._directory.audience_nowait(mark.conv)
            if audience is None:
                continue  # nobody of it is active here; they ask for watermarks when they sign in
            note = codec.encode(Receipt(mark.conv, mark.delivered, mark.read, mark.user))
            elsewhere = []
            for device in audience.devices:
                connection = self._hub.of_device(device)
                if connection is None:
                    elsewhere.append(device)
                elif connection.user != mark.user or len(self._hub.of_user(mark.user)) > 1:
                    connection.note((Receipt, mark.conv, mark.user), note, keep=True)
                # else the only one that could have told us
            self._bus.note_nowait(elsewhere, note)


def _fingerprint(message: Send | LogRow) -> int:
    """Return what tells two messages of one cid apart, within this process."""
    return hash((message.conv, message.kind, message.ref, message.body))
