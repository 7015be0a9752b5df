"""A client with nothing but the protocol: what tests use to say exactly what goes over the wire, right or wrong.

Bodies and wraps are random bytes, since the server cannot tell; device keys, lists and proofs are real.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
import pytest
import trio
from msgspec import Struct
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from chappe.app import Node, now_ms, open_node
from chappe.crypto import device_list, keys
from chappe.ids import Cid, ConversationId, DeviceId, UserId
from chappe.protocol import calls, codec
from chappe.protocol.codes import ErrorCode, RequestError
from chappe.protocol.frames import (
    SUBPROTOCOL,
    VERSION,
    Ack,
    Call,
    Challenge,
    Drained,
    Error,
    Event,
    Frame,
    Hello,
    Kind,
    Link,
    Login,
    Register,
    Result,
    Send,
    Sent,
    Verify,
    Welcome,
    hello_transcript,
)
from chappe.protocol.session import Role, Session
from chappe.settings import Settings, load

F = TypeVar("F", bound=Struct)


def settings(folder: object, **sections: dict[str, object]) -> Settings:
    """Return settings for a node of a test: free ports, cheap passwords, generous sign-ups."""
    base: dict[str, dict[str, object]] = {
        "gateway": {"port": 0},
        "http": {"port": 0},
        "stores": {"data": folder},
        "accounts": {"argon2_memory_kib": 8, "argon2_passes": 1},
        "limits": {"signups_per_address_burst": 1000, "messages_burst": 10_000, "messages_per_s": 10_000},
        "timing": {"drain_s": 0.2, "goaway_spread_s": 0.1},
    }
    for section, values in sections.items():
        base.setdefault(section, {}).update(values)
    return load().model_validate(base)


@asynccontextmanager
async def running_node(config: Settings) -> AsyncIterator[Node]:
    """Run a node in this process."""
    async with open_node(config) as node, trio.open_nursery() as nursery:
        await nursery.start(node.supervisor.run)
        yield node
        await node.supervisor.stop()


@dataclass
class Person:
    """An account with one device, as its owner holds it."""

    name: str
    phone: str
    user: UserId = field(default_factory=lambda: UserId(secrets.token_bytes(16)))
    account: keys.AccountKey = field(default_factory=lambda: keys.new_account_key(secrets.token_bytes))
    keys: keys.DeviceKeys = field(default_factory=lambda: keys.new_device(secrets.token_bytes, now_ms()))

    @property
    def device(self) -> DeviceId:
        return self.keys.device_id


class RawClient:
    """One WebSocket connection. Frames that nobody waits for are kept in `seen`."""

    def __init__(self, ws: WebSocketConnection) -> None:
        self.ws = ws
        self.session = Session(Role.CLIENT)
        self.seen: list[Frame] = []
        self._rid = 0
        self.challenge: Challenge | None = None

    async def send(self, *frames: Frame) -> None:
        """Send frames in one message, checked by the client's session."""
        for frame in frames:
            self.session.sending(frame)
        await self.send_unchecked(*frames)

    async def send_unchecked(self, *frames: Frame) -> None:
        """Send frames in one message, however wrong."""
        await self.ws.send_message(codec.join([codec.encode(frame) for frame in frames]))

    async def next(self, kind: type[F]) -> F:
        """Return the next frame of a kind; the others that come before it stay in `seen`."""
        while True:
            for i, frame in enumerate(self.seen):
                if isinstance(frame, kind):
                    del self.seen[i]
                    return frame
            await self._read()

    async def _read(self) -> None:
        data = await self.ws.get_message()
        assert isinstance(data, bytes)
        self.seen += self.session.receive(data)

    async def _read_on(self) -> None:
        while True:
            await self._read()

    async def request(self, make: type[F], *fields: object) -> bytes:
        """Send a request and return the bytes of its result. Raises `RequestError`."""
        self._rid += 1
        await self.send(make(self._rid, *fields))  # type: ignore[arg-type] # a request frame
        return await self.answer(self._rid)

    async def answer(self, rid: int) -> bytes:
        """Return the result of a request. Raises `RequestError`."""
        while True:
            for i, frame in enumerate(self.seen):
                if isinstance(frame, Result | Error) and frame.rid == rid:
                    del self.seen[i]
                    if isinstance(frame, Error):
                        raise RequestError(frame.code, frame.message, retry_after_ms=frame.retry_after_ms)
                    return bytes(frame.value)
            await self._read()

    async def call(self, name: str, args: Struct) -> Struct:
        """Make a call and return its result. Raises `RequestError`."""
        value = await self.request(Call, name, msgspec.Raw(msgspec.msgpack.encode(args)))
        return msgspec.msgpack.decode(value, type=calls.CALLS[name][1])

    async def hello(self, person: Person, cursor: bytes | None = None, window: int = 256) -> Welcome:
        """Sign in."""
        assert self.challenge is not None
        transcript = hello_transcript(self.challenge.nonce, self.challenge.server, VERSION)
        proof = keys.sign_hello(person.keys, transcript)
        await self.send(Hello(VERSION, person.device, proof, cursor, window))
        return await self.next(Welcome)

    async def open(self, other: Person) -> ConversationId:
        """Open the conversation with somebody."""
        result = await self.call("conversations.open", calls.UserRef(other.user))
        assert isinstance(result, calls.OpenedConversation)
        return result.conv

    async def closed(self) -> tuple[int, str | None]:
        """Read until the server closes; return its code and reason."""
        with pytest.raises(ConnectionClosed) as closed:
            await self._read_on()
        assert closed.value.reason is not None
        return closed.value.reason.code, closed.value.reason.reason


