"""The log writer: coalesces what all connections want stored into few, large appends (group commit).

The router hands groups of messages and watermarks to `LogWriters`, which gives each conversation to one of them; while
one append is on its way to the disk the next one fills up, so a batch is as large as the load makes it and no message
waits for a timer. Each group is settled when its own rows are durable. How to write them is the store's business, whom
to tell is the router's.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

import trio

from supervisors import trap_stop

from ..domain.messages import StoredMessage, Watermark, merged
from ..errors import OutcomeUnknown, StoreUnavailable
from ..ids import ConversationId, DeviceId, MessageId, UserId
from ..metrics import Metrics
from ..ports import MessageStore
from ..wakeup import Wakeup

MAX_MARKS = 4096
MARKS_WAIT_S = 0.02
ASK_AGAIN_S = 0.5


class Outcome(Enum):
    """What became of a group."""

    STORED = "stored"
    LATE = "late"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Group:
    """Messages that one connection sent together. `settle` is told once; it must not raise."""

    messages: Sequence[StoredMessage]
    settle: Callable[[Group, Outcome], None]
    submitted: float
    size_bytes: int = 0
    """Of all bodies and wraps; the writer's, who counts it once."""


@dataclass(slots=True)
class Doubt:
    """Writes that were given up and may still happen: their smallest id, and the devices they are for."""

    first: MessageId
    devices: set[DeviceId]


