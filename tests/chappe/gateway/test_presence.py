"""Online, offline, last seen and typing, and who may see them."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import pytest
import trio

from chappe.app import Node
from chappe.domain.accounts import Person as Known
from chappe.domain.presence import Rights, rights
from chappe.ids import UserId
from chappe.protocol import calls
from chappe.protocol.calls import Privacy, Settings
from chappe.protocol.frames import Call, Presence, Typing
from chappe.stores.sql.users import SqlUserStore

from .raw import Person, RawClient, signed_in


@pytest.mark.parametrize("is_contact", [True, False])
@pytest.mark.parametrize("person", list(Privacy))
@pytest.mark.parametrize("viewer", list(Privacy))
def test_the_rule(person: Privacy, viewer: Privacy, is_contact: bool) -> None:
    allowed = person is Privacy.EVERYONE or (person is Privacy.CONTACTS and is_contact)
    sees = allowed and viewer is not Privacy.NOBODY
    assert rights(Settings(person, person), Settings(viewer, viewer), is_contact) == Rights(sees, sees)


async def watch(client: RawClient, person: Person) -> Presence:
    """Watch somebody; return how he is now."""
    await client.call("presence.watch", calls.WatchPresence([person.user]))
    return await client.next(Presence)


async def test_watchers_hear_of_coming_and_going(node: Node, alice: Person, bob: Person) -> None:
    async with signed_in(node, alice) as a:
        assert await watch(a, bob) == Presence(bob.user, False, None)
        async with signed_in(node, bob):
            online = await a.next(Presence)
            assert (online.user, online.online) == (bob.user, True)
        offline = await a.next(Presence)
        assert offline.online is False
        assert offline.last_seen is not None
        assert online.last_seen is not None
        assert offline.last_seen >= online.last_seen


async def test_after_a_doubt_each_watcher_is_looked_at_once(
    node: Node, alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Collection[UserId]] = []
    people = SqlUserStore.people

    async def counted(store: SqlUserStore, users: Collection[UserId]) -> dict[UserId, Known]:
        asked.append(users)
        return await people(store, users)

    async with signed_in(node, alice) as a:
        await a.call("presence.watch", calls.WatchPresence([alice.user, bob.user]))
        monkeypatch.setattr(SqlUserStore, "people", counted)
        node._presence.doubt()
        with trio.fail_after(20):
            while not asked or node._presence._stale:  # noqa: ASYNC110 - nobody tells
                await trio.sleep(0.01)
        await trio.testing.wait_all_tasks_blocked(0.05)
    assert asked == [{alice.user, bob.user}]


async def test_a_second_device_does_not_count_twice(node: Node, alice: Person, bob: Person) -> None:
    async with signed_in(node, alice) as a:
        await watch(a, bob)
        async with signed_in(node, bob):
            assert (await a.next(Presence)).online
            async with signed_in(node, bob):  # the same device anew: it never was offline
                await trio.sleep(0.1)
        assert (await a.next(Presence)).online is False
        assert not [frame for frame in a.seen if isinstance(frame, Presence)]


async def test_nobody_hides_from_everybody_at_once(node: Node, alice: Person, bob: Person) -> None:
    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        assert (await watch(a, bob)).online is True
        await b.call("settings.set", Settings(Privacy.NOBODY, Privacy.NOBODY))
        assert await a.next(Presence) == Presence(bob.user, None, None)
        assert await b.call("settings.get", calls.Nothing()) == Settings(Privacy.NOBODY, Privacy.NOBODY)
        # Who hides sees nobody's either.
        assert await watch(b, alice) == Presence(alice.user, None, None)


async def test_contacts_only_follows_the_contact_list(node: Node, alice: Person, bob: Person) -> None:
    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        await b.call("settings.set", Settings(Privacy.CONTACTS, Privacy.NOBODY))
        assert await watch(a, bob) == Presence(bob.user, None, None)
        await b.call("contacts.add", calls.AddContact("alice"))
        assert await a.next(Presence) == Presence(bob.user, True, None)
        await b.call("contacts.remove", calls.UserRef(alice.user))
        assert await a.next(Presence) == Presence(bob.user, None, None)


async def test_last_seen_is_kept_over_a_restart_of_the_watch(node: Node, alice: Person, bob: Person) -> None:
    async with signed_in(node, bob):
        pass
    async with signed_in(node, alice) as a:
        first = await watch(a, bob)
        second = await watch(a, bob)
        assert first == second
        assert first.last_seen is not None


async def test_who_left_while_his_watch_was_read_is_not_kept(
    node: Node, alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = trio.Event()
    real = SqlUserStore.people

    async def slow(self: SqlUserStore, users: Collection[UserId]) -> dict[UserId, Known]:
        await store.wait()
        return await real(self, users)

    monkeypatch.setattr(SqlUserStore, "people", slow)
    async with signed_in(node, alice) as a:
        args = msgspec.Raw(msgspec.msgpack.encode(calls.WatchPresence([bob.user])))
        await a.send(Call(1, "presence.watch", args))
        await trio.testing.wait_all_tasks_blocked()
    await node.hub.emptied()
    store.set()
    monkeypatch.undo()
    while node._pools["requests"].count_children().active:
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert (node._presence._watched, node._presence._watchers) == ({}, {})


async def test_typing_reaches_the_other_and_not_oneself(node: Node, alice: Person, bob: Person) -> None:
    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        conv = await a.open(bob)
        await a.send(Typing(conv, True))
        assert await b.next(Typing) == Typing(conv, True, alice.user)
        await b.send(Typing(conv, False))
        assert await a.next(Typing) == Typing(conv, False, bob.user)