@asynccontextmanager
async def connected(node: Node) -> AsyncIterator[RawClient]:
    """Connect and take the challenge."""
    port = node.gateway_port
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream, trio.open_nursery() as nursery:
        ws = await wrap_client_stream(
            nursery, stream, f"127.0.0.1:{port}", "/", subprotocols=[SUBPROTOCOL], max_message_size=2**21
        )
        client = RawClient(ws)
        client.challenge = await client.next(Challenge)
        yield client
        await ws.aclose()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def signed_in(node: Node, person: Person, cursor: bytes | None = None) -> AsyncIterator[RawClient]:
    """Connect, sign in, and wait until the offline queue is drained."""
    async with connected(node) as client:
        await client.hello(person, cursor)
        await client.next(Drained)
        yield client


async def register(node: Node, person: Person, codes: dict[str, str]) -> None:
    """Register somebody; `codes` is where the code sender leaves the codes."""
    prekeys = keys.prekeys(person.keys)
    entry = device_list.Entry(person.device, person.keys.public, "first")
    signed = device_list.sign(person.account, 1, now_ms(), [entry])
    async with connected(node) as client:
        await client.request(
            Register, person.name, person.phone, "correct horse", person.user, person.account.public,
            person.keys.public, signed, prekeys,
        )  # fmt: skip
        await client.request(Verify, person.phone, codes[person.phone])


async def linked(node: Node, person: Person, client: RawClient) -> Person:
    """Link a second device through the first one's connection; return the person as that device."""
    second = Person(person.name, person.phone, person.user, person.account)
    async with connected(node) as other:
        await other.request(
            Login, person.name, "correct horse", second.keys.public, keys.prekeys(second.keys), "second"
        )
        with pytest.raises(RequestError) as pending:
            await other.request(Link, second.device)
        assert pending.value.code is ErrorCode.LINK_PENDING
        signed = device_list.sign(person.account, 2, now_ms(), [entry_of(person), entry_of(second)])
        await client.call("devices.update", calls.UpdateDevices(signed, b"sealed for the second"))
        answer = msgspec.msgpack.decode(await other.request(Link, second.device), type=calls.SealedLink)
        assert (answer.sealed, answer.devices.signed) == (b"sealed for the second", signed)
    return second


def entry_of(person: Person) -> device_list.Entry:
    """Return somebody's device as device lists have it."""
    return device_list.Entry(person.device, person.keys.public, "")


def message(
    conv: ConversationId, *devices: DeviceId, cid: bytes | None = None, body: bytes = b"x" * 160
) -> Send:
    """Return a SEND with a wrap for each device."""
    return Send(
        Cid(cid or secrets.token_bytes(16)),
        conv,
        Kind.MESSAGE,
        body,
        dict.fromkeys(devices, b"w" * 100),
    )


async def send(client: RawClient, frame: Send) -> Sent:
    """Send a message and wait for its SENT."""
    await client.send(frame)
    return await client.next(Sent)


async def receive(client: RawClient, count: int = 1) -> list[Event]:
    """Receive and acknowledge events."""
    events = [await client.next(Event) for _ in range(count)]
    await client.send(Ack(events[-1].n))
    return events
