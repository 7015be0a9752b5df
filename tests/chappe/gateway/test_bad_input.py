"""What a broken or hostile client can send: each gets its error or close code, is counted, and harms nobody else."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import trio

from chappe.app import Node
from chappe.ids import Cid, ConversationId, DeviceId, MessageId
from chappe.protocol import calls, codec
from chappe.protocol.codes import CloseCode, ErrorCode, RequestError
from chappe.protocol.frames import (
    MAX_BODY_BYTES,
    MAX_WRAP_BYTES,
    VERSION,
    Ack,
    Call,
    Error,
    Event,
    Frame,
    Hello,
    MismatchedDevices,
    Ping,
    Pong,
    Receipt,
    Send,
    Sent,
    Typing,
    hello_transcript,
)

from .raw import (
    Person,
    RawClient,
    connected,
    message,
    receive,
    register,
    running_node,
    send,
    settings,
    signed_in,
)


@pytest.fixture(autouse=True)
async def bystanders(node: Node, codes: dict[str, str]) -> AsyncIterator[None]:
    """Two people who chat before and after every test here, over the same connections."""
    carol, dave = Person("carol", "+4915112345603"), Person("dave", "+4915112345604")
    for person in (carol, dave):
        await register(node, person, codes)
    async with signed_in(node, carol) as c, signed_in(node, dave) as d:
        conv = await c.open(dave)
        await send(c, message(conv, dave.device))
        await receive(d)
        yield
        last = await send(c, message(conv, dave.device))
        assert [event.id for event in await receive(d)] == [last.id]


def errors(node: Node, code: ErrorCode) -> float:
    """How many frames were refused with a code."""
    return node.metrics.registry.get_sample_value("chappe_errors_total", {"code": code}) or 0


async def closes(node: Node, code: int) -> float:
    """How many connections were closed with a code, once the last one has been counted."""
    await trio.testing.wait_all_tasks_blocked(0.05)
    return node.metrics.registry.get_sample_value("chappe_connections_closed_total", {"code": str(code)}) or 0


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", CloseCode.BAD_FRAME),
        (b"\xff" * 40, CloseCode.BAD_FRAME),
        (secrets.token_bytes(500), CloseCode.BAD_FRAME),
        (codec.join([codec.encode(Ping(1, 0))])[:-1], CloseCode.BAD_FRAME),
        (codec.join([codec.encode(Ping(1, 0))]) + b"\x00", CloseCode.BAD_FRAME),
        (b"\x91" * 5000, CloseCode.BAD_FRAME),
        (b"\xdd\xff\xff\xff\xff", CloseCode.BAD_FRAME),
        (msgspec.msgpack.encode([[999, 1]]), CloseCode.BAD_FRAME),
        (msgspec.msgpack.encode([["ping", 1]]), CloseCode.BAD_FRAME),
        (msgspec.msgpack.encode([[13, "one"]]), CloseCode.BAD_FRAME),
        (b"\x00" * (1024 * 1024 + 1), CloseCode.TOO_BIG),
    ],
    ids=["empty", "garbage", "random", "truncated", "trailing", "deep", "huge header", "unknown type",
         "type as text", "wrong field", "oversized"],
)  # fmt: skip
async def test_what_is_no_message_closes_the_connection(
    node: Node, alice: Person, data: bytes, code: CloseCode
) -> None:
    async with signed_in(node, alice) as a:
        await a.ws.send_message(data)
        assert (await a.closed())[0] == code
    assert await closes(node, code) == 1


async def test_a_text_message_closes_the_connection(node: Node, alice: Person) -> None:
    async with signed_in(node, alice) as a:
        await a.ws.send_message("hello")
        assert (await a.closed())[0] == CloseCode.BAD_FRAME


@pytest.mark.parametrize(
    "frame",
    [
        Call(1, "contacts.list", msgspec.Raw(b"\x90")),
        message(ConversationId(bytes(16)), DeviceId(bytes(16))),
        Ack(0),
        Ping(1, 0),
        Typing(ConversationId(bytes(16)), True),
        Receipt(ConversationId(bytes(16))),
    ],
    ids=lambda frame: type(frame).__name__,
)
async def test_nothing_may_come_before_hello(node: Node, frame: Frame) -> None:
    async with connected(node) as client:
        await client.send_unchecked(frame)
        assert (await client.closed())[0] == CloseCode.NOT_AUTHENTICATED


@pytest.mark.parametrize(
    "frame",
    [Sent(Cid(bytes(16)), MessageId(bytes(16))), Pong(7, 0), Error(ErrorCode.FORBIDDEN, "no")],
    ids=lambda frame: type(frame).__name__,
)
async def test_what_only_a_server_sends_closes_the_connection(
    node: Node, alice: Person, frame: Frame
) -> None:
    async with signed_in(node, alice) as a:
        await a.send_unchecked(frame)
        assert (await a.closed())[0] == CloseCode.BAD_FRAME


async def test_a_wrong_proof_is_refused(node: Node, alice: Person) -> None:
    async with connected(node) as client:
        await client.send(Hello(VERSION, alice.device, b"\x01" * 64))
        assert (await client.closed())[0] == CloseCode.NOT_AUTHENTICATED


async def test_a_proof_for_another_connection_is_refused(node: Node, alice: Person) -> None:
    async with connected(node) as first, connected(node) as second:
        assert first.challenge is not None
        from chappe.crypto import keys

        proof = keys.sign_hello(
            alice.keys, hello_transcript(first.challenge.nonce, first.challenge.server, VERSION)
        )
        await second.send(Hello(VERSION, alice.device, proof))
        assert (await second.closed())[0] == CloseCode.NOT_AUTHENTICATED


async def test_a_second_hello_is_refused(node: Node, alice: Person) -> None:
    async with signed_in(node, alice) as a:
        await a.send_unchecked(Hello(VERSION, alice.device, b"\x01" * 64))
        assert (await a.closed())[0] == CloseCode.BAD_FRAME


@pytest.mark.parametrize("cursor", [b"", b"x", b"\xff" * 16, b"\xff" * 64])
async def test_a_cursor_that_no_server_made_loses_nothing(
    node: Node, alice: Person, bob: Person, cursor: bytes
) -> None:
    async with signed_in(node, alice) as a:
        sent = await send(a, message(await a.open(bob), bob.device))
    async with connected(node) as b:
        await b.hello(bob, cursor=cursor)
        assert [event.id for event in await receive(b)] == [sent.id]


async def test_an_unknown_device_is_refused(node: Node) -> None:
    async with connected(node) as client:
        await client.send(Hello(VERSION, DeviceId(secrets.token_bytes(16)), b"\x01" * 64))
        assert (await client.closed())[0] == CloseCode.NOT_AUTHENTICATED


async def refused(client: RawClient, frame: Send) -> Error:
    """Send a message that must be refused; return the refusal."""
    await client.send(frame)
    error = await client.next(Error)
    assert error.cid == frame.cid
    return error


async def test_an_unknown_conversation_is_refused_and_the_connection_goes_on(
    node: Node, alice: Person, bob: Person
) -> None:
    async with signed_in(node, alice) as a:
        error = await refused(a, message(ConversationId(secrets.token_bytes(16)), bob.device))
        assert error.code is ErrorCode.UNKNOWN_CONVERSATION
        assert await send(a, message(await a.open(bob), bob.device))
    assert errors(node, ErrorCode.UNKNOWN_CONVERSATION) == 1


async def test_somebody_elses_conversation_is_as_good_as_unknown(
    node: Node, alice: Person, bob: Person, codes: dict[str, str]
) -> None:
    eve = Person("eve", "+4915112345605")
    await register(node, eve, codes)
    async with signed_in(node, alice) as a, signed_in(node, eve) as e:
        conv = await a.open(bob)
        await send(a, message(conv, bob.device))
        assert (await refused(e, message(conv, bob.device))).code is ErrorCode.UNKNOWN_CONVERSATION
        await e.send(Receipt(conv, read=MessageId(b"\xff" * 16)))
        assert (await e.next(Error)).code is ErrorCode.UNKNOWN_CONVERSATION
        await e.send(Typing(conv, True))
        assert (await e.next(Error)).code is ErrorCode.UNKNOWN_CONVERSATION
        for name, args in (
            ("history.get", calls.GetHistory(conv)),
            ("receipts.get", calls.GetReceipts([conv])),
        ):
            with pytest.raises(RequestError) as refusal:
                await e.call(name, args)
            assert refusal.value.code is ErrorCode.UNKNOWN_CONVERSATION


async def test_wraps_for_the_wrong_devices_are_named_and_nothing_is_stored(
    node: Node, alice: Person, bob: Person
) -> None:
    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        conv = await a.open(bob)
        stranger = DeviceId(secrets.token_bytes(16))
        for devices, missing, extra in (
            ((), [bob.device], []),
            ((bob.device, stranger), [], [stranger]),
            ((stranger,), [bob.device], [stranger]),
            ((bob.device, alice.device), [], [alice.device]),
            ((alice.device,), [bob.device], [alice.device]),
        ):
            error = await refused(a, message(conv, *devices))
            assert error.code is ErrorCode.MISMATCHED_DEVICES
            detail = msgspec.msgpack.decode(error.detail, type=MismatchedDevices)
            assert (detail.missing, detail.extra) == (missing, extra)
        sent = await send(a, message(conv, bob.device))
        assert [event.id for event in await receive(b)] == [sent.id]


async def test_a_cid_names_one_message_only(node: Node, alice: Person, bob: Person) -> None:
    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        conv = await a.open(bob)
        first = message(conv, bob.device)
        await send(a, first)
        assert (
            await refused(a, message(conv, bob.device, cid=first.cid, body=b"other"))
        ).code is ErrorCode.CID_CONFLICT
        assert (await receive(b))[0].body == first.body
        again = await send(a, first)
        assert again.duplicate


@pytest.mark.parametrize("part", ["body", "wraps"])
async def test_too_big_a_message_is_refused_by_name(
    node: Node, alice: Person, bob: Person, part: str
) -> None:
    async with signed_in(node, alice) as a:
        conv = await a.open(bob)
        largest = message(conv, bob.device, body=b"x" * MAX_BODY_BYTES)
        assert await send(a, largest)
        if part == "body":
            changes: dict[str, object] = {"body": b"x" * (MAX_BODY_BYTES + 1)}
        else:
            changes = {"wraps": {DeviceId(secrets.token_bytes(16)): b"w" * MAX_WRAP_BYTES for _ in range(5)}}
        frame = msgspec.structs.replace(largest, cid=Cid(secrets.token_bytes(16)), **changes)
        assert (await refused(a, frame)).code is ErrorCode.TOO_BIG


async def test_an_unknown_call_and_wrong_arguments_are_refused(node: Node, alice: Person) -> None:
    async with signed_in(node, alice) as a:
        for name, args, code in (
            ("contacts.burn", b"\x90", ErrorCode.UNKNOWN_CALL),
            ("devices.get", b"\x91\x01", ErrorCode.BAD_REQUEST),
            ("devices.get", b"\x90", ErrorCode.BAD_REQUEST),
            ("contacts.add", b"\x91\xa1\xff", ErrorCode.BAD_REQUEST),
        ):
            with pytest.raises(RequestError) as refusal:
                await a.request(Call, name, msgspec.Raw(args))
            assert refusal.value.code is code


async def test_an_ack_of_what_was_never_sent_closes_the_connection(node: Node, alice: Person) -> None:
    async with signed_in(node, alice) as a:
        await a.send_unchecked(Ack(1))
        assert (await a.closed())[0] == CloseCode.BAD_FRAME


async def test_too_many_messages_are_told_when_to_come_back(tmp_path: Path, codes: dict[str, str]) -> None:
    config = settings(tmp_path / "other", limits={"messages_burst": 5, "messages_per_s": 0.1})
    alice, bob = Person("alice", "+4915112345601"), Person("bob", "+4915112345602")
    async with running_node(config) as node:
        for person in (alice, bob):
            await register(node, person, codes)
        async with signed_in(node, alice) as a:
            conv = await a.open(bob)
            for _ in range(5):
                await send(a, message(conv, bob.device))
            error = await refused(a, message(conv, bob.device))
            assert error.code is ErrorCode.RATE_LIMITED
            assert error.retry_after_ms is not None
            assert 0 < error.retry_after_ms <= 10_001
        async with signed_in(node, alice) as a:  # connecting anew changes nothing
            assert (await refused(a, message(conv, bob.device))).code is ErrorCode.RATE_LIMITED


async def test_a_hundred_calls_at_once_are_the_most(node: Node, alice: Person) -> None:
    async with signed_in(node, alice) as a:
        await a.send(*[Call(rid, "contacts.list", msgspec.Raw(b"\x90")) for rid in range(1, 102)])
        for rid in range(1, 101):
            await a.answer(rid)
        with pytest.raises(RequestError) as refusal:
            await a.answer(101)
        assert refusal.value.code is ErrorCode.RATE_LIMITED


async def test_those_who_never_speak_are_closed_in_time(tmp_path: Path) -> None:
    config = settings(tmp_path / "other", timing={"hello_s": 0.3})
    async with running_node(config) as node:
        async with connected(node) as silent:
            assert (await silent.closed())[0] == CloseCode.NOT_AUTHENTICATED
        # One that does not even begin the WebSocket handshake gets no close code, only the end.
        async with await trio.open_tcp_stream("127.0.0.1", node.gateway_port) as stream:
            assert await stream.receive_some(1) == b""
        await node.hub.emptied()


async def test_strangers_from_one_address_are_bounded_and_known_devices_are_not(
    tmp_path: Path, codes: dict[str, str]
) -> None:
    config = settings(tmp_path / "other", limits={"preauth_per_address": 3})
    alice = Person("alice", "+4915112345601")
    async with running_node(config) as node:
        await register(node, alice, codes)
        async with signed_in(node, alice), connected(node), connected(node), connected(node):
            async with await trio.open_tcp_stream("127.0.0.1", node.gateway_port) as stream:
                assert await stream.receive_some(1) == b""
            rejected = node.metrics.registry.get_sample_value(
                "chappe_connections_rejected_total", {"reason": "address"}
            )
            assert rejected == 1
        async with connected(node):
            pass


async def test_a_full_node_refuses_at_the_door(tmp_path: Path) -> None:
    config = settings(tmp_path / "other", limits={"connections": 2})
    async with running_node(config) as node, connected(node), connected(node):
        async with await trio.open_tcp_stream("127.0.0.1", node.gateway_port) as stream:
            assert await stream.receive_some(1) == b""


async def test_a_client_that_asks_for_no_subprotocol_is_rejected(node: Node) -> None:
    request = (
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    async with await trio.open_tcp_stream("127.0.0.1", node.gateway_port) as stream:
        await stream.send_all(request)
        assert (await stream.receive_some(1000)).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", secrets.token_bytes(2000)]
)
async def test_what_is_no_websocket_is_hung_up_on(tmp_path: Path, data: bytes) -> None:
    async with running_node(settings(tmp_path / "other", timing={"hello_s": 0.3})) as node:
        async with await trio.open_tcp_stream("127.0.0.1", node.gateway_port) as stream:
            await stream.send_all(data)
            with trio.fail_after(10):
                try:
                    while await stream.receive_some(1000):
                        pass
                except trio.BrokenResourceError:
                    pass
        await node.hub.emptied()


async def test_one_that_does_not_read_loses_only_its_own_connection(
    tmp_path: Path, codes: dict[str, str]
) -> None:
    config = settings(tmp_path / "other", timing={"stall_s": 1.0})
    alice, bob = Person("alice", "+4915112345601"), Person("bob", "+4915112345602")
    async with running_node(config) as node:
        for person in (alice, bob):
            await register(node, person, codes)
        async with signed_in(node, alice) as a, signed_in(node, bob) as b:
            conv = await a.open(bob)
            frame = message(conv, bob.device, body=b"x" * 60_000)
            ids = [
                (await send(a, msgspec.structs.replace(frame, cid=Cid(secrets.token_bytes(16))))).id
                for _ in range(40)
            ]
            # Everything alice sent was answered while bob acknowledged nothing.
            assert (await b.closed())[0] == CloseCode.TOO_SLOW
            cursor = next(
                (event.cursor for event in b.seen if isinstance(event, Event) and event.cursor), None
            )
        async with connected(node) as again:
            await again.hello(bob, cursor)
            got = []
            for _ in ids:
                got.append(await again.next(Event))
                await again.send(Ack(got[-1].n))
            assert [event.id for event in got] == ids


async def test_a_device_that_connects_anew_replaces_itself(node: Node, alice: Person) -> None:
    async with signed_in(node, alice) as first, signed_in(node, alice):
        assert (await first.closed())[0] == CloseCode.REPLACED


async def test_one_that_leaves_while_its_messages_are_written_harms_nobody(
    node: Node, alice: Person, bob: Person
) -> None:
    async with signed_in(node, bob) as b:
        async with signed_in(node, alice) as a:
            conv = await a.open(bob)
            for _ in range(20):
                await a.send(*[message(conv, bob.device) for _ in range(20)])
        async with signed_in(node, alice) as a:
            last = await send(a, message(conv, bob.device))
        # What she never heard of may or may not have been stored; what she was told of arrives.
        while (await receive(b))[0].id != last.id:
            pass
    crashes = node.metrics.registry.get_sample_value(
        "chappe_child_ends_total", {"child": "node/log-writers/*", "reason": "crashed"}
    )
    assert not crashes
