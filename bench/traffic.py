"""Pairs of people who write: a fixed number of messages in flight each, and a ledger that nothing may be
missing from.

`__main__` runs one phase after the other on the same connections. In a pair one person writes and the other
reads: the dearer way, since an answer would travel with the acknowledgements. A message is in flight from
its SEND until both its SENT and its EVENT have come; then the pair sends the next. Phases end by waiting
for all that is in flight.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import ceil
from time import perf_counter, process_time
from typing import Final

from chappe.crypto.envelope import OVERHEAD_BYTES, PAD_STEP_BYTES
from chappe.ids import Cid, ConversationId, DeviceId, MessageId, UserId, direct_conversation
from chappe.protocol.calls import OpenedConversation, UserRef
from chappe.protocol.frames import Event, Kind, Send, Sent

from . import proc
from .accounts import Person
from .errors import BenchError
from .node import Node
from .wire import Connection

BODY_BYTES: Final = PAD_STEP_BYTES + OVERHEAD_BYTES  # a text of up to about 150 characters
WRAP_BYTES: Final = 121  # a message key wrapped by a session that has heard from the other side
DRAIN_S: Final = 60.0
HEARTBEAT_S: Final = 25.0

_BODIES: Final = tuple(os.urandom(BODY_BYTES) for _ in range(64))
_WRAPS: Final = tuple(os.urandom(WRAP_BYTES) for _ in range(64))


@dataclass(slots=True)
class Meter:
    """What all pairs of a phase add up to, while `is_open`. Times in seconds."""

    is_open: bool = False
    delivered: int = 0
    delivered_s: list[float] = field(default_factory=list)
    sent_s: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Phase:
    """The outcome of one phase. `sent` is SEND to SENT, `delivered` SEND to EVENT, both on one clock."""

    in_flight: int
    window_s: float
    delivered: int
    delivered_p50_ms: float
    delivered_p99_ms: float
    sent_p50_ms: float
    server: proc.Cpu
    generator_s: float
    acknowledged: int
    lost: int
    twice: int

    @property
    def per_s(self) -> float:
        """Messages delivered per second."""
        return self.delivered / self.window_s

    @property
    def server_us(self) -> float:
        """The server's CPU per delivered message, microseconds, all of its threads."""
        return self.server.whole_s / self.delivered * 1e6

    @property
    def loop_us(self) -> float:
        """The part of `server_us` in the thread of the event loop."""
        return self.server.main_s / self.delivered * 1e6


class Pair:
    """Two signed-in people and their conversation. `writer` writes, `reader` reads."""

    def __init__(
        self, writer: Connection, reader: Connection, conv: ConversationId, reader_device: DeviceId
    ) -> None:
        self.writer = writer
        self.reader = reader
        self._conv = conv
        self._device = reader_device
        self._prefix = os.urandom(8)
        self._count = 0
        self._meter = Meter()
        self._is_writing = False
        self._begun: dict[Cid, float] = {}
        self._acknowledged: dict[Cid, MessageId] = {}
        self._shown: dict[Cid, MessageId] = {}
        self._twice = 0
        writer.on_sent = self._on_sent
        reader.on_event = self._on_event

    def start(self, in_flight: int, meter: Meter) -> None:
        """Begin a phase with an empty ledger."""
        self._meter = meter
        self._is_writing = True
        for ledger in (self._begun, self._acknowledged, self._shown):
            ledger.clear()
        self._twice = 0
        for _ in range(in_flight):
            self._send()

    def stop(self) -> None:
        """Send nothing more."""
        self._is_writing = False

    @property
    def is_done(self) -> bool:
        """Whether all that was sent was acknowledged and delivered, and the writer heard of the delivery."""
        if not len(self._begun) == len(self._acknowledged) == len(self._shown):
            return False
        return self.writer.peer_delivered.get(self._conv) == max(self._shown.values())

    def ledger(self) -> tuple[int, int, int]:
        """Return how many messages were acknowledged, lost (acknowledged only) and shown twice."""
        lost = sum(self._shown.get(cid) != message for cid, message in self._acknowledged.items())
        return len(self._acknowledged), lost, self._twice

    def _send(self) -> None:
        self._count += 1
        cid = Cid(self._prefix + self._count.to_bytes(8, "big"))
        pick = self._count % 64
        self._begun[cid] = perf_counter()
        self.writer.send(Send(cid, self._conv, Kind.MESSAGE, _BODIES[pick], {self._device: _WRAPS[pick]}))

    def _since(self, cid: Cid) -> float:
        if cid not in self._begun:
            raise BenchError("a message came that nobody sent in this phase")
        return self._begun[cid]

    def _on_sent(self, sent: Sent, now: float) -> None:
        begun = self._since(sent.cid)
        self._acknowledged[sent.cid] = sent.id
        if self._meter.is_open:
            self._meter.sent_s.append(now - begun)
        if self._is_writing and sent.cid in self._shown:
            self._send()

    def _on_event(self, event: Event, now: float) -> None:
        begun = self._since(event.cid)
        if event.cid in self._shown:
            self._twice += 1
            return
        pick = int.from_bytes(event.cid[8:], "big") % 64
        if event.body != _BODIES[pick] or event.wrap != _WRAPS[pick]:
            raise BenchError("a message arrived with another body than it was sent with")
        self._shown[event.cid] = event.id
        if self._meter.is_open:
            self._meter.delivered += 1
            self._meter.delivered_s.append(now - begun)
        if self._is_writing and event.cid in self._acknowledged:
            self._send()


