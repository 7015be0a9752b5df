"""Messages through a real node over real sockets: accepted, durable, delivered, resumed, never twice."""

from __future__ import annotations

from pathlib import Path

import msgspec
import trio

from chappe.app import Node
from chappe.ids import FIRST_ID
from chappe.protocol import calls
from chappe.protocol.frames import Ack, Drained, Error, Event, Ping, Pong, Receipt, Sent

from .raw import Person, connected, message, receive, register, running_node, send, settings, signed_in


async def test_a_message_is_stored_answered_and_delivered(node: Node, alice: Person, bob: Person) -> None:
    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        conv = await a.open(bob)
        frame = message(conv, bob.device)
        sent = await send(a, frame)
        [event] = await receive(b)
        assert (event.id, event.cid, event.sender, event.device) == (
            sent.id,
            frame.cid,
            alice.user,
            alice.device,
        )
        assert (event.body, event.wrap, event.n) == (frame.body, frame.wraps[bob.device], 1)
        assert not sent.duplicate


async def test_eight_frames_in_one_message_are_answered_in_order(
    node: Node, alice: Person, bob: Person
) -> None:
    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        conv = await a.open(bob)
        frames = [message(conv, bob.device) for _ in range(8)]
        await a.send(*frames)
        sents = [await a.next(Sent) for _ in frames]
        events = await receive(b, 8)
        assert (
            [sent.cid for sent in sents] == [frame.cid for frame in frames] == [event.cid for event in events]
        )
        ids = [event.id for event in events]
        assert ids == sorted(ids) == [sent.id for sent in sents]


async def test_what_waited_offline_comes_in_order_at_the_next_sign_in(
    node: Node, alice: Person, bob: Person
) -> None:
    async with signed_in(node, alice) as a:
        conv = await a.open(bob)
        sent = [(await send(a, message(conv, bob.device))).id for _ in range(300)]
    async with connected(node) as b:
        await b.hello(bob)
        events = []
        for _ in range(300):
            events.append(await b.next(Event))
            await b.send(Ack(events[-1].n))
        assert [event.id for event in events] == sent
        drained = await b.next(Drained)
    # A second sign-in from the cursor may repeat what is newer than it, and nothing older.
    async with connected(node) as b:
        await b.hello(bob, cursor=drained.cursor)
        expected = [id_ for id_ in sent if id_ > drained.cursor]
        for id_ in expected:
            event = await b.next(Event)
            assert event.id == id_
            await b.send(Ack(event.n))
        again = await b.next(Drained)
        assert again.cursor >= drained.cursor


async def test_a_resent_cid_gets_the_same_answer_and_one_delivery(
    node: Node, alice: Person, bob: Person
) -> None:
    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        conv = await a.open(bob)
        frame = message(conv, bob.device)
        first = await send(a, frame)
        again = await send(a, frame)
        assert (again.id, again.duplicate) == (first.id, True)
        last = await send(a, message(conv, bob.device))
        events = await receive(b, 2)
        assert [event.id for event in events] == [first.id, last.id]


async def test_the_window_holds_the_pump_until_it_is_acknowledged(
    node: Node, alice: Person, bob: Person
) -> None:
    async with signed_in(node, alice) as a, connected(node) as b:
        conv = await a.open(bob)
        await b.hello(bob, window=4)
        await b.next(Drained)
        for _ in range(10):
            await send(a, message(conv, bob.device))
        for _ in range(4):
            last = await b.next(Event)
        with trio.move_on_after(0.1) as scope:
            await b.next(Event)
        assert scope.cancelled_caught
        await b.send(Ack(last.n))
        assert [(await b.next(Event)).n for _ in range(4)] == [5, 6, 7, 8]


