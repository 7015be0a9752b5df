"""The connection's life: what the client does when the server refuses, leaves, falls silent or talks nonsense."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from chappe.client import (
    Client,
    ConnectionChanged,
    ConnectionState,
    DeliveryState,
    EventStream,
    Offline,
    Refused,
    SendFailed,
    ServerSuspected,
)
from chappe.protocol.calls import Nothing
from chappe.protocol.codes import CloseCode, ErrorCode
from chappe.protocol.frames import Call, Error, Frame, GoAway, Hello, Ping, Send

from .hand_server import HandServer
from .post import PASSPHRASE, Device, Post
from .servers import eventually


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
