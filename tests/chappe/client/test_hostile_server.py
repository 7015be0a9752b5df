"""A server that lies: it swaps keys, brings old lists back, adds devices, replays, withholds: all of it is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from chappe.client.content import Text
from chappe.client.errors import IdentityNotTrusted, ServerLied
from chappe.client.events import MessageReceived, ServerSuspected, Undecryptable
from chappe.client.store import messages, outbox, people, profile
from chappe.crypto import device_list
from chappe.ids import Cid
from chappe.protocol.calls import DeviceList
from chappe.protocol.frames import Event, Receipt, Sent

from .post import Device, Post


@pytest.fixture
def mallory(post: Post, tmp_path: Path) -> Device:
    """The device with which the server wants to listen in."""
    return Device.register(post, tmp_path / "mallory")


def talk(one: Device, other: Device) -> None:
    """Let both have sessions and know each other."""
    for sender, receiver in ((one, other), (other, one)):
        sender.write(receiver, "hello")
        sender.flush()
        receiver.fetch()


def posing(mallory: Device, victim: Device) -> DeviceList:
    """Make the list by which mallory poses as somebody: well signed, by the wrong key."""
    account = mallory.database.run_sync(profile.account)
    signed = device_list.sign(account, 9, 0, mallory.entries())
    return DeviceList(victim.own.user, account.public, signed)


def test_a_swapped_account_key_stops_sending_until_trusted(
    alice: Device, bob: Device, mallory: Device, post: Post
) -> None:
    talk(alice, bob)
    post.lists[bob.own.user] = posing(mallory, bob)
    assert alice.learn(bob.own.user)
    assert alice.database.run_sync(people.get_session, bob.own.device) is None
    alice.write(bob, "for bob only")
    [row] = alice.database.run_sync(outbox.heads)
    with pytest.raises(IdentityNotTrusted):
        alice.encrypt(row)
    assert alice.database.run_sync(people.trust, bob.own.user)
    assert alice.encrypt(row).wraps.keys() == {mallory.own.device}


def test_going_back_to_the_former_key_cannot_bring_an_old_list_back(
    alice: Device, bob: Device, mallory: Device, post: Post
) -> None:
    alice.learn(bob.own.user)
    old = post.lists[bob.own.user]
    bob.sign(bob.entries())
    alice.learn(bob.own.user)
    post.lists[bob.own.user] = posing(mallory, bob)
    alice.learn(bob.own.user)
    post.lists[bob.own.user] = old
    with pytest.raises(ServerLied):
        alice.learn(bob.own.user)


def test_another_key_for_the_own_account_is_refused(alice: Device, mallory: Device, post: Post) -> None:
    post.lists[alice.own.user] = posing(mallory, alice)
    with pytest.raises(ServerLied):
        alice.learn(alice.own.user)


def test_a_list_that_was_rolled_back_is_refused(
    alice: Device, bob: Device, post: Post, tmp_path: Path
) -> None:
    tablet = Device.linked(bob, tmp_path / "tablet")
    with_tablet = post.lists[bob.own.user]
    alice.learn(bob.own.user)
    bob.sign([entry for entry in bob.entries() if entry.device != tablet.own.device])
    alice.learn(bob.own.user)
    post.lists[bob.own.user] = with_tablet
    with pytest.raises(ServerLied):
        alice.learn(bob.own.user)
    alice.write(bob, "not for the lost tablet")
    [row] = alice.database.run_sync(outbox.heads)
    assert alice.encrypt(row).wraps.keys() == {bob.own.device}


def test_two_lists_of_one_version_are_refused(alice: Device, bob: Device, post: Post) -> None:
    first = bob.sign(bob.entries())
    alice.learn(bob.own.user)
    assert not alice.learn(bob.own.user)  # the same again is fine
    fork = device_list.sign(bob.database.run_sync(profile.account), 2, 1, bob.entries())
    post.lists[bob.own.user] = replace(first, signed=fork)
    with pytest.raises(ServerLied):
        alice.learn(bob.own.user)


def test_a_ghost_device_is_refused(alice: Device, bob: Device, mallory: Device, post: Post) -> None:
    talk(alice, bob)
    ghost = mallory.entries()[0]
    signed = device_list.sign(mallory.database.run_sync(profile.account), 2, 0, [*bob.entries(), ghost])
    post.lists[bob.own.user] = replace(post.lists[bob.own.user], signed=signed)
    with pytest.raises(ServerLied):
        alice.learn(bob.own.user)


def test_somebody_elses_list_is_refused(alice: Device, bob: Device, mallory: Device, post: Post) -> None:
    post.lists[bob.own.user] = post.lists[mallory.own.user]
    with pytest.raises(ServerLied):
        alice.learn(bob.own.user)


def test_prekeys_of_another_device_are_refused(
    alice: Device, bob: Device, mallory: Device, post: Post
) -> None:
    post.prekeys[bob.own.device] = post.prekeys[mallory.own.device]
    alice.write(bob, "hello")
    [row] = alice.database.run_sync(outbox.heads)
    with pytest.raises(ServerLied):
        alice.encrypt(row)


def test_swapped_prekeys_are_refused(alice: Device, bob: Device, mallory: Device, post: Post) -> None:
    key, _, _, _ = post.prekeys[bob.own.device]
    post.prekeys[bob.own.device] = (key, *post.prekeys[mallory.own.device][1:])
    alice.write(bob, "hello")
    [row] = alice.database.run_sync(outbox.heads)
    with pytest.raises(ServerLied):
        alice.encrypt(row)
    assert alice.database.run_sync(people.get_session, bob.own.device) is None


def received(alice: Device, bob: Device, post: Post) -> Event:
    talk(alice, bob)
    alice.write(bob, "the original")
    alice.flush()
    bob.fetch()
    bob.events.clear()
    return post.inboxes[bob.own.device][-1]


@pytest.mark.parametrize("lie", ["cid", "id and cid", "conv", "sender", "body", "wrap", "kind"])
def test_a_message_moved_or_changed_does_not_open(
    alice: Device, bob: Device, mallory: Device, post: Post, lie: str
) -> None:
    event = received(alice, bob, post)
    fresh = replace(event, id=post.ids.next(), cid=b"\7" * 16)
    changed = {
        "cid": replace(event, cid=b"\7" * 16, id=post.ids.next()),
        "id and cid": fresh,
        "conv": replace(fresh, conv=b"\7" * 16),
        "sender": replace(fresh, sender=mallory.own.user, device=mallory.own.device),
        "body": replace(fresh, body=event.body[:-1] + b"\0"),
        "wrap": replace(fresh, wrap=event.wrap[:-1] + b"\0"),
        "kind": replace(fresh, kind=64),
    }[lie]
    bob.take([changed])
    assert [type(happened) for happened in bob.events] == [Undecryptable]
    assert bob.texts(alice).count("the original") == 1


def test_a_sender_cannot_put_words_into_another_conversation(
    alice: Device, bob: Device, mallory: Device, post: Post
) -> None:
    """A well encrypted message says whom it is for; it is refused where that does not fit the conversation."""
    talk(mallory, bob)
    to_alice = mallory.database.run_sync(messages.put_conversation, mallory.own, alice.own.user)
    to_bob = mallory.database.run_sync(messages.put_conversation, mallory.own, bob.own.user)
    bob.events.clear()
    for number, (conv, to) in enumerate(
        [(to_alice, alice.own.user), (to_alice, bob.own.user), (to_bob, alice.own.user)]
    ):
        cid = Cid(bytes([number]) * 16)
        lie = Text(to, "a lie", 0, 1)
        mallory.database.run_sync(outbox.add, conv, bob.own.user, cid, lie)
        row = mallory.database.run_sync(outbox.get, cid)
        assert row is not None
        assert isinstance(post.accept(mallory, bob.own.user, mallory.encrypt(row)), Sent)
    bob.fetch()
    assert [type(event) for event in bob.events] == [Undecryptable] * 3
    assert bob.texts(mallory).count("a lie") == bob.texts(alice).count("a lie") == 0


def test_a_replay_is_not_shown(alice: Device, bob: Device, post: Post) -> None:
    event = received(alice, bob, post)
    bob.take([event, replace(event, id=post.ids.next())])
    assert bob.events == []
    assert bob.texts(alice).count("the original") == 1


def test_a_withheld_message_is_noticed_with_the_next(alice: Device, bob: Device, post: Post) -> None:
    talk(alice, bob)
    for text in ("withheld", "also withheld", "shown"):
        alice.write(bob, text)
        alice.flush()
    del post.inboxes[bob.own.device][-3:-1]
    bob.events.clear()
    bob.fetch()
    assert [type(event) for event in bob.events] == [ServerSuspected, MessageReceived]
    assert isinstance(bob.events[0], ServerSuspected)
    assert bob.events[0].what.startswith("2 earlier messages")


def test_reordered_messages_are_shown_in_order_and_noticed(alice: Device, bob: Device, post: Post) -> None:
    talk(alice, bob)
    for text in ("one", "two"):
        alice.write(bob, text)
        alice.flush()
    inbox = post.inboxes[bob.own.device]
    inbox[-2:] = reversed(inbox[-2:])
    bob.events.clear()
    bob.fetch()
    assert bob.texts(alice)[-2:] == ["one", "two"]
    assert any(isinstance(event, ServerSuspected) for event in bob.events)


def test_messages_of_an_unknown_device_are_not_opened(
    alice: Device, bob: Device, mallory: Device, post: Post
) -> None:
    event = received(alice, bob, post)
    mallory.write(bob, "I am alice")
    mallory.flush()
    forged = replace(post.inboxes[bob.own.device][-1], sender=alice.own.user, conv=event.conv)
    bob.take([forged])
    assert [type(happened) for happened in bob.events] == [Undecryptable]


def test_a_revoked_devices_later_messages_are_not_opened(
    alice: Device, bob: Device, post: Post, tmp_path: Path
) -> None:
    tablet = Device.linked(bob, tmp_path / "tablet")
    talk(alice, bob)
    tablet.write(alice, "in time")
    tablet.flush()
    post.clock.ms += 1000
    bob.sign([entry for entry in bob.entries() if entry.device != tablet.own.device])
    post.clock.ms += 1000
    row = tablet.write(alice, "too late")
    [queued] = tablet.database.run_sync(outbox.heads)
    frame = tablet.encrypt(queued)
    late = Event(
        0, post.ids.next(), row.conv, frame.kind, bob.own.user, tablet.own.device, row.cid,
        frame.wraps[alice.own.device], frame.body,
    )  # fmt: skip
    alice.fetch()
    alice.learn(bob.own.user)
    alice.take([late])
    assert alice.texts(bob)[-2:] == ["in time", None]


def test_a_device_that_was_linked_again_is_heard(
    alice: Device, bob: Device, post: Post, tmp_path: Path
) -> None:
    """As after a restore of the server: what it says is opened once its account has listed it again."""
    tablet = Device.linked(bob, tmp_path / "tablet")
    entries = bob.entries()
    talk(alice, bob)
    bob.sign([entry for entry in entries if entry.device != tablet.own.device])
    alice.learn(bob.own.user)
    post.clock.ms += 1000
    bob.sign(entries)
    tablet.write(alice, "back")
    tablet.flush()
    alice.fetch()
    assert alice.texts(bob)[-1] == "back"


def test_ticks_never_go_back(alice: Device, bob: Device, post: Post) -> None:
    alice.write(bob, "hello")
    alice.flush()
    newest = post.log[-1]
    alice.take([Receipt(newest.conv, newest.id, newest.id, bob.own.user)])
    before = alice.shown(bob)
    alice.take([Receipt(newest.conv, b"\1" * 16, b"\1" * 16, bob.own.user)])
    assert alice.shown(bob) == before
