"""The steps of sending and receiving, one by one: what a device shows, whatever is repeated, lost or interrupted."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from chappe.client import outgoing
from chappe.client.content import Retry
from chappe.client.events import MessageChanged, MessageReceived, Undecryptable
from chappe.client.store import messages, outbox, profile
from chappe.client.store.database import FILE
from chappe.client.values import DeliveryState
from chappe.crypto.ratchet import MAX_OLD_CHAINS
from chappe.protocol.codes import ErrorCode
from chappe.protocol.frames import Drained, Error, Receipt

from .post import Device, Post


def test_a_message_arrives_and_is_acknowledged(alice: Device, bob: Device) -> None:
    written = alice.write(bob, "hello")
    assert written.state is DeliveryState.QUEUED
    alice.flush()
    taken = bob.fetch()
    assert taken.ack == 1
    assert bob.texts(alice) == ["hello"]
    [receipt] = taken.receipts.values()
    alice.take([Receipt(receipt.conv, receipt.delivered, None, bob.own.user)])
    assert [type(event) for event in alice.events] == [MessageChanged, MessageChanged]
    assert alice.events[-1].message.state is DeliveryState.DELIVERED


def test_both_ways_keep_one_order(alice: Device, bob: Device) -> None:
    for number in range(5):
        alice.write(bob, f"a{number}")
        alice.flush()
        bob.fetch()
        bob.write(alice, f"b{number}")
        bob.flush()
        alice.fetch()
    assert alice.texts(bob) == bob.texts(alice) == [f"{who}{number}" for number in range(5) for who in "ab"]


def test_what_comes_twice_is_shown_once(alice: Device, bob: Device) -> None:
    alice.write(bob, "once")
    alice.flush()
    bob.fetch()
    bob.fetch()
    assert bob.texts(alice) == ["once"]
    assert [type(event) for event in bob.events] == [MessageReceived]


def test_a_second_store_under_another_id_is_shown_once(alice: Device, bob: Device, post: Post) -> None:
    alice.write(bob, "once")
    alice.flush()
    [event] = post.inboxes[bob.own.device]
    post.inboxes[bob.own.device].append(replace(event, id=post.ids.next()))
    bob.fetch()
    assert bob.texts(alice) == ["once"]


def test_a_resend_is_the_same_frame(alice: Device, bob: Device) -> None:
    alice.write(bob, "same bytes")
    [row] = alice.database.run_sync(outbox.heads)
    first = alice.encrypt(row)
    alice.restart()
    [row] = alice.database.run_sync(outbox.heads)
    assert alice.again(row) == row.frame == first


def test_what_was_refused_while_others_went_on_can_be_read(
    alice: Device, bob: Device, tmp_path: Path
) -> None:
    tablet = Device.linked(alice, tmp_path / "tablet")
    alice.learn(alice.own.user)
    waits = alice.write(bob, "waits")
    [row] = alice.database.run_sync(outbox.heads)
    first = alice.encrypt(row)
    assert first.wraps.keys() == {bob.own.device, tablet.own.device}
    for number in range(MAX_OLD_CHAINS + 2):
        for one, other in ((alice, tablet), (tablet, alice)):
            one.write(alice, f"a note, {number}")
            one.flush(but=waits.cid)
            other.fetch()
    alice.flush()
    for device in (bob, tablet):
        device.fetch()
    assert tablet.texts(bob) == bob.texts(alice) == ["waits"]
    assert not any(isinstance(event, Undecryptable) for event in tablet.events)
    [of_bob] = [event.wrap for event in bob.post.inboxes[bob.own.device]]
    assert of_bob == first.wraps[bob.own.device]  # nothing was said there meanwhile
    tablet.close()


def test_a_new_device_of_the_peer_gets_it_and_the_body_stays(
    alice: Device, bob: Device, tmp_path: Path
) -> None:
    alice.write(bob, "one")
    alice.flush()
    alice.write(bob, "two")
    [row] = alice.database.run_sync(outbox.heads)
    assert row.frame is not None
    tablet = Device.linked(bob, tmp_path / "tablet")
    alice.flush()
    for device in (bob, tablet):
        device.fetch()
    [last] = [event for event in tablet.post.inboxes[bob.own.device] if event.cid == row.cid]
    assert last.wrap == row.frame.wraps[bob.own.device]  # what was right is not made again
    assert tablet.texts(alice) == ["two"]
    assert bob.texts(alice) == ["one", "two"]
    assert tablet.post.log[-1].body == row.frame.body
    tablet.close()


def test_an_own_message_shows_on_the_other_own_device(alice: Device, bob: Device, tmp_path: Path) -> None:
    tablet = Device.linked(alice, tmp_path / "tablet")
    tablet.write(bob, "from the tablet")
    tablet.flush()
    alice.fetch()
    assert alice.texts(bob) == ["from the tablet"]
    assert alice.events[0].message.mine
    assert alice.events[0].message.peer == bob.own.user
    tablet.close()


def test_a_note_to_oneself(alice: Device) -> None:
    alice.write(alice, "milk")
    alice.flush()
    assert alice.texts(alice) == ["milk"]
    [message] = alice.shown(alice)
    assert message.state is DeliveryState.SENT


def test_a_final_refusal_fails_the_message(alice: Device, bob: Device) -> None:
    written = alice.write(bob, "no")
    alice.take([Error(ErrorCode.FORBIDDEN, "You may not.", cid=written.cid)])
    message = alice.database.run_sync(messages.get, alice.own.device, written.cid)
    assert message is not None
    assert (message.state, message.reason) == (DeliveryState.FAILED, "You may not.")
    assert alice.database.run_sync(outbox.heads) == []


def test_a_lost_session_heals_itself(alice: Device, bob: Device) -> None:
    alice.write(bob, "first")
    alice.flush()
    bob.fetch()
    bob.database.run_sync(lambda tx: tx.run("DELETE FROM sessions"))
    bob.write(alice, "unrelated")
    bob.flush()
    bob.database.run_sync(lambda tx: tx.run("DELETE FROM sessions"))
    alice.fetch()
    alice.write(bob, "lost at first")
    alice.flush()
    bob.fetch()
    assert [type(event) for event in bob.events][-1] is Undecryptable
    assert bob.texts(alice)[-1] is None
    bob.flush()  # the retry request
    alice.fetch()
    alice.flush()  # the message again
    bob.fetch()
    assert bob.texts(alice)[-1] == "lost at first"
    assert [type(event) for event in bob.events].count(Undecryptable) == 1


def test_a_one_time_key_is_used_once(alice: Device, bob: Device) -> None:
    before = bob.database.run_sync(profile.device)
    alice.write(bob, "hello")
    alice.flush()
    bob.fetch()
    after = bob.database.run_sync(profile.device)
    assert len(after.one_time) == len(before.one_time) - 1
    assert len(after.one_time_kem) == len(before.one_time_kem) - 1


def test_a_resend_says_what_was_seen_before(alice: Device, bob: Device, post: Post) -> None:
    alice.write(bob, "hello")
    alice.flush()
    bob.fetch()
    bob.write(alice, "hello yourself")
    [row] = bob.database.run_sync(outbox.heads)
    assert row.after == post.log[-1].id
    bob.take([replace(post.inboxes[bob.own.device][0], id=b"\0" * 16)])
    assert bob.database.run_sync(profile.newest) == post.log[-1].id


def test_a_message_is_sent_again_to_one_device_only_so_often(alice: Device, bob: Device) -> None:
    written = alice.write(bob, "hello")
    alice.flush()
    bob.fetch()
    retry = Retry(alice.own.user, [written.cid])
    for _ in range(outgoing.MAX_ASKS + 2):
        bob.database.run_sync(outgoing.queue_control, bob.own, alice.own.user, retry)
        bob.flush()
    alice.fetch()
    [queued] = alice.database.run_sync(lambda tx: tx.all("SELECT count(*) FROM outbox"))
    assert queued == (outgoing.MAX_ASKS,)


def test_retry_requests_are_few(alice: Device, bob: Device) -> None:
    alice.write(bob, "hello")
    alice.flush()
    bob.fetch()
    bob.write(alice, "hello")
    bob.flush()
    alice.fetch()
    bob.database.run_sync(lambda tx: tx.run("DELETE FROM sessions"))
    for number in range(20):
        alice.write(bob, f"lost {number}")
        alice.flush()
        bob.fetch()
    asked = bob.database.run_sync(lambda tx: tx.one("SELECT count(*) FROM outbox"))
    assert asked == (1,)


def test_the_cursor_is_stored_with_what_came_before_it(alice: Device, bob: Device, post: Post) -> None:
    alice.write(bob, "hello")
    alice.flush()
    [event] = post.inboxes[bob.own.device]
    bob.take([event, Drained(b"cursor")])
    bob.restart()
    assert bob.database.run_sync(profile.cursor) == b"cursor"
    assert bob.texts(alice) == ["hello"]


def images(device: Device, folder: Path, step: Callable[[], object]) -> list[Path]:
    """Run a step, and return a copy of the store's files for every moment at which the machine could die."""
    made: list[Path] = []

    def copy(_statement: str) -> None:
        image = folder / f"image{len(made)}"
        image.mkdir()
        for suffix in ("", "-wal"):
            source = device.folder / (FILE + suffix)
            if source.exists():
                shutil.copy(source, image)
        made.append(image)

    connection: sqlite3.Connection = device.database._connection
    connection.set_trace_callback(copy)
    step()
    connection.set_trace_callback(None)
    copy("")
    return made