async def test_a_live_queue_that_overflows_is_read_again_from_the_inbox(
    node: Node, alice: Person, bob: Person
) -> None:
    async with signed_in(node, alice) as a, connected(node) as b:
        conv = await a.open(bob)
        await b.hello(bob, window=1)
        await b.next(Drained)
        count = node.settings.limits.live_events + 50
        sent = []
        for _ in range(count // 50):
            await a.send(*[message(conv, bob.device) for _ in range(50)])
            sent += [(await a.next(Sent)).id for _ in range(50)]
        seen = []
        while len(seen) < len(sent):
            event = await b.next(Event)
            await b.send(Ack(event.n))
            if event.id not in seen:
                seen.append(event.id)
        assert seen == sent


async def test_receipts_reach_the_sender_and_are_kept(node: Node, alice: Person, bob: Person) -> None:
    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        conv = await a.open(bob)
        sent = await send(a, message(conv, bob.device))
        await receive(b)
        await b.send(Receipt(conv, delivered=sent.id))
        assert await a.next(Receipt) == Receipt(conv, sent.id, None, bob.user)
        await b.send(Receipt(conv, read=sent.id))
        assert await a.next(Receipt) == Receipt(conv, sent.id, sent.id, bob.user)
        kept = await a.call("receipts.get", calls.GetReceipts([conv]))
        assert kept == calls.Receipts([Receipt(conv, sent.id, sent.id, bob.user)])


async def test_no_receipt_is_refused_however_many_come(tmp_path: Path, codes: dict[str, str]) -> None:
    config = settings(tmp_path / "other", limits={"receipts_burst": 5, "receipts_per_s": 100})
    alice, bob = Person("alice", "+4915112345601"), Person("bob", "+4915112345602")
    async with running_node(config) as node:
        for person in (alice, bob):
            await register(node, person, codes)
        async with signed_in(node, alice) as a, signed_in(node, bob) as b:
            conv = await a.open(bob)
            ids = [(await send(a, message(conv, bob.device))).id for _ in range(20)]
            await b.send(*[Receipt(conv, delivered=id_) for id_ in ids])
            heard = (await a.next(Receipt)).delivered
            while heard != ids[-1]:
                heard = (await a.next(Receipt)).delivered
            assert not [frame for frame in b.seen if isinstance(frame, Error)]


async def test_a_watermark_cannot_be_ahead_of_the_log(node: Node, alice: Person, bob: Person) -> None:
    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        conv = await a.open(bob)
        sent = await send(a, message(conv, bob.device))
        await b.send(Receipt(conv, read=b"\xff" * 16))
        assert (await a.next(Receipt)).read == sent.id


async def test_history_pages_back_to_the_beginning(node: Node, alice: Person, bob: Person) -> None:
    async with signed_in(node, alice) as a:
        conv = await a.open(bob)
        sent = [(await send(a, message(conv, bob.device))).id for _ in range(25)]
        got: list[bytes] = []
        before = None
        while True:
            page = await a.call("history.get", calls.GetHistory(conv, before, 10))
            assert isinstance(page, calls.History)
            got += [entry.id for entry in page.entries]
            if not page.more:
                break
            before = page.entries[-1].id
        assert got == sent[::-1]


async def test_pong_brings_a_cursor_that_never_passes_what_was_sent(
    node: Node, alice: Person, bob: Person
) -> None:
    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        conv = await a.open(bob)
        await b.send(Ping(1, 0))
        idle = await b.next(Pong)
        sent = await send(a, message(conv, bob.device))
        await b.send(Ping(2, 0))
        after = await b.next(Pong)
        assert idle.cursor is not None
        assert after.cursor is not None
        assert idle.cursor <= after.cursor < sent.id


async def test_a_note_to_oneself_needs_no_wraps(node: Node, alice: Person) -> None:
    async with signed_in(node, alice) as a:
        conv = await a.open(alice)
        sent = await send(a, message(conv))
        assert len(sent.id) == 16


async def test_after_a_restart_a_resend_finds_its_first_try(tmp_path: Path, codes: dict[str, str]) -> None:
    alice, bob = Person("alice", "+4915112345601"), Person("bob", "+4915112345602")
    config = settings(tmp_path / "data")
    async with running_node(config) as node:
        await register(node, alice, codes)
        await register(node, bob, codes)
        async with signed_in(node, alice) as a:
            conv = await a.open(bob)
            frame = message(conv, bob.device)
            first = await send(a, frame)
    async with running_node(config) as node, signed_in(node, alice) as a:
        again = await send(a, msgspec.structs.replace(frame, after=FIRST_ID))
        assert (again.id, again.duplicate) == (first.id, True)
        later = await send(a, message(conv, bob.device))
        assert later.id > first.id
