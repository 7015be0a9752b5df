"""The log writer: batches by itself, settles every group exactly once, loses nothing when its store or task fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from chappe.domain.messages import StoredMessage, Watermark
from chappe.errors import StoreUnavailable
from chappe.ids import Cid, ConversationId, DeviceId, HybridClock, MessageId, UserId
from chappe.metrics import Metrics
from chappe.protocol.frames import Kind
from chappe.workers.log_writer import ASK_AGAIN_S, MARKS_WAIT_S, Doubt, Group, LogWriter, LogWriters, Outcome
from supervisors import Supervisor, child

CONV, USER, DEVICE = ConversationId(b"c" * 16), UserId(b"u" * 16), DeviceId(b"d" * 16)
OTHER = DeviceId(b"o" * 16)


class GatedStore:
    """The append half of a message store that takes its time: each append waits for `gate`, then does `act`."""

    def __init__(self) -> None:
        self.is_exclusive = True
        self.gate = trio.Semaphore(0)
        self.act: Callable[[], None] = lambda: None
        self.appends: list[list[MessageId]] = []
        self.marks: list[Watermark] = []

    async def append(self, messages: Sequence[StoredMessage], watermarks: Sequence[Watermark]) -> None:
        await self.gate.acquire()
        self.act()
        self.appends.append([message.id for message in messages])
        self.marks += watermarks

    async def ping(self) -> None:
        self.act()

    def open(self, times: int = 1000) -> None:
        for _ in range(times):
            self.gate.release()


class Bench:
    """A log writer under a supervisor, and what its groups were told."""

    def __init__(self, *, batch: int = 100, queue: int = 1000) -> None:
        self.store = GatedStore()
        self.clock = HybridClock(lambda: 1, node=0)
        self.writer = LogWriter(self.store, Metrics(), batch=batch, queue=queue, deadline_s=5.0)  # type: ignore[arg-type] # the other half is not used
        self.settled: list[tuple[list[MessageId], Outcome]] = []
        self.supervisor = Supervisor([child(self.writer.run, id="log-writer", shutdown=5.0)], intensity=5)

    def group(self, size: int = 1) -> Group:
        wraps = {OTHER: b"wrap"}
        messages = [
            StoredMessage(
                self.clock.next(), CONV, Kind.MESSAGE, USER, DEVICE, Cid(bytes([i]) * 16), None, b"", wraps
            )
            for i in range(size)
        ]
        return Group(messages, self._settle, trio.current_time())

    def _settle(self, group: Group, outcome: Outcome) -> None:
        self.settled.append(([message.id for message in group.messages], outcome))


def fail() -> None:
    raise StoreUnavailable("the disk is full")


def crash() -> None:
    raise RuntimeError("a bug")


async def test_what_arrives_during_a_write_becomes_one_batch(nursery: trio.Nursery) -> None:
    bench = Bench()
    await nursery.start(bench.supervisor.run)
    for _ in range(5):
        bench.writer.submit_nowait(bench.group(2))
        await wait_all_tasks_blocked()
    assert bench.writer.waiting == 10
    bench.store.open()
    await wait_all_tasks_blocked()
    assert [len(append) for append in bench.store.appends] == [2, 8]
    assert [outcome for _, outcome in bench.settled] == [Outcome.STORED] * 5
    assert bench.writer.waiting == 0
    assert bench.writer.oldest() is None
    await bench.supervisor.stop()


async def test_a_batch_is_bounded_and_groups_stay_whole(nursery: trio.Nursery) -> None:
    bench = Bench(batch=4)
    await nursery.start(bench.supervisor.run)
    for _ in range(4):
        bench.writer.submit_nowait(bench.group(3))
    bench.store.open()
    await wait_all_tasks_blocked()
    assert [len(append) for append in bench.store.appends] == [6, 6]
    await bench.supervisor.stop()


async def test_the_queue_says_how_full_it_is(nursery: trio.Nursery) -> None:
    bench = Bench(queue=8)
    writers = LogWriters([bench.writer, Bench().writer])
    await nursery.start(bench.supervisor.run)
    assert (writers.waiting_bytes, writers.fullness()) == (0, 0.0)
    bench.writer.submit_nowait(bench.group(2))
    bench.writer.submit_nowait(bench.group(4))
    await wait_all_tasks_blocked()
    assert (writers.waiting_bytes, writers.fullness()) == (6 * len(b"wrap"), 0.75)
    bench.store.act = fail  # what fails does not wait any more either
    bench.store.open(1)
    await wait_all_tasks_blocked()
    bench.store.act = lambda: None
    bench.store.open()
    await wait_all_tasks_blocked()
    assert (writers.waiting_bytes, writers.fullness()) == (0, 0.0)
    await bench.supervisor.stop()


async def test_room_is_waited_for_while_the_queue_is_full(nursery: trio.Nursery) -> None:
    bench = Bench(queue=4)
    await nursery.start(bench.supervisor.run)
    await bench.writer.until_room()
    bench.writer.submit_nowait(bench.group(4))
    with trio.move_on_after(0.05) as scope:
        await bench.writer.until_room()
    assert scope.cancelled_caught
    bench.store.open()
    await bench.writer.until_room()
    bench.writer.submit_nowait(bench.group(1))
    await wait_all_tasks_blocked()
    assert len(bench.settled) == 2
    await bench.supervisor.stop()


async def test_the_oldest_unsettled_id_holds_the_horizon(nursery: trio.Nursery) -> None:
    bench = Bench()
    await nursery.start(bench.supervisor.run)
    first, second = bench.group(), bench.group()
    bench.writer.submit_nowait(first)
    await wait_all_tasks_blocked()
    bench.writer.submit_nowait(second)
    assert bench.writer.oldest() == first.messages[0].id
    bench.store.open(1)
    await wait_all_tasks_blocked()
    assert bench.writer.oldest() == second.messages[0].id
    bench.store.open()
    await bench.supervisor.stop()


async def test_a_store_that_fails_settles_as_unknown_and_the_next_write_works(nursery: trio.Nursery) -> None:
    bench = Bench()
    await nursery.start(bench.supervisor.run)
    bench.store.open()
    bench.store.act = fail
    bench.writer.submit_nowait(bench.group())
    await wait_all_tasks_blocked()
    bench.store.act = lambda: None
    bench.writer.submit_nowait(bench.group())
    await wait_all_tasks_blocked()
    assert [outcome for _, outcome in bench.settled] == [Outcome.UNKNOWN, Outcome.STORED]
    await bench.supervisor.stop()


async def test_a_crash_settles_what_was_being_written_and_the_restart_writes_the_rest(
    nursery: trio.Nursery,
) -> None:
    bench = Bench()
    await nursery.start(bench.supervisor.run)
    bench.store.act = crash
    bench.writer.submit_nowait(bench.group())
    await wait_all_tasks_blocked()
    bench.writer.submit_nowait(bench.group())
    bench.store.open(1)
    while not bench.settled:
        await trio.lowlevel.checkpoint()
    bench.store.act = lambda: None
    bench.store.open()
    while len(bench.settled) < 2:
        await trio.lowlevel.checkpoint()
    assert [outcome for _, outcome in bench.settled] == [Outcome.UNKNOWN, Outcome.STORED]
    await bench.supervisor.stop()


async def test_a_write_past_the_deadline_is_late(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bench = Bench()
    await nursery.start(bench.supervisor.run)
    bench.writer.submit_nowait(bench.group())
    await trio.sleep(5.1)
    bench.store.open()
    await wait_all_tasks_blocked()
    assert bench.settled[0][1] is Outcome.LATE
    await bench.supervisor.stop()


async def test_what_was_given_up_holds_back_the_horizon_until_the_store_writes_again(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench()
    resolved: list[Doubt] = []
    bench.writer.on_resolved = resolved.append
    await nursery.start(bench.supervisor.run)
    bench.store.open()
    bench.store.act = fail
    group = bench.group(2)
    bench.writer.submit_nowait(group)
    await trio.sleep(10 * ASK_AGAIN_S)
    assert bench.writer.is_in_doubt
    assert bench.writer.oldest() == group.messages[0].id
    assert resolved == []
    bench.store.act = lambda: None
    await trio.sleep(1.1 * ASK_AGAIN_S)
    assert not bench.writer.is_in_doubt
    assert bench.writer.oldest() is None
    assert resolved == [Doubt(group.messages[0].id, {OTHER})]
    await bench.supervisor.stop()


async def test_stopping_writes_what_waits_first(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bench = Bench()
    await nursery.start(bench.supervisor.run)
    for _ in range(3):
        bench.writer.submit_nowait(bench.group())
        await wait_all_tasks_blocked()
    nursery.start_soon(_open_later, bench.store)
    await bench.supervisor.stop()
    assert [outcome for _, outcome in bench.settled] == [Outcome.STORED] * 3


async def _open_later(store: GatedStore) -> None:
    await trio.sleep(1)
    store.open()


async def test_watermarks_are_merged_and_survive_a_failure(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench()
    heard: list[Watermark] = []
    bench.writer.on_marks = heard.extend
    await nursery.start(bench.supervisor.run)
    one, two = bench.clock.next(), bench.clock.next()
    bench.store.open()
    bench.store.act = fail
    bench.writer.mark(Watermark(CONV, USER, two, None))
    await trio.sleep(1)
    assert heard == []
    bench.store.act = lambda: None
    bench.writer.mark(Watermark(CONV, USER, one, one))
    await trio.sleep(1)
    assert heard == bench.store.marks == [Watermark(CONV, USER, two, one)]
    await bench.supervisor.stop()


async def test_watermarks_wait_a_moment_for_a_message_to_ride_with(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench()
    bench.store.open()
    await nursery.start(bench.supervisor.run)
    mark = Watermark(CONV, USER, bench.clock.next(), None)
    bench.writer.mark(mark)
    await trio.sleep(MARKS_WAIT_S / 2)
    assert bench.store.appends == []
    bench.writer.submit_nowait(bench.group())
    await trio.lowlevel.checkpoint()
    await wait_all_tasks_blocked()
    assert [len(append) for append in bench.store.appends] == [1]
    assert bench.store.marks == [mark]
    bench.writer.mark(mark)
    await trio.sleep(MARKS_WAIT_S * 1.1)
    assert [len(append) for append in bench.store.appends] == [1, 0]
    await bench.supervisor.stop()


@pytest.mark.parametrize("size", [1, 7])
async def test_every_group_is_settled_once(size: int, nursery: trio.Nursery) -> None:
    bench = Bench(batch=3)
    bench.store.open()
    await nursery.start(bench.supervisor.run)
    sent = [bench.group(size) for _ in range(20)]
    for group in sent:
        bench.writer.submit_nowait(group)
    await bench.supervisor.stop()
    assert [ids for ids, _ in bench.settled] == [[message.id for message in group.messages] for group in sent]