def test_a_crash_while_receiving_loses_and_repeats_nothing(
    alice: Device, bob: Device, tmp_path: Path
) -> None:
    alice.write(bob, "first")
    alice.flush()
    bob.fetch()
    for text in ("second", "third"):
        alice.write(bob, text)
        alice.flush()
    made = images(bob, tmp_path, bob.fetch)
    assert len(made) > 10
    shown = set()
    for image in made:
        bob.restart(image)
        shown.add(len(bob.texts(alice)))
        bob.fetch()
        assert bob.texts(alice) == ["first", "second", "third"]
        assert not any(isinstance(event, Undecryptable) for event in bob.events)
    assert shown == {1, 3}  # a batch is stored as a whole or not at all


def test_a_crash_while_sending_loses_and_repeats_nothing(alice: Device, bob: Device, tmp_path: Path) -> None:
    alice.write(bob, "first")
    alice.flush()
    bob.fetch()

    def send() -> None:
        alice.write(bob, "second")
        alice.flush()

    made = images(alice, tmp_path, send)
    assert len(made) > 10
    shown = set()
    for image in made:
        alice.restart(image)
        shown.add(tuple(alice.texts(bob)))
        alice.flush()
        bob.fetch()
        assert bob.texts(alice) == ["first", "second"]
        assert not any(isinstance(event, Undecryptable) for event in bob.events)
    assert shown == {("first",), ("first", "second")}
