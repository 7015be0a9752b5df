"""A server whose stores were brought back to an earlier point: what its people notice, and what they keep.

The commands and the same on all engines are in `tests/system/test_restore.py`; here is one case of each loss.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest
import trio

from chappe.client import (
    Client,
    DeliveryState,
    Me,
    ProfileExists,
    Refused,
    RequestError,
    SendFailed,
    ServerSuspected,
    Undecryptable,
    login,
    register,
)
from chappe.client.store import profile
from chappe.ids import UserId
from chappe.protocol.calls import GetReceipts, KeyCount, Nothing, Receipts
from chappe.protocol.codes import CloseCode
from chappe.settings import Stores
from chappe.stores import backup

from .servers import PASSPHRASE, PASSWORD, Home, eventually


@asynccontextmanager
async def earlier(home: Home) -> AsyncIterator[None]:
    """Back the server up, let the block happen, and bring the server back to before it."""
    stores, copies = Stores(data=home.server.folder), home.folder / "copies"
    await trio.to_thread.run_sync(backup.back_up, stores, copies, lambda *_: None)
    yield
    await home.server.stop()
    shutil.rmtree(home.server.folder)
    shutil.copytree(copies, home.server.folder)
    await trio.to_thread.run_sync(backup.restored, stores, time.time_ns() // 1_000_000)
    await home.server.start()


@asynccontextmanager
async def people_of(home: Home, *names: str) -> AsyncIterator[list[Client]]:
    """Have the clients of these folders online, and nothing left of what they give back."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(home.client(name)) for name in names]
        with trio.fail_after(20):
            for client in clients:
                await client.online()
        for client in clients:
            await eventually(partial(is_settled, client))
        yield clients


async def is_settled(client: Client) -> bool:
    restored_ms = client._connector.link.welcome.restored_ms
    return await client._database.run(profile.restored_ms) == restored_ms


async def say(sender: Client, to: UserId, text: str) -> None:
    sent = await sender.send(to, text)
    with trio.fail_after(60):
        await sender.wait(sent.cid, DeliveryState.DELIVERED)


async def texts(client: Client, peer: UserId) -> list[str | None]:
    return [message.text for message in await client.history(client.conversation(peer))]


async def linked_again(home: Home, approver: Client, name: str) -> Me:
    async def approve(code: str) -> None:
        await approver.link(code, name)

    return await login(
        home.server.address, home.folder / name, PASSPHRASE,
        username="alice", password=PASSWORD, device_name=name, show_code=approve,
    )  # fmt: skip


async def test_used_keys_are_not_used_again(home: Home) -> None:
    """Bob used up the lowest of his one-time keys after the backup: they are the first that the server would give."""
    a, b = await home.registered("alice"), await home.registered("bobby")
    c = await home.registered("carol")
    async with people_of(home, "bobby", "carol"):
        pass
    async with earlier(home), people_of(home, "alice", "bobby") as (alice, bob):
        await say(alice, b.user, "uses a key")
    async with people_of(home, "carol") as (carol,):  # before Bob has given new ones
        sent = await carol.send(b.user, "starts a session")
        with trio.fail_after(20):
            await carol.wait(sent.cid, DeliveryState.SENT)
    async with home.client("bobby") as bob, bob.events() as heard:
        with trio.fail_after(20):
            await bob.online()
        await eventually(partial(is_settled, bob))
        assert await texts(bob, c.user) == ["starts a session"]
        assert not [event for event in heard._queue if isinstance(event, Undecryptable)]
        count = await bob.call("keys.count", Nothing())
        assert isinstance(count, KeyCount)
        assert min(count.one_time, count.kem) >= 99
        assert await texts(bob, a.user) == ["uses a key"]


async def test_what_was_said_stays_and_can_be_answered(home: Home) -> None:
    a, b = await home.registered("alice"), await home.registered("bobby")
    async with earlier(home), people_of(home, "alice", "bobby") as (alice, bob):
        await alice.add_contact("bobby", "Bob the builder")
        await say(alice, b.user, "forgotten by the server")
        [message] = await bob.history(bob.conversation(a.user))
        assert message.id is not None
        await bob.mark_read(message.conv, message.id)
        with trio.fail_after(20):
            await alice.wait(message.cid, DeliveryState.READ)
    async with people_of(home, "alice", "bobby") as (alice, bob):
        assert [contact.name for contact in await alice.contacts()] == ["Bob the builder"]
        answer = await bob.send(a.user, "an answer", reply_to=message.id)
        with trio.fail_after(20):
            await bob.wait(answer.cid, DeliveryState.DELIVERED)
        shown = await alice.history(alice.conversation(b.user))
        assert [each.text for each in shown] == ["forgotten by the server", "an answer"]
        assert shown[1].reply_to == shown[0].id == message.id
        assert shown[0].state is DeliveryState.READ
        page = await alice.fetch_history(message.conv)
        assert [entry.id for entry in page.entries] == [shown[1].id]
        marks = await alice.call("receipts.get", GetReceipts([message.conv]))
        assert isinstance(marks, Receipts)  # the server knows again what was read
        assert (b.user, message.id) in [(mark.user, mark.read) for mark in marks.receipts]


async def test_what_was_not_answered_is_sent_again(home: Home) -> None:
    await home.registered("alice")
    b = await home.registered("bobby")
    async with earlier(home), people_of(home, "alice", "bobby") as (alice, _):
        await say(alice, b.user, "one")
        await home.server.stop()
        for text in ("two", "three"):
            await alice.send(b.user, text)
    async with people_of(home, "alice", "bobby") as (alice, bob):
        await say(alice, b.user, "four")
        for client, peer in ((alice, b.user), (bob, alice.me.user)):
            assert await texts(client, peer) == ["one", "two", "three", "four"]


