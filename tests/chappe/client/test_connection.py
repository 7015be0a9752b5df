"""The connection's life: what the client does when the server refuses, leaves, falls silent or talks nonsense."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
import trio

from chappe.client import (
    Client,
    ConnectionChanged,
    ConnectionState,
    DeliveryState,
    EventStream,
    IdentityChanged,
    MessageReceived,
    Offline,
    Refused,
    SendFailed,
    ServerSuspected,
    answers,
    outgoing,
)
from chappe.client.store import outbox
from chappe.protocol.calls import DeviceList, Nothing
from chappe.protocol.codes import CloseCode, ErrorCode
from chappe.protocol.frames import Ack, Call, Error, Event, Frame, GoAway, Hello, Ping, Send, Sent
from supervisors import GaveUp

from .hand_server import Answer, HandServer
from .post import PASSPHRASE, Device, Post
from .servers import eventually

E = TypeVar("E")


class Stage:
    """One client and its hand-played server; `bob` is somebody to write to."""

    def __init__(self, server: HandServer, client: Client, bob: Device) -> None:
        self.server = server
        self.client = client
        self.bob = bob


@asynccontextmanager
async def staged(post: Post, bob: Device, folder: Path) -> AsyncIterator[Stage]:
    alice = Device.register(post, folder / "alice")
    alice.close()
    server = HandServer(post, alice.own.user)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        client = Client(folder / "alice", PASSPHRASE, server=server.address)
        yield Stage(server, client, bob)
        nursery.cancel_scope.cancel()


@pytest.fixture
async def stage(post: Post, bob: Device, tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(post, bob, tmp_path) as stage:
        yield stage


async def lost(stream: EventStream) -> str:
    """Return why the connection went away."""
    with trio.fail_after(20):
        async for event in stream:
            if isinstance(event, ConnectionChanged) and event.state is ConnectionState.OFFLINE:
                return event.reason
    raise AssertionError("the stream has no end")


async def signed_in(stage: Stage, times: int) -> None:
    async def has() -> bool:
        return stage.server.count(Hello) >= times

    await eventually(has)


async def test_it_answers_the_challenge_and_drains(stage: Stage) -> None:
    async with stage.client as client:
        assert client.connection is not ConnectionState.ONLINE
        with trio.fail_after(20):
            await client.online()
        assert client.connection is ConnectionState.ONLINE
    [hello] = [frame for frame in stage.server.received if isinstance(frame, Hello)]
    assert hello.cursor is None
    again = Client(stage.client._folder, PASSPHRASE, server=stage.server.address)
    async with again:
        with trio.fail_after(20):
            await again.online()
    assert [frame.cursor for frame in stage.server.received if isinstance(frame, Hello)] == [None, b"drained"]


async def test_a_goaway_is_followed_by_a_polite_close_and_a_return(stage: Stage) -> None:
    def answer(frame: Frame) -> Sequence[Frame] | None:
        is_first = isinstance(frame, Call) and stage.server.count(Hello) == 1
        return [GoAway("update", 0, 10)] if is_first else None

    stage.server.answer = answer
    async with stage.client as client, client.events() as stream:
        assert await lost(stream) == "The server asked to reconnect."
        await signed_in(stage, 2)
        with trio.fail_after(20):
            await client.online()


async def test_a_silent_server_is_left(stage: Stage) -> None:
    stage.server.heartbeat_s = 0.001  # the client does not ping as often as that

    def answer(frame: Frame) -> Sequence[Frame] | None:
        return [] if isinstance(frame, Ping) else None

    stage.server.answer = answer
    async with stage.client as client, client.events() as stream:
        assert await lost(stream) == "The server did not answer for too long."
        assert 1 <= stage.server.count(Ping) <= 2


@pytest.mark.parametrize("nonsense", [b"", b"\xc1", b"\x91\x91\x01", b"\x90" * 100])
async def test_nonsense_ends_the_connection_only(stage: Stage, nonsense: bytes) -> None:
    async with stage.client as client, client.events() as stream:
        with trio.fail_after(20):
            await client.online()
        stage.server.answer = lambda _frame: nonsense
        await client.set_typing(client.conversation(stage.bob.own.user), active=True)
        assert (await lost(stream)).startswith("The server broke the protocol")
        stage.server.answer = lambda _frame: None
        await signed_in(stage, 2)


@pytest.mark.parametrize("code", [CloseCode.NOT_AUTHENTICATED, CloseCode.FORBIDDEN, CloseCode.REPLACED])
async def test_some_close_codes_are_final(stage: Stage, code: CloseCode) -> None:
    stage.server.answer = lambda frame: code if isinstance(frame, Hello) else None
    async with stage.client as client:
        with pytest.raises(Refused) as refused, trio.fail_after(20):
            await client.online()
        assert refused.value.close == code
        with pytest.raises(Refused):
            await client.devices()
    assert stage.server.count(Hello) == 1


async def test_an_unanswered_message_is_sent_again_with_the_same_bytes(stage: Stage) -> None:
    def answer(frame: Frame) -> int | None:
        is_first = isinstance(frame, Send) and len(stage.server.sends) == 1
        return CloseCode.OVERLOADED if is_first else None

    stage.server.answer = answer
    async with stage.client as client:
        message = await client.send(stage.bob.own.user, "hello")
        with trio.fail_after(20):
            await client.wait(message.cid, DeliveryState.SENT)
    first, second = stage.server.sends
    assert (first.cid, first.body, first.wraps) == (second.cid, second.body, second.wraps)
    assert first.after is None
    assert second.after == b"\0" * 16


async def test_a_refusal_for_now_is_tried_again_and_not_overtaken(stage: Stage) -> None:
    def answer(frame: Frame) -> Sequence[Frame] | None:
        if isinstance(frame, Send) and len(stage.server.sends) <= 2:
            return [Error(ErrorCode.RATE_LIMITED, "Later.", cid=frame.cid, retry_after_ms=50)]
        return None

    stage.server.answer = answer
    async with stage.client as client:
        sent = [await client.send(stage.bob.own.user, text) for text in ("one", "two")]
        with trio.fail_after(20):
            await client.wait(sent[1].cid, DeliveryState.SENT)
    assert [frame.cid for frame in stage.server.sends] == [sent[0].cid] * 3 + [sent[1].cid]


async def test_what_is_tried_again_after_the_peer_has_spoken_is_wrapped_anew(stage: Stage) -> None:
    server, bob = stage.server, stage.bob

    def answer(frame: Frame) -> Sequence[Frame] | None:
        if not isinstance(frame, Send) or len(server.sends) != 2:
            return None
        first, _ = server.sends
        [sender] = server.post.devices(server.user)
        place = (first.conv, first.kind, server.user, sender, first.cid)
        bob.learn(server.user)
        bob.take([Event(1, server.post.ids.next(), *place, first.wraps[bob.own.device], first.body)])
        bob.database.run_sync(outgoing.write, bob.own, server.user, "hello yourself", None)
        [row] = bob.database.run_sync(outbox.heads)
        said = bob.encrypt(row)
        place = (said.conv, said.kind, bob.own.user, bob.own.device, said.cid)
        event = Event(1, server.post.ids.next(), *place, said.wraps[sender], said.body)
        return [event, Error(ErrorCode.RATE_LIMITED, "Later.", cid=frame.cid, retry_after_ms=50)]

    server.answer = answer
    async with stage.client as client:
        for text in ("hello", "how are you?"):
            message = await client.send(bob.own.user, text)
            with trio.fail_after(20):
                await client.wait(message.cid, DeliveryState.SENT)
    _, refused, again = server.sends
    assert (refused.cid, refused.body) == (again.cid, again.body)
    assert refused.wraps.keys() == again.wraps.keys()
    assert refused.wraps != again.wraps


async def test_a_final_refusal_is_told(stage: Stage) -> None:
    def answer(frame: Frame) -> Sequence[Frame] | None:
        if isinstance(frame, Send) and len(stage.server.sends) == 1:
            return [Error(ErrorCode.FORBIDDEN, "You may not.", cid=frame.cid)]
        return None

    stage.server.answer = answer
    async with stage.client as client:
        refused = await client.send(stage.bob.own.user, "one")
        with pytest.raises(SendFailed, match="You may not"), trio.fail_after(20):
            await client.wait(refused.cid, DeliveryState.SENT)
        accepted = await client.send(stage.bob.own.user, "two")
        with trio.fail_after(20):
            await client.wait(accepted.cid, DeliveryState.SENT)


async def test_a_server_that_wants_a_ghost_device_is_reported(stage: Stage) -> None:
    def answer(frame: Frame) -> Sequence[Frame] | None:
        if isinstance(frame, Send):
            return [Error(ErrorCode.MISMATCHED_DEVICES, "One more, please.", cid=frame.cid)]
        return None

    stage.server.answer = answer
    async with stage.client as client, client.events() as stream:
        message = await client.send(stage.bob.own.user, "hello")
        with trio.fail_after(20):
            async for event in stream:
                if isinstance(event, ServerSuspected):
                    break
        assert (await client.message(message.cid)).state is DeliveryState.QUEUED
    assert all(frame.wraps.keys() == {stage.bob.own.device} for frame in stage.server.sends)


async def test_a_call_that_the_connection_does_not_survive(stage: Stage) -> None:
    async with stage.client as client:
        with trio.fail_after(20):
            await client.online()
        stage.server.answer = lambda frame: 1011 if isinstance(frame, Call) else None
        with pytest.raises(Offline):
            await client.call("settings.get", Nothing())


async def test_receipts_of_the_last_day_are_said_again(stage: Stage) -> None:
    async with stage.client as client:
        with trio.fail_after(20):
            await client.online()
        conv = client.conversation(stage.bob.own.user)
        await client.send(stage.bob.own.user, "so that there is a conversation")
        newest = stage.server.post.ids.next()
        await client.mark_read(conv, newest)
        stage.server.received.clear()
        stage.server.answer = lambda frame: CloseCode.OVERLOADED if isinstance(frame, Call) else None
        with pytest.raises(Offline):
            await client.call("settings.get", Nothing())
        stage.server.answer = lambda _frame: None

        async def has_said() -> bool:
            return any(getattr(frame, "read", None) == newest for frame in stage.server.received)

        await eventually(has_said)


async def seen(stream: EventStream, kind: type[E]) -> E:
    with trio.fail_after(20):
        async for event in stream:
            if isinstance(event, kind):
                return event
    raise AssertionError("the stream has no end")


def posing_as_bob(stage: Stage, folder: Path) -> Device:
    """Put somebody else's device behind bob's name, as a new registration or a server in the middle would."""
    mallory = Device.register(stage.server.post, folder)
    listed = stage.server.post.lists[mallory.own.user]
    stage.server.post.lists[stage.bob.own.user] = DeviceList(
        stage.bob.own.user, listed.account_key, listed.signed
    )
    return mallory


def only_for(device: Device) -> Answer:
    """Take messages only when they are for this device and no other."""

    def answer(frame: Frame) -> Sequence[Frame] | None:
        if isinstance(frame, Send) and frame.wraps.keys() != {device.own.device}:
            return [Error(ErrorCode.MISMATCHED_DEVICES, "Other devices, please.", cid=frame.cid)]
        return None

    return answer


async def test_a_changed_account_key_is_told_and_waits_for_trust(stage: Stage, tmp_path: Path) -> None:
    bob = stage.bob.own.user
    async with stage.client as client, client.events() as stream:
        first = await client.send(bob, "to the real one")
        with trio.fail_after(20):
            await client.wait(first.cid, DeliveryState.SENT)
        before = await client.safety_number(bob)
        mallory = posing_as_bob(stage, tmp_path / "mallory")
        stage.server.answer = only_for(mallory)
        second = await client.send(bob, "wait")
        assert await seen(stream, IdentityChanged) == IdentityChanged(bob)
        assert await client.safety_number(bob) != before
        assert (await client.message(second.cid)).state is DeliveryState.QUEUED
        await client.trust(bob)
        with trio.fail_after(20):
            await client.wait(second.cid, DeliveryState.SENT)
        assert stage.server.sends[-1].wraps.keys() == {mallory.own.device}
        mallory.close()


async def test_a_forged_list_is_told_and_not_used(stage: Stage) -> None:
    bob = stage.bob.own.user
    listed = stage.server.post.lists[bob]
    stage.server.post.lists[bob] = DeviceList(bob, listed.account_key, listed.signed[:-1] + b"?")
    async with stage.client as client, client.events() as stream:
        message = await client.send(bob, "not yet")
        assert "does not verify" in (await seen(stream, ServerSuspected)).what
        assert stage.server.sends == []
        stage.server.post.lists[bob] = listed
        with trio.fail_after(20):
            await client.wait(message.cid, DeliveryState.SENT)


async def test_calls_on_the_way_of_a_message_are_tried_again_or_fail_it(stage: Stage) -> None:
    refusals = [ErrorCode.STORE_UNAVAILABLE, ErrorCode.NOT_FOUND]

    def answer(frame: Frame) -> Sequence[Frame] | None:
        if isinstance(frame, Call) and frame.name == "keys.claim":
            return [Error(refusals.pop(0), "The account is gone.", rid=frame.rid)]
        return None

    stage.server.answer = answer
    async with stage.client as client:
        message = await client.send(stage.bob.own.user, "hello")
        with pytest.raises(SendFailed, match="is gone"), trio.fail_after(20):
            await client.wait(message.cid, DeliveryState.SENT)
    assert refusals == []


async def test_a_forgotten_conversation_is_opened_again(stage: Stage) -> None:
    def answer(frame: Frame) -> Sequence[Frame] | None:
        if isinstance(frame, Send) and len(stage.server.sends) == 1:
            return [Error(ErrorCode.UNKNOWN_CONVERSATION, "Open it first.", cid=frame.cid)]
        return None

    stage.server.answer = answer
    async with stage.client as client:
        message = await client.send(stage.bob.own.user, "hello")
        with trio.fail_after(20):
            await client.wait(message.cid, DeliveryState.SENT)
    opened = [
        frame
        for frame in stage.server.received
        if isinstance(frame, Call) and frame.name == "conversations.open"
    ]
    assert len(opened) == 2


@pytest.mark.parametrize("answered", [ErrorCode.STORE_UNAVAILABLE, ErrorCode.NOT_FOUND])
async def test_a_message_of_a_stranger_waits_for_the_list_of_devices(
    stage: Stage, answered: ErrorCode
) -> None:
    """When the server cannot say now it is asked again; when it never can, the message is kept unread."""
    server, bob = stage.server, stage.bob
    alice = Client(stage.client._folder, PASSPHRASE, server=server.address)
    written = bob.database.run_sync(outgoing.write, bob.own, server.user, "hello", None)
    [row] = bob.database.run_sync(outbox.heads)
    frame = bob.encrypt(row)
    device = next(iter(frame.wraps))
    event = Event(
        1, server.post.ids.next(), frame.conv, frame.kind, bob.own.user, bob.own.device, written.cid,
        frame.wraps[device], frame.body,
    )  # fmt: skip
    refused: list[str] = []

    def answer(got: Frame) -> Sequence[Frame] | None:
        if isinstance(got, Hello):
            return [*server._usual(got), event]
        is_about_bob = isinstance(got, Call) and got.name == "devices.get" and bob.own.user in bytes(got.args)
        if is_about_bob and not refused:
            refused.append(got.name)
            return [Error(answered, "No.", rid=got.rid, retry_after_ms=10)]
        return None

    server.answer = answer
    async with alice as client:

        async def has_come() -> bool:
            return bool(await client.history(written.conv))

        await eventually(has_come)
        [message] = await client.history(written.conv)
    assert refused
    assert message.text == ("hello" if answered is ErrorCode.STORE_UNAVAILABLE else None)


@pytest.mark.parametrize("comes", [True, False])
async def test_an_answer_that_comes_first_waits_for_its_question(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, *, comes: bool
) -> None:
    server, bob = stage.server, stage.bob
    ids = [server.post.ids.next() for _ in range(2)]
    events = []
    for number, (text, question) in enumerate((("Tea?", None), ("Or milk?", ids[0]))):
        bob.database.run_sync(outgoing.write, bob.own, server.user, text, question)
        row = bob.database.run_sync(outbox.heads)[0]
        frame = bob.encrypt(row)
        [wrap] = frame.wraps.values()
        place = (ids[number], frame.conv, frame.kind, bob.own.user, bob.own.device, frame.cid)
        events.append(Event(2 - number, *place, wrap, frame.body))
        bob.take([Sent(frame.cid, ids[number])])
    monkeypatch.setattr(answers, "PATIENCE_S", 20.0 if comes else 0.05)

    def answer(frame: Frame) -> Sequence[Frame] | None:
        if isinstance(frame, Hello):
            return [*server._usual(frame), events[1]]
        return [events[0]] if comes and isinstance(frame, Ack) and frame.n == 1 else None

    server.answer = answer
    async with stage.client as client, client.events() as stream:
        shown = []
        with trio.fail_after(20):
            async for event in stream:
                if isinstance(event, MessageReceived):
                    shown.append(event.message.text)
                    if "Or milk?" in shown:
                        break
        conv = client.conversation(bob.own.user)
        assert [message.text for message in await client.history(conv)] == shown
    assert shown == (["Tea?", "Or milk?"] if comes else ["Or milk?"])


async def test_a_bug_is_restarted_and_at_last_comes_out(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashes: list[None] = []

    async def crash(*_args: object) -> None:
        crashes.append(None)
        raise ZeroDivisionError

    monkeypatch.setattr("chappe.client.keeper.Keeper.run", crash)
    monkeypatch.setattr("chappe.client.client.CRASHES", 1)
    with trio.fail_after(30), pytest.raises(GaveUp):
        async with stage.client:
            await trio.sleep_forever()
    assert len(crashes) == 2
    async with Client(stage.client._folder, PASSPHRASE):  # the folder was given back
        pass


async def test_a_cancelled_block_ends_as_cancelled(stage: Stage) -> None:
    with trio.move_on_after(0.2) as scope:
        async with stage.client as client:
            await client.online()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert client.connection is ConnectionState.OFFLINE