@asynccontextmanager
async def pairs(node: Node, people: Sequence[Person]) -> AsyncIterator[list[Pair]]:
    """Sign people in, open a conversation for every two of them; they disconnect on exit."""
    connections = [await person.connect(node) for person in people]
    made = []
    for number in range(0, len(people), 2):
        (writer, reader), (one, other) = connections[number : number + 2], people[number : number + 2]
        opened = await writer.call("conversations.open", UserRef(other.user), OpenedConversation)
        assert opened.conv == direct_conversation(UserId(one.user), UserId(other.user))
        made.append(Pair(writer, reader, opened.conv, other.device.device_id))
    heart = asyncio.create_task(_heartbeats(connections))
    try:
        yield made
    finally:
        heart.cancel()
        for connection in connections:
            await connection.close()


async def run_phase(  # what to run, and how long
    node: Node,
    everybody: Sequence[Pair],
    in_flight: int,
    *,
    warm_up_s: float,
    window_s: float,
    around: Callable[[], None] = lambda: None,
) -> Phase:
    """Let all pairs write; measure for `window_s` after `warm_up_s`, then wait for the last message.

    `around` is called when the window opens and when it closes.
    """
    meter = Meter()
    for pair in everybody:
        pair.start(in_flight, meter)
    await _all_well(everybody, warm_up_s)
    around()
    server, own, began = proc.cpu(node.pid), process_time(), perf_counter()
    meter.is_open = True
    await _all_well(everybody, window_s)
    meter.is_open = False
    server, own, took = proc.cpu(node.pid).since(server), process_time() - own, perf_counter() - began
    around()
    for pair in everybody:
        pair.stop()
    deadline = perf_counter() + DRAIN_S
    while not all(pair.is_done for pair in everybody) and perf_counter() < deadline:
        await _all_well(everybody, 0.1)
    acknowledged, lost, twice = (
        sum(column) for column in zip(*(pair.ledger() for pair in everybody), strict=True)
    )
    if not meter.delivered:
        raise BenchError(f"Nothing was delivered in the window, {lost} messages were lost.")
    return Phase(
        in_flight=in_flight,
        window_s=took,
        delivered=meter.delivered,
        delivered_p50_ms=percentile(meter.delivered_s, 50) * 1e3,
        delivered_p99_ms=percentile(meter.delivered_s, 99) * 1e3,
        sent_p50_ms=percentile(meter.sent_s, 50) * 1e3,
        server=server,
        generator_s=own,
        acknowledged=acknowledged,
        lost=lost,
        twice=twice,
    )


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the nearest-rank percentile, 0.0 of no values."""
    ordered = sorted(values)
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0


async def _all_well(everybody: Sequence[Pair], seconds: float) -> None:
    failed = [connection.failed for pair in everybody for connection in (pair.writer, pair.reader)]
    done, _ = await asyncio.wait(failed, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for future in done:
        future.result()


async def _heartbeats(connections: Sequence[Connection]) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_S)
        for connection in connections:
            connection.ping()