async def test_a_device_linked_since_the_backup_is_linked_again_and_keeps_everything(home: Home) -> None:
    a, b = await home.registered("alice"), await home.registered("bobby")
    async with earlier(home), people_of(home, "alice", "bobby") as (alice, bob):
        first = await home.linked(alice, "tablet")
        async with people_of(home, "tablet") as (tablet,):
            await say(bob, a.user, "to both")
            await eventually(partial(holds, tablet, b.user, "to both"))
            await say(tablet, b.user, "from the tablet")
    async with home.client("tablet") as tablet:
        with pytest.raises(Refused, match="log in again") as refused, trio.fail_after(20):
            await tablet.online()
        assert refused.value.close == CloseCode.NOT_AUTHENTICATED
        assert await texts(tablet, b.user) == ["to both", "from the tablet"]
    async with people_of(home, "alice", "bobby") as (alice, bob):
        await say(
            bob, a.user, "before it is back"
        )  # Bob had seen the tablet on a list newer than the server's
        again = await linked_again(home, alice, "tablet")
        assert again == first
        async with people_of(home, "tablet") as (tablet,):
            await say(bob, a.user, "to both again")
            await eventually(partial(holds, tablet, b.user, "to both again"))
            await say(tablet, b.user, "from the tablet again")
            assert await texts(tablet, b.user) == [
                "to both", "from the tablet", "to both again", "from the tablet again",
            ]  # fmt: skip
        assert await texts(bob, a.user) == [
            "to both", "from the tablet", "before it is back", "to both again", "from the tablet again",
        ]  # fmt: skip
    with pytest.raises(ProfileExists):
        await linked_again(home, alice, "tablet")


async def holds(client: Client, peer: UserId, text: str) -> bool:
    return text in await texts(client, peer)


async def test_a_device_revoked_since_the_backup_is_revoked_again(home: Home) -> None:
    a, b = await home.registered("alice"), await home.registered("bobby")
    async with people_of(home, "alice") as (alice,):
        lost = await home.linked(alice, "lost")
    async with earlier(home), people_of(home, "alice", "bobby") as (alice, bob):
        await say(bob, a.user, "one")
        await alice.revoke(lost.device)
        await say(bob, a.user, "two")
    async with home.client("bobby") as bob:
        with trio.fail_after(20):
            await bob.online()
        async with bob.events() as heard:
            waiting = await bob.send(a.user, "not to the lost one")
            with trio.fail_after(20):  # nothing goes to a device that a newer list has left out
                async for event in heard:
                    if isinstance(event, ServerSuspected):
                        break
        async with people_of(home, "alice") as (alice,):
            with trio.fail_after(60):
                await bob.wait(waiting.cid, DeliveryState.DELIVERED)
            assert await texts(alice, b.user) == ["one", "two", "not to the lost one"]
            async with home.client("lost") as thief:
                with pytest.raises(Refused) as refused, trio.fail_after(20):
                    await thief.online()
                assert refused.value.close == CloseCode.FORBIDDEN
                assert "not to the lost one" not in await texts(thief, b.user)


async def test_an_account_younger_than_the_backup_is_registered_again_and_keeps_everything(
    home: Home,
) -> None:
    b = await home.registered("bobby")
    async with earlier(home):
        c = await home.registered("carol")
        async with people_of(home, "bobby", "carol") as (bob, carol):
            await bob.add_contact("carol")
            await say(carol, b.user, "hello")
            number = await bob.safety_number(c.user)
            await home.linked(carol, "tablet")  # so that people know a second list of hers
            await say(bob, c.user, "to both of yours")
    async with home.client("carol") as carol:
        with pytest.raises(Refused, match="register again"), trio.fail_after(20):
            await carol.online()
    async with people_of(home, "bobby") as (bob,):
        sent = await bob.send(c.user, "are you there?")
        with pytest.raises(SendFailed, match="No such account"), trio.fail_after(20):
            await bob.wait(sent.cid, DeliveryState.SENT)
        home.again()
        assert await home.registered("carol") == c
        async with people_of(home, "carol") as (carol,):
            await say(carol, b.user, "here again")
            await say(bob, c.user, "good")
            assert await texts(carol, b.user) == ["hello", "to both of yours", "here again", "good"]
            assert await bob.safety_number(c.user) == number
    home.again()
    with pytest.raises(ProfileExists):
        await home.registered("carol")


async def has_contacts(client: Client, users: list[UserId]) -> bool:
    return [contact.user for contact in await client.contacts()] == users


async def test_somebody_else_may_have_taken_the_name(home: Home) -> None:
    await home.registered("bobby")
    async with earlier(home):
        await home.registered("carol")
        async with people_of(home, "bobby") as (bob,):
            await bob.add_contact("carol", "my Carol")
    impostor = await home.registered("carol", "impostor")
    async with people_of(home, "bobby") as (bob,):
        await eventually(partial(has_contacts, bob, []))
        mallory = await bob.add_contact("carol")  # by her present name, knowingly
        assert mallory.user == impostor.user
    with pytest.raises(RequestError, match="taken"):
        await register(
            home.server.address, home.folder / "carol", PASSPHRASE,
            username="carol", phone="+4915130000002", password=PASSWORD, ask_code=home.server.code,
        )  # fmt: skip
