"""What a crash in one part of a node does to the rest: nothing a client would notice, or its own connection only."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from chappe.app import Node
from chappe.domain.messages import InboxRow, StoredMessage, Watermark
from chappe.errors import StoreUnavailable
from chappe.gateway.connection import Connection
from chappe.ids import FIRST_ID, DeviceId, MessageId
from chappe.protocol import calls
from chappe.protocol.codes import CloseCode, ErrorCode, RequestError
from chappe.protocol.frames import Drained, Error, GoAway, Ping, Pong, Sent
from chappe.stores.sqlite.messages import SqliteMessageStore
from chappe.stores.sqlite.writer import Writer

from .raw import Person, connected, message, receive, register, running_node, send, settings, signed_in


def fail_inbox(monkeypatch: pytest.MonkeyPatch, error: Exception, times: int) -> None:
    """Make the next reads of any inbox fail."""
    real = SqliteMessageStore.inbox
    left = [error] * times

    async def inbox(
        self: SqliteMessageStore, device: DeviceId, after: MessageId, limit: int
    ) -> list[InboxRow]:
        if left:
            raise left.pop()
        return await real(self, device, after, limit)

    monkeypatch.setattr(SqliteMessageStore, "inbox", inbox)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), RuntimeError("a bug")], ids=["store", "bug"])
async def test_a_pump_that_crashes_is_restarted_and_the_socket_survives(
    node: Node, alice: Person, bob: Person, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with signed_in(node, alice) as a:
        sent = await send(a, message(await a.open(bob), bob.device))
        fail_inbox(monkeypatch, error, times=2)
        async with connected(node) as b:
            await b.hello(bob)
            assert [event.id for event in await receive(b)] == [sent.id]
            await b.next(Drained)
    crashes = node.metrics.registry.get_sample_value(
        "chappe_child_ends_total", {"child": "node/connections/*/session/pump", "reason": "crashed"}
    )
    restarts = node.metrics.registry.get_sample_value(
        "chappe_child_restarts_total", {"child": "node/connections/*/session/pump"}
    )
    assert (crashes, restarts) == (2, 2)


async def test_a_pump_that_keeps_crashing_closes_its_connection_with_overloaded(
    node: Node, alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with signed_in(node, alice) as a:
        fail_inbox(monkeypatch, StoreUnavailable("away"), times=6)
        async with connected(node) as b:
            await b.hello(bob)
            assert (await b.closed())[0] == CloseCode.OVERLOADED
        await a.send(Ping(1, 0))
        assert (await a.next(Pong)).n == 1
        async with signed_in(node, bob):
            pass


async def test_a_bug_in_a_reader_ends_that_connection_alone(
    node: Node, alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(self: Connection, horizon: MessageId) -> MessageId:
        raise RuntimeError("a bug")

    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        conv = await a.open(bob)
        with monkeypatch.context() as patch:
            patch.setattr(Connection, "cursor", explode)
            await b.send(Ping(1, 0))
            assert (await b.closed())[0] == CloseCode.INTERNAL
        await send(a, message(conv, bob.device))
        async with signed_in(node, bob) as again:
            assert len(await receive(again)) == 1


async def test_a_handler_that_crashes_is_answered_all_the_same(
    node: Node, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def explode(self: object, *_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("chappe.stores.sql.users.SqlUserStore.contacts", explode)
    async with signed_in(node, alice) as a:
        with pytest.raises(RequestError) as refusal:
            await a.call("contacts.list", calls.Nothing())
        assert refusal.value.code is ErrorCode.INTERNAL
        assert await a.call("settings.get", calls.Nothing())


async def test_a_user_store_that_is_away_stops_calls_but_not_messages(
    node: Node, alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise StoreUnavailable("away")

    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        conv = await a.open(bob)
        await send(a, message(conv, bob.device))
        monkeypatch.setattr("chappe.stores.sql.engine.Database.read", away)
        with pytest.raises(RequestError) as refusal:
            await a.call("contacts.list", calls.Nothing())
        assert refusal.value.code is ErrorCode.STORE_UNAVAILABLE
        await send(a, message(conv, bob.device))
        assert len(await receive(b, 2)) == 2


async def test_a_message_store_that_fails_is_told_and_a_retry_works(
    node: Node, alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise StoreUnavailable("the disk is full")

    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        conv = await a.open(bob)
        frame = message(conv, bob.device)
        with monkeypatch.context() as patch:
            patch.setattr(SqliteMessageStore, "append", full)
            await a.send(frame)
            refused = await a.next(Error)
            assert (refused.code, refused.cid) == (ErrorCode.STORE_UNAVAILABLE, frame.cid)
        answer: Sent | Error = refused
        while isinstance(answer, Error):  # until it is known that the first try was not stored
            await a.send(msgspec.structs.replace(frame, after=FIRST_ID))
            answer = await a.next(Sent | Error)
        sent = answer
        assert [event.id for event in await receive(b)] == [sent.id]


async def test_a_write_that_was_given_up_and_still_happened_reaches_its_recipient(
    node: Node, alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that stalls past the store's deadline: the thread commits when nobody waits for it any more."""
    disk = threading.Event()
    real = Writer.append

    def stalled(self: Writer, messages: Sequence[StoredMessage], watermarks: Sequence[Watermark]) -> None:
        disk.wait()
        real(self, messages, watermarks)

    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        conv = await a.open(bob)
        frame = message(conv, bob.device)
        resend = msgspec.structs.replace(frame, after=FIRST_ID)
        with monkeypatch.context() as patch:
            patch.setattr(Writer, "append", stalled)
            patch.setattr(node._rim.messages._writes, "_deadline_s", 0.1)
            await a.send(frame)
            assert (await a.next(Error)).code is ErrorCode.STORE_UNAVAILABLE
            # Nobody can know yet whether it will be stored, so a resend may neither store it again nor be answered.
            await a.send(resend)
            assert (await a.next(Error)).code is ErrorCode.STORE_UNAVAILABLE
            await b.send(Ping(1, 0))
            assert ((await b.next(Pong)).cursor or FIRST_ID) < node.clock.newest
        disk.set()
        [event] = await receive(b)
        assert event.cid == frame.cid
        sent = await send(a, resend)
        assert (sent.id, sent.duplicate) == (event.id, True)