class LogWriter:
    """The queue before the message store, and the task that empties it.

    The queue outlives the task: a restart loses nothing that was not yet handed to the store, and what was is
    reported as `Outcome.UNKNOWN`. A group stored later than `deadline_s` after it was submitted is `Outcome.LATE`:
    its ids are too old to acknowledge (the completeness rule).

    A write that was given up may still be done by the store. If that is exclusive, writes happen one after the
    other: until a later one has succeeded, its ids hold back `oldest`, and then `on_resolved` is told whose inboxes
    must be read again. If not, nothing tells when it is over, and nothing has to: the message is stored once more,
    at a new place.
    """

    def __init__(
        self, store: MessageStore, metrics: Metrics, *, batch: int, queue: int, deadline_s: float
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._batch = batch
        self._capacity = queue
        self._deadline_s = deadline_s
        self._groups: deque[Group] = deque()
        self._writing: list[Group] = []
        self._waiting = 0
        self._waiting_bytes = 0
        self._marks: dict[tuple[ConversationId, UserId], Watermark] = {}
        self._is_resting = False
        self._wakeup = Wakeup()
        self._room = trio.lowlevel.ParkingLot()
        self._doubt: Doubt | None = None
        self.on_marks: Callable[[Sequence[Watermark]], None] = lambda _marks: None
        self.on_resolved: Callable[[Doubt], None] = lambda _doubt: None

    @property
    def waiting(self) -> int:
        """How many messages wait or are being written."""
        return self._waiting

    @property
    def waiting_bytes(self) -> int:
        """How large their bodies and wraps are."""
        return self._waiting_bytes

    @property
    def fullness(self) -> float:
        """How full the queue is: 0 to 1, and a little more since what came together is not torn apart."""
        return self._waiting / self._capacity

    def oldest(self) -> MessageId | None:
        """Return the smallest position not yet settled: no reader's cursor may move past it."""
        if self._doubt is not None:
            return self._doubt.first
        first = self._writing or self._groups
        return first[0].messages[0].pos if first else None

    @property
    def is_in_doubt(self) -> bool:
        """Whether a write that was given up may still happen: what is not in the store now may be there soon."""
        return self._doubt is not None

    @property
    def is_full(self) -> bool:
        """Whether the queue has no room."""
        return self._waiting >= self._capacity

    async def until_room(self) -> None:
        """Wait while the queue is full."""
        while self.is_full:
            await self._room.park()

    def submit_nowait(self, group: Group) -> None:
        """Queue a group, right after `until_room`; its positions were made since, so that the queue is in order."""
        self._groups.append(group)
        self._waiting += len(group.messages)
        group.size_bytes = _size(group.messages)
        self._waiting_bytes += group.size_bytes
        self._wakeup.set()

    def mark(self, watermark: Watermark) -> None:
        """Queue a watermark. Those that cannot be held are dropped: the client tells it again when it reconnects."""
        key = (watermark.conv, watermark.user)
        old = self._marks.get(key)
        if old is None and len(self._marks) >= MAX_MARKS:
            self._metrics.watermarks_dropped.inc()
            return
        self._marks[key] = merged(old, watermark)
        if not self._is_resting:
            self._wakeup.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write until asked to stop, then write what still waits and return."""
        stop = trap_stop()
        task_status.started()
        async with trio.open_nursery() as nursery:  # for a helper of this child: it fails and ends with it
            nursery.start_soon(self._wake_at, stop)
            while self._groups or not stop.is_set():
                with trio.move_on_after(ASK_AGAIN_S if self._doubt else math.inf):
                    await self._wakeup.wait()
                if self._marks and not self._groups and not stop.is_set():
                    await self._rest()
                if self._marks:
                    await self._write()
                while self._groups:
                    await self._write()
                if self._doubt is not None:
                    await self._resolve()
            nursery.cancel_scope.cancel()

    async def _rest(self) -> None:
        """Let watermarks wait for a message to ride with: alone they would cost as much as one."""
        self._is_resting = True
        try:
            with trio.move_on_after(MARKS_WAIT_S):
                await self._wakeup.wait()
        finally:
            self._is_resting = False

    async def _wake_at(self, stop: trio.Event) -> None:
        await stop.wait()
        self._wakeup.set()

    async def _write(self) -> None:
        writing = self._writing
        messages: list[StoredMessage] = []
        while self._groups and len(messages) < self._batch:
            group = self._groups.popleft()
            writing.append(group)
            messages.extend(group.messages)
        marks, self._marks = list(self._marks.values()), {}
        stored: Collection[MessageId] | None = ()
        traces, began = self._metrics.traces, trio.current_time()
        try:
            await self._store.append(messages, marks)
            stored = None  # all of them, and the watermarks
            traces.appended(messages, trio.current_time() - began)
        except StoreUnavailable as error:
            self._metrics.store_failures.labels("append").inc()
            traces.appended(messages, trio.current_time() - began, error)
            if isinstance(error, OutcomeUnknown):
                stored = error.stored
            for mark in marks:
                key = (mark.conv, mark.user)
                self._marks[key] = merged(self._marks.get(key), mark)
        except Exception as error:
            traces.appended(messages, trio.current_time() - began, error)
            raise
        finally:
            # Also when the task crashes or is cancelled: whoever waits hears that the outcome is unknown.
            self._writing = []
            self._settle(writing, len(messages), stored)
        if stored is None:
            self._metrics.append_batch.observe(len(messages))
            self.on_marks(marks)

    async def _resolve(self) -> None:
        """Ask whether the store writes again; if so, what was given up before has happened by now, or never will."""
        with suppress(StoreUnavailable):
            await self._store.ping()
            if self._doubt is not None:
                doubt, self._doubt = self._doubt, None
                self.on_resolved(doubt)

    def _settle(self, groups: list[Group], messages: int, stored: Collection[MessageId] | None) -> None:
        self._waiting -= messages
        self._room.unpark_all()
        now = trio.current_time()
        for group in groups:
            self._waiting_bytes -= group.size_bytes
            if stored is not None and not all(message.id in stored for message in group.messages):
                outcome = Outcome.UNKNOWN
                if self._store.is_exclusive:
                    self._note_doubt(group)
            elif now - group.submitted > self._deadline_s:
                outcome = Outcome.LATE
            else:
                outcome = Outcome.STORED
            group.settle(group, outcome)

    def _note_doubt(self, group: Group) -> None:
        if self._doubt is None:
            self._doubt = Doubt(group.messages[0].id, set())
        for message in group.messages:
            self._doubt.devices.update(message.wraps)


def _size(messages: Sequence[StoredMessage]) -> int:
    total = 0
    for message in messages:
        total += len(message.body)
        for wrap in message.wraps.values():
            total += len(wrap)
    return total


class LogWriters:
    """The log writers of a node: each conversation has its own one of them, so that its messages keep their order."""

    def __init__(self, writers: Sequence[LogWriter]) -> None:
        self._writers = writers

    def __len__(self) -> int:
        return len(self._writers)

    def __iter__(self) -> Iterator[LogWriter]:
        return iter(self._writers)

    def __getitem__(self, number: int) -> LogWriter:
        return self._writers[number]

    @property
    def waiting(self) -> int:
        """How many messages wait or are being written."""
        return sum(writer.waiting for writer in self._writers)

    @property
    def waiting_bytes(self) -> int:
        """How large their bodies and wraps are."""
        return sum(writer.waiting_bytes for writer in self._writers)

    def fullness(self) -> float:
        """Return how full the fullest queue is."""
        return max(writer.fullness for writer in self._writers)

    @property
    def is_in_doubt(self) -> bool:
        """Whether any has a write that was given up and may still happen."""
        return any(writer.is_in_doubt for writer in self._writers)

    def oldest(self) -> MessageId | None:
        """Return the smallest position not yet settled: no reader's cursor may move past it."""
        return min(
            (first for writer in self._writers if (first := writer.oldest()) is not None), default=None
        )

    def number_of(self, conv: ConversationId) -> int:
        """Return the number of a conversation's writer. Ids of conversations are random, or hashes."""
        return conv[0] % len(self._writers)

    async def until_room(self, numbers: Iterable[int]) -> None:
        """Wait while the queue of any of these writers is full."""
        writers = [self._writers[number] for number in set(numbers)]
        while full := [writer for writer in writers if writer.is_full]:
            await full[0].until_room()

    def mark(self, watermark: Watermark) -> None:
        """Queue a watermark."""
        self._writers[self.number_of(watermark.conv)].mark(watermark)
