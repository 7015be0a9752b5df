"""The way of a message through a node: check it, give it its id, have it stored, tell everybody.

The reader of a connection calls `send`, `receipt` and `typing`; the log writer calls back when a group is durable. It
knows no socket and no database: connections are found in the hub, members and devices in the directory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
import trio

from ..domain.messages import InboxRow, LogRow, StoredMessage, Watermark
from ..errors import StoreUnavailable
from ..ids import Cid, ConversationId, DeviceId, HybridClock, MessageId, before, floor_id
from ..metrics import Metrics
from ..ports import MessageStore
from ..protocol import codec
from ..protocol.codes import ErrorCode, RequestError
from ..protocol.frames import Error, MismatchedDevices, Receipt, Send, Sent, Typing
from ..settings import LimitSettings, Timing
from ..workers.log_writer import Doubt, Group, LogWriter, Outcome
from .connection import Connection
from .directory import Audience, Directory
from .hub import Hub
from .refusals import refuse, store_away

REMEMBERED_SENDS = 100_000


@dataclass(slots=True)
class _Try:
    """A recent (device, cid): what was sent, and its id once it is stored."""

    fingerprint: int
    id: MessageId | None = None


@dataclass(frozen=True, slots=True)
class Services:
    """What the router works with."""

    hub: Hub
    directory: Directory
    store: MessageStore
    writer: LogWriter
    clock: HybridClock
    metrics: Metrics
    now_ms: Callable[[], int]


class Router:
    """Routes messages, receipts and typing notes between the connections of a node and its store."""

    def __init__(self, services: Services, limits: LimitSettings, timing: Timing) -> None:
        self._hub = services.hub
        self._directory = services.directory
        self._store = services.store
        self._writer = services.writer
        self._clock = services.clock
        self._metrics = services.metrics
        self._now_ms = services.now_ms
        self._limits = limits
        self._late_ms = timing.late_ms
        self._tries: OrderedDict[tuple[DeviceId, Cid], _Try] = OrderedDict()
        self._writer.on_marks = self._marked
        self._writer.on_resolved = self._resolved

    def horizon(self) -> MessageId:
        """Return up to where every inbox is complete: nothing stored from now on has a smaller id."""
        horizon = floor_id(self._now_ms() - self._late_ms)
        oldest = self._writer.oldest()
        return horizon if oldest is None or horizon < oldest else before(oldest)

    async def send(self, connection: Connection, sends: Sequence[Send]) -> None:
        """Take in what came in one WebSocket message; every SEND gets its SENT or ERROR, now or when it is durable.

        Waits while the log writer's queue is full. Cancelled: what was queued is stored all the same.
        """
        limits = self._limits
        is_within = connection.can_spend("messages", limits.messages_burst, limits.messages_per_s, len(sends))
        accepted: list[Send] = []
        for send in sends:
            try:
                if not is_within:
                    connection.spend("messages", limits.messages_burst, limits.messages_per_s)
                if await self._is_new(connection, send):
                    accepted.append(send)
            except RequestError as refusal:
                refuse(connection, self._metrics, refusal, cid=send.cid)
            except StoreUnavailable:
                refuse(connection, self._metrics, store_away(self._metrics, "send"), cid=send.cid)
        if accepted:
            await self._writer.until_room()
            self._submit(connection, accepted)

    def _submit(self, connection: Connection, accepted: list[Send]) -> None:
        """Give messages their ids and queue them, in one step: the log's queue is in the order of ids."""
        assert connection.user is not None
        assert connection.device is not None
        next_id, user, device = self._clock.next, connection.user, connection.device
        messages = [
            StoredMessage(
                next_id(), send.conv, send.kind, user, device, send.cid, send.ref, send.body, send.wraps
            )
            for send in accepted
        ]
        connection.in_flight += len(messages)
        self._writer.submit_nowait(Group(messages, partial(self._settle, connection), trio.current_time()))

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
        self._writer.mark(Watermark(receipt.conv, connection.user, delivered, read))

    async def typing(self, connection: Connection, typing: Typing) -> None:
        """Tell the other devices of the conversation that somebody types."""
        connection.spend("notes", self._limits.notes_burst, self._limits.notes_per_s)
        audience = await self._audience(connection, typing.conv)
        note = codec.encode(Typing(typing.conv, typing.active, connection.user))
        for device in audience.devices:
            other = self._hub.of_device(device)
            if other is None or other.user == connection.user:
                continue
            if not other.note((Typing, typing.conv, connection.user), note):
                self._metrics.notes_dropped.inc()

    async def _is_new(self, connection: Connection, send: Send) -> bool:
        """Return whether to store this message; if not, it was answered, or will be, from an earlier try.

        Raises: `RequestError`, `StoreUnavailable`.
        """
        assert connection.device is not None
        audience = await self._audience(connection, send.conv)
        key = (connection.device, send.cid)
        earlier = self._tries.get(key)
        fingerprint = _fingerprint(send)
        if earlier is None and send.after is not None:
            if self._writer.is_in_doubt:
                raise StoreUnavailable("An earlier write may still happen; this could be it.")
            row = await self._store.find(send.conv, connection.device, send.cid, send.after)
            if row is not None:
                earlier = _Try(_fingerprint(row), row.id)
                self._remember(key, earlier)
        if earlier is not None:
            if earlier.fingerprint != fingerprint:
                raise RequestError(ErrorCode.CID_CONFLICT, "This cid named another message; use a new one.")
            if earlier.id is not None:
                self._metrics.duplicates.inc()
                connection.post(Sent(send.cid, earlier.id, duplicate=True))
            return False  # without an id it is being written: its SENT goes to the device when that is done
        self._check_devices(connection.device, send, audience)
        self._remember(key, _Try(fingerprint))
        return True

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

    def _settle(self, connection: Connection, group: Group, outcome: Outcome) -> None:
        """Answer the sender and hand the rows to whoever is connected. Late rows are stored, so they are delivered."""
        connection.in_flight -= len(group.messages)
        connection.reader_wakeup.set()
        # The device may have reconnected while this was written; its new connection gets the answer.
        sender = self._hub.of_device(group.messages[0].device) or connection
        for message in group.messages:
            key = (message.device, message.cid)
            if outcome is Outcome.UNKNOWN:
                self._tries.pop(key, None)
                self._fail(
                    sender, message, ErrorCode.STORE_UNAVAILABLE, "The store did not take it; try again."
                )
                continue
            if (made := self._tries.get(key)) is not None:
                made.id = message.id
            if outcome is Outcome.LATE:
                self._metrics.late_writes.inc()
                self._fail(sender, message, ErrorCode.WRITE_LATE, "The store was too slow; try again.")
            else:
                sender.post(Sent(message.cid, message.id))
            self._deliver(message)
        if outcome is Outcome.STORED:
            self._metrics.messages.inc(len(group.messages))
            self._metrics.send_seconds.observe(trio.current_time() - group.submitted)

    def _fail(self, sender: Connection, message: StoredMessage, code: ErrorCode, text: str) -> None:
        self._metrics.errors.labels(code).inc()
        sender.post(Error(code, text, cid=message.cid))

    def _deliver(self, message: StoredMessage) -> None:
        for device, wrap in message.wraps.items():
            connection = self._hub.of_device(device)
            if connection is not None:
                connection.offer(
                    InboxRow(
                        message.id, message.conv, message.kind, message.sender, message.device, message.cid,
                        message.ref, wrap, message.body,
                    )
                )  # fmt: skip

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
            for device in audience.devices:
                connection = self._hub.of_device(device)
                if connection is None or (
                    connection.user == mark.user and len(self._hub.of_user(mark.user)) == 1
                ):
                    continue  # not here, or the only one that could have told us
                connection.note((Receipt, mark.conv, mark.user), note, keep=True)


def _fingerprint(message: Send | LogRow) -> int:
    """Return what tells two messages of one cid apart, within this process."""
    return hash((message.conv, message.kind, message.ref, message.body))