async def test_a_crash_of_the_log_writer_answers_everybody_and_the_next_send_works(
    node: Node, alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def bug(*_: object) -> None:
        raise RuntimeError("a bug")

    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        conv = await a.open(bob)
        with monkeypatch.context() as patch:
            patch.setattr(SqliteMessageStore, "append", bug)
            await a.send(message(conv, bob.device))
            assert (await a.next(Error)).code is ErrorCode.STORE_UNAVAILABLE
        await send(a, message(conv, bob.device))
        assert len(await receive(b)) == 1


async def test_stopping_says_goodbye_and_loses_nothing(tmp_path: Path, codes: dict[str, str]) -> None:
    config = settings(tmp_path / "data", timing={"drain_s": 5.0, "goaway_spread_s": 2.0})
    alice, bob = Person("alice", "+4915112345601"), Person("bob", "+4915112345602")
    async with running_node(config) as node, trio.open_nursery() as nursery:
        for person in (alice, bob):
            await register(node, person, codes)
        async with signed_in(node, alice) as a:
            conv = await a.open(bob)
            frames = [message(conv, bob.device) for _ in range(50)]
            await a.send(*frames)
            await wait_all_tasks_blocked()
            nursery.start_soon(node.supervisor.stop)
            away = await a.next(GoAway)
            assert (away.wait_min_ms, away.wait_max_ms) == (0, 2000)
            # What was under way is finished before the client leaves.
            await a.send(last := message(conv, bob.device))
            answered = [(await a.next(Sent)).cid for _ in range(51)]
            assert answered == [frame.cid for frame in [*frames, last]]
    async with running_node(config) as node, connected(node) as b:
        await b.hello(bob)
        assert [event.cid for event in await receive(b, 51)] == answered


async def test_a_client_that_stays_is_closed_when_the_time_is_over(
    tmp_path: Path, codes: dict[str, str]
) -> None:
    alice = Person("alice", "+4915112345601")
    async with running_node(settings(tmp_path / "data")) as node, trio.open_nursery() as nursery:
        await register(node, alice, codes)
        async with signed_in(node, alice) as a:
            nursery.start_soon(node.supervisor.stop)
            assert (await a.closed())[0] == CloseCode.GOING_AWAY
            assert [type(frame) for frame in a.seen] == [GoAway]


async def test_a_writer_that_does_not_end_is_cancelled_when_the_time_of_the_tree_is_over(
    tmp_path: Path, codes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await trio.sleep_forever()

    alice, bob = Person("alice", "+4915112345601"), Person("bob", "+4915112345602")
    config = settings(tmp_path / "data", timing={"write_deadline_s": 30.0, "stop_s": 0.5})
    async with running_node(config) as node:
        for person in (alice, bob):
            await register(node, person, codes)
        async with signed_in(node, alice) as a:
            conv = await a.open(bob)
            monkeypatch.setattr(SqliteMessageStore, "append", never)
            await a.send(message(conv, bob.device))
            with trio.fail_after(15.0):
                await node.supervisor.stop()
            killed = {"child": "node/log-writers/*", "reason": "killed"}
            assert node.metrics.registry.get_sample_value("chappe_child_ends_total", killed) == 1


async def test_a_goodbye_that_does_not_end_is_left_when_its_childs_time_is_over(
    tmp_path: Path, codes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(*_: object) -> None:
        await trio.sleep(30.0)

    monkeypatch.setattr("chappe.node.PRESENCE_STOP_S", 0.1)
    monkeypatch.setattr("chappe.stores.sql.users.SqlUserStore.put_last_seen", slow)
    async with running_node(settings(tmp_path / "data")) as node:
        await register(node, alice := Person("alice", "+4915112345601"), codes)
        async with signed_in(node, alice):
            with trio.fail_after(15.0):
                await node.supervisor.stop()
            killed = {"child": "node/presence", "reason": "killed"}
            assert node.metrics.registry.get_sample_value("chappe_child_ends_total", killed) == 1
