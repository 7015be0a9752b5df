"""A device that does what the protocol asks of a client, and remembers all it was told.

What it stores in one step, the real client stores in one transaction (`chappe.client.incoming.take`); what it sends and
when is `chappe.client.sender` without encryption.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from chappe.crypto import primitives
from chappe.ids import FIRST_ID, Cid, ConversationId, DeviceId, MessageId, UserId, device_id
from chappe.protocol import codec
from chappe.protocol.codes import ErrorCode
from chappe.protocol.frames import (
    VERSION,
    Ack,
    Challenge,
    Drained,
    Error,
    Event,
    Frame,
    Hello,
    Kind,
    Ping,
    Pong,
    Send,
    Sent,
    Welcome,
    hello_transcript,
)
from chappe.protocol.session import MAX_PINGS, Role, Session, State

from .gateway import SERVER, Gateway
from .network import Wire

ANSWER_S = 30.0
HEARTBEAT_S = 25.0
AGAIN_S = 1.0
TRY_AGAIN = {ErrorCode.STORE_UNAVAILABLE, ErrorCode.WRITE_LATE, ErrorCode.RATE_LIMITED}


@dataclass
class Draft:
    """A message of this device. `seen` is the newest message that it had of the conversation when it was composed."""

    cid: Cid
    conv: ConversationId
    seen: MessageId | None
    after: MessageId
    was_posted: bool = False
    try_at: float = 0.0
    tries: int = 0
    id: MessageId | None = None


@dataclass
class Violation(Exception):
    """What a device found that must not be."""

    text: str


class Device:
    """`memory`: (device, cid) of every message it has, its own included, with the id it has it under."""

    def __init__(self, number: int, user: UserId, place: Callable[[int], Gateway | None]) -> None:
        self.number = number
        self.user = user
        self.seed = bytes([number + 1]) * 32
        self.key = primitives.ed25519_public(self.seed)
        self.id: DeviceId = device_id(self.key)
        self.peers: dict[ConversationId, list[DeviceId]] = {}
        self.cursor: bytes | None = None
        self.newest: MessageId | None = None
        self.memory: dict[tuple[DeviceId, Cid], MessageId] = {}
        self.of_conv: dict[ConversationId, MessageId] = {}
        self.drafts: list[Draft] = []
        self.gateway = number
        self.up_s = self.down_s = 0.0
        self.is_drained = False
        self._place = place
        self._wire: Wire | None = None
        self._session = Session(Role.CLIENT)
        self._away_until = 0.0
        self._ended_s = -math.inf
        self._resend_at = 0.0
        self._posted: set[Cid] = set()
        self._scope = trio.CancelScope()
        self._due = trio.Event()
        self._pings = 0
        self._n = 0

    def say(self, conv: ConversationId) -> None:
        """Compose a message, with a reference to the newest of its conversation."""
        cid = Cid(bytes([self.number, len(self.drafts)]) + bytes(14))
        self.drafts.append(Draft(cid, conv, self.of_conv.get(conv), self.newest or FIRST_ID))
        self._due.set()

    def ping(self) -> None:
        """Ask for a cursor."""
        if self._wire is not None and self._session.state is State.READY and self._pings < MAX_PINGS:
            self._n += 1
            self._pings += 1
            self._post(Ping(self._n, 0))

    def move(self, gateway: int, away_s: float, *, is_clean: bool) -> None:
        """Lose the connection; be at a gateway after a while."""
        self.gateway = gateway
        self._away_until = trio.current_time() + away_s
        if self._wire is not None:
            self._wire.leave(is_clean=is_clean)
        self._scope.cancel()

    @property
    def unsent(self) -> list[Draft]:
        return [draft for draft in self.drafts if draft.id is None]

    async def run(self) -> None:
        """Connect again and again, for ever."""
        while True:
            with trio.CancelScope() as self._scope:
                await trio.sleep_until(self._away_until)
                gateway = self._place(self.gateway)
                if gateway is None:
                    await trio.sleep(AGAIN_S)
                    continue
                wire = Wire(gateway.gates["devices"], self.up_s, self.down_s)
                if not gateway.connect(wire):
                    await trio.sleep(AGAIN_S)
                    continue
                try:
                    self._wire = wire
                    await self._converse(wire)
                finally:
                    wire.leave(is_clean=True)
                    self._wire = None
                    self.is_drained = False
                    self._ended_s = trio.current_time()
                await trio.sleep(AGAIN_S)

    async def _converse(self, wire: Wire) -> None:
        self._session = Session(Role.CLIENT)
        self._posted = set()
        self._pings = 0
        async with trio.open_nursery() as nursery:
            try:
                while True:
                    self._take(self._session.receive(await wire.receive()), nursery)
            except trio.EndOfChannel:
                nursery.cancel_scope.cancel()

    def _take(self, frames: Sequence[Frame], nursery: trio.Nursery) -> None:  # noqa: C901 - one case a frame
        """Store what came, then acknowledge it."""
        last = None
        cursor = None
        for frame in frames:
            match frame:
                case Challenge(nonce=nonce):
                    proof = primitives.sign(self.seed, hello_transcript(nonce, SERVER, VERSION))
                    self._post(Hello(VERSION, self.id, proof, self.cursor, 4, self.newest))
                case Welcome(resend_ms=resend_ms):
                    self._resend_at = self._ended_s + resend_ms / 1000
                    nursery.start_soon(self._send)
                    nursery.start_soon(self._beat)
                case Event():
                    self._keep(frame.device, frame.cid, frame.conv, frame.id)
                    last = frame.n
                    cursor = frame.cursor or cursor
                case Sent(cid=cid, id=message):
                    [draft] = [draft for draft in self.drafts if draft.cid == cid]
                    draft.id = message
                    self._keep(self.id, cid, draft.conv, message)
                    self._due.set()
                case Error(code=code, cid=cid):
                    if code not in TRY_AGAIN:
                        raise Violation(f"a refusal that nothing explains: {frame}")
                    [draft] = [draft for draft in self.drafts if draft.cid == cid]
                    draft.tries += 1
                    draft.try_at = trio.current_time() + min(60.0, 0.5 * 2**draft.tries)
                    self._due.set()
                case Drained():
                    cursor = frame.cursor
                    self.is_drained = True
                case Pong():
                    self._pings -= 1
                    cursor = frame.cursor or cursor
                case Ping(n=n, now=now):
                    self._post(Pong(n, now))
        if cursor is not None:
            self.cursor = bytes(cursor)
        if last is not None:
            self._post(Ack(last))

    def _keep(self, device: DeviceId, cid: Cid, conv: ConversationId, message: MessageId) -> None:
        """Keep a message; a second one of the same (device, cid) is dropped, and must not be another one."""
        known = self.memory.setdefault((device, cid), message)
        if known != message:
            raise Violation(
                f"device {self.number} has a message under two ids: {known.hex()} {message.hex()}"
            )
        self.newest = max(self.newest or message, message)
        self.of_conv[conv] = max(self.of_conv.get(conv, message), message)

    async def _send(self) -> None:
        """Post what is due: of each conversation the first one that has no answer yet."""
        while True:
            self._due = trio.Event()
            now = trio.current_time()
            wakes = [now + ANSWER_S]
            heads: dict[ConversationId, Draft] = {}
            for draft in self.unsent:
                heads.setdefault(draft.conv, draft)
            for draft in heads.values():
                due = draft.try_at if draft.cid in self._posted else 0.0
                if draft.was_posted and draft.cid not in self._posted:
                    due = max(due, self._resend_at)
                if due > now:
                    wakes.append(due)
                    continue
                wraps = dict.fromkeys(self.peers[draft.conv], b"wrap")
                after = draft.after if draft.was_posted else None
                draft.was_posted = True
                draft.try_at = now + ANSWER_S
                self._posted.add(draft.cid)
                self._post(Send(draft.cid, draft.conv, Kind.MESSAGE, draft.cid, wraps, draft.seen, after))
            with trio.move_on_at(min(wakes)):
                await self._due.wait()

    async def _beat(self) -> None:
        while True:
            await trio.sleep(HEARTBEAT_S)
            self.ping()

    def _post(self, frame: Frame) -> None:
        assert self._wire is not None
        self._session.sending(frame)
        self._wire.post(codec.join([codec.encode(frame)]))
