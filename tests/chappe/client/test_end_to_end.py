"""Clients and a server for real: people over sockets, with what happens to them in life."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio

import chappe.client
from chappe.client import (
    Client,
    ConnectionChanged,
    ConnectionState,
    DeliveryState,
    EventStream,
    MessageReceived,
    NotFound,
    Offline,
    PresenceChanged,
    Privacy,
    ProfileExists,
    Refused,
    RequestError,
    Settings,
    TypingChanged,
    login,
)
from chappe.ids import UserId
from chappe.protocol.calls import KeyCount, Nothing
from chappe.protocol.codes import CloseCode, ErrorCode

from .servers import PASSPHRASE, PASSWORD, Home, eventually

E = TypeVar("E")


async def until(stream: EventStream, kind: type[E]) -> E:
    """Return the next event of a kind."""
    with trio.fail_after(20):
        async for event in stream:
            if isinstance(event, kind):
                return event
    raise AssertionError("the stream has no end")


async def texts(client: Client, user: UserId) -> list[str | None]:
    return [message.text for message in await client.history(client.conversation(user))]


async def online(*clients: Client) -> None:
    with trio.fail_after(20):
        for client in clients:
            await client.online()


async def reached(client: Client, cid: bytes, state: DeliveryState) -> None:
    with trio.fail_after(20):
        await client.wait(cid, state)  # type: ignore[arg-type]


async def test_two_people_talk(home: Home) -> None:
    a, b = await home.registered("alice"), await home.registered("bobby")
    async with home.client("alice") as alice, home.client("bobby") as bob:
        await online(alice, bob)
        contact = await alice.add_contact("bobby", "Bob")
        assert contact.user == b.user == await alice.find("bob") == await alice.find("BOBBY")
        async with bob.events() as heard:
            sent = await alice.send(b.user, "hello")
            assert sent.state is DeliveryState.QUEUED
            message = (await until(heard, MessageReceived)).message
            assert (message.text, message.sender, message.mine) == ("hello", a.user, False)
        await reached(alice, sent.cid, DeliveryState.DELIVERED)
        assert message.id is not None
        await bob.mark_read(message.conv, message.id)
        await reached(alice, sent.cid, DeliveryState.READ)
        answer = await bob.send(a.user, "hello yourself", reply_to=message.id)
        await reached(bob, answer.cid, DeliveryState.DELIVERED)
        assert await texts(alice, b.user) == await texts(bob, a.user) == ["hello", "hello yourself"]
        [shown] = await alice.conversations()
        assert (shown.name, shown.unread, shown.last and shown.last.reply_to) == ("Bob", 1, message.id)
        assert await alice.safety_number(b.user) == await bob.safety_number(a.user)
        page = await alice.fetch_history(message.conv)
        assert (len(page.entries), page.missing) == (2, [])


async def test_presence_and_typing(home: Home) -> None:
    a, b = await home.registered("alice"), await home.registered("bobby")
    async with home.client("alice") as alice:
        await online(alice)
        await alice.watch([b.user])
        async with alice.events() as heard:
            async with home.client("bobby") as bob:
                await online(bob)
                while not (await until(heard, PresenceChanged)).online:
                    pass
                sent = await bob.send(a.user, "hi")
                await reached(bob, sent.cid, DeliveryState.DELIVERED)
                await bob.set_typing(sent.conv, active=True)
                typing = await until(heard, TypingChanged)
                assert (typing.user, typing.active) == (b.user, True)
                presence = alice.presence(b.user)
                assert presence is not None
                assert presence.online
            while (await until(heard, PresenceChanged)).online:
                pass
        await alice.set_settings(Settings(last_seen=Privacy.NOBODY))
        assert (await alice.settings()).last_seen is Privacy.NOBODY


async def test_offline_and_back(home: Home) -> None:
    a, b = await home.registered("alice"), await home.registered("bobby")
    async with home.client("bobby") as bob:
        await online(bob)
    async with home.client("alice") as alice:
        await online(alice)
        sent = [await alice.send(b.user, f"number {number}") for number in range(30)]
        await reached(alice, sent[-1].cid, DeliveryState.SENT)
        async with home.client("bobby") as bob:
            await online(bob)
            await reached(alice, sent[-1].cid, DeliveryState.DELIVERED)
            assert await texts(bob, a.user) == [f"number {number}" for number in range(30)]


async def test_what_was_written_offline_goes_out(home: Home) -> None:
    a, b = await home.registered("alice"), await home.registered("bobby")
    await home.server.stop()
    async with home.client("alice") as alice:
        sent = [await alice.send(b.user, text) for text in ("one", "two")]
        with pytest.raises(Offline):
            await alice.devices()
        assert await texts(alice, b.user) == ["one", "two"]
        await home.server.start()
        await reached(alice, sent[-1].cid, DeliveryState.SENT)
    async with home.client("bobby") as bob:
        await online(bob)
        assert await texts(bob, a.user) == ["one", "two"]


async def test_the_server_restarts_in_the_middle(home: Home) -> None:
    a, b = await home.registered("alice"), await home.registered("bobby")
    async with home.client("alice") as alice, home.client("bobby") as bob:
        await online(alice, bob)
        sent = []
        for number in range(40):
            sent.append(await alice.send(b.user, f"number {number}"))
            if number == 20:
                await home.server.stop()
                await home.server.start()
        for message in sent:
            await reached(alice, message.cid, DeliveryState.DELIVERED)
        assert await texts(bob, a.user) == [f"number {number}" for number in range(40)]


async def test_a_second_device(home: Home) -> None:
    a, b = await home.registered("alice"), await home.registered("bobby")
    async with home.client("alice") as alice, home.client("bobby") as bob:
        await online(alice, bob)
        before = await bob.send(a.user, "before")  # so that bob knows the old list
        await reached(bob, before.cid, DeliveryState.DELIVERED)
        number = await bob.safety_number(a.user)
        me = await home.linked(alice, "tablet")
        assert me.user == a.user
        assert {device.name for device in await alice.devices()} == {"first device", "tablet"}
        async with home.client("tablet") as tablet:
            await online(tablet)
            to_both = await bob.send(a.user, "to both")  # refused for the devices at first
            from_phone = await alice.send(b.user, "from the phone")
            from_tablet = await tablet.send(b.user, "from the tablet")
            for client, message in ((bob, to_both), (alice, from_phone), (tablet, from_tablet)):
                await reached(client, message.cid, DeliveryState.DELIVERED)
            expected = {"to both", "from the phone", "from the tablet"}

            async def all_have_all() -> bool:
                shown = await texts(alice, b.user)
                return shown == await texts(bob, a.user) and set(await texts(tablet, b.user)) == expected

            await eventually(all_have_all)
            assert (await texts(alice, b.user))[1:] == await texts(tablet, b.user)
            assert await bob.safety_number(a.user) == number


async def test_devices_approved_at_once_and_late(home: Home) -> None:
    """Two devices sign the next list at the same time, and the new ones have to wait for it."""
    a = await home.registered("alice")
    async with home.client("alice") as alice:
        await online(alice)
        await home.linked(alice, "tablet")
        async with home.client("tablet") as tablet, trio.open_nursery() as nursery:
            await online(tablet)

            async def approve_later(client: Client, name: str, code: str) -> None:
                await trio.sleep(0.3)
                await client.link(code, name)

            async def link(client: Client, name: str) -> None:
                async def show(code: str) -> None:
                    nursery.start_soon(approve_later, client, name, code)

                await login(
                    home.server.address, home.folder / name, PASSPHRASE,
                    username="alice", password=PASSWORD, device_name=name, show_code=show,
                )  # fmt: skip

            nursery.start_soon(link, alice, "laptop")
            nursery.start_soon(link, tablet, "watch")
        names = {device.name for device in await alice.devices()}
        assert names == {"first device", "tablet", "laptop", "watch"}
        async with home.client("watch") as watch:
            await online(watch)
            note = await alice.send(a.user, "to all of mine")

            async def has_note() -> bool:
                return await texts(watch, a.user) == ["to all of mine"]

            await eventually(has_note)
            await reached(alice, note.cid, DeliveryState.DELIVERED)


async def test_contacts_are_kept_for_offline_use(home: Home) -> None:
    await home.registered("alice")
    b, c = await home.registered("bobby"), await home.registered("carol")
    async with home.client("alice") as alice:
        await online(alice)
        await alice.add_contact("bobby", "Bob")
        await alice.add_contact("carol")
        await alice.remove_contact(c.user)
    await home.server.stop()
    async with home.client("alice") as alice:
        assert [contact.name for contact in await alice.contacts()] == ["Bob"]
        assert await alice.find(b.user.hex()) == b.user
        with pytest.raises(NotFound):
            await alice.find("carol")
    await home.server.start()


async def test_a_revoked_device_is_told_and_stops(home: Home) -> None:
    a, b = await home.registered("alice"), await home.registered("bobby")
    async with home.client("alice") as alice, home.client("bobby") as bob:
        await online(alice, bob)
        me = await home.linked(alice, "tablet")
        async with home.client("tablet") as tablet, tablet.events() as heard:
            await online(tablet)
            await alice.revoke(me.device)
            while (await until(heard, ConnectionChanged)).state is not ConnectionState.OFFLINE:
                pass
            with pytest.raises(Refused) as refused:
                await tablet.online()
            assert refused.value.close == CloseCode.FORBIDDEN
            queued = await tablet.send(b.user, "too late")
            with pytest.raises(Refused):
                await tablet.wait(queued.cid, DeliveryState.SENT)
        sent = await bob.send(a.user, "only to the phone")
        await reached(bob, sent.cid, DeliveryState.DELIVERED)
        assert await texts(alice, b.user) == ["only to the phone"]
        with pytest.raises(NotFound):
            await alice.revoke(me.device)


async def test_the_same_device_twice_keeps_the_newer_connection(home: Home) -> None:
    """Two processes cannot open one folder; a copied folder can still come, and only one of the two stays."""
    await home.registered("alice")
    async with home.client("alice") as alice:
        await online(alice)
        copy = home.copied("alice", "copy")
        async with copy:
            await online(copy)

            async def is_out() -> bool:
                return alice.connection is ConnectionState.OFFLINE

            await eventually(is_out)
            with pytest.raises(Refused) as refused:
                await alice.online()
            assert refused.value.close == CloseCode.REPLACED


async def test_one_time_keys_are_refilled_and_may_run_out(home: Home) -> None:
    a = await home.registered("alice")
    b = await home.registered("bobby")
    async with home.client("bobby") as bob:  # never published a key: others fall back to the signed ones
        sent = await bob.send(a.user, "with no one-time key")
        await reached(bob, sent.cid, DeliveryState.SENT)
    async with home.client("alice") as alice:
        await online(alice)
        assert await texts(alice, b.user) == ["with no one-time key"]

        async def is_filled() -> bool:
            left = await alice.call("keys.count", Nothing())
            return isinstance(left, KeyCount) and min(left.one_time, left.kem) >= 20

        await eventually(is_filled)


async def test_what_the_server_withholds_shows_in_its_log(home: Home) -> None:
    """The log has a message that the device was never given: here because it was linked later."""
    a, b = await home.registered("alice"), await home.registered("bobby")
    async with home.client("alice") as alice, home.client("bobby") as bob:
        await online(alice, bob)
        early = await bob.send(a.user, "early")
        await reached(bob, early.cid, DeliveryState.DELIVERED)
        await home.linked(alice, "tablet")
        async with home.client("tablet") as tablet:
            await online(tablet)
            late = await bob.send(a.user, "late")
            await reached(bob, late.cid, DeliveryState.DELIVERED)

            async def has_late() -> bool:
                return await texts(tablet, b.user) == ["late"]

            await eventually(has_late)
            page = await tablet.fetch_history(early.conv)
            assert page.missing == [(await bob.message(early.cid)).id]
            assert (await alice.fetch_history(early.conv)).missing == []


async def test_the_example_of_the_package_runs(home: Home) -> None:
    await home.registered("alice")
    await home.registered("bobby")
    [example] = doctest.DocTestParser().get_examples(chappe.client.__doc__ or "")
    names: dict[str, Any] = dict(vars(chappe.client), Path=Path)
    exec(compile(example.source, "example", "exec"), names)
    with trio.fail_after(20):
        shown = await names["hello"](home.folder / "alice", PASSPHRASE, "bobby")
    assert shown == "'hello' is SENT"


async def test_wrong_answers_are_typed(home: Home) -> None:
    await home.registered("alice")
    with pytest.raises(RequestError) as refused:
        await home.registered("alice", "other folder")
    assert refused.value.code is ErrorCode.USERNAME_TAKEN
    with pytest.raises(ProfileExists):
        await home.registered("alice")
    async with home.client("alice") as alice:
        await online(alice)
        with pytest.raises(RequestError) as refused:
            await alice.add_contact("nobody")
        assert refused.value.code is ErrorCode.NOT_FOUND
        with pytest.raises(NotFound):
            await alice.find("nobody")
        with pytest.raises(NotFound):
            await alice.call("no.such.call", Nothing())
