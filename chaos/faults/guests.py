"""Guests who are no friends: they connect by the thousand, send garbage, or take the keys that are meant for others."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import cycle, islice
from urllib.parse import urlsplit

import trio
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, wrap_client_stream

from chappe.client import Client
from chappe.crypto import device_list
from chappe.protocol import calls
from chappe.protocol.frames import MAX_MESSAGE_BYTES, SUBPROTOCOL

from ..lab import Lab
from ..people.crowd import enrol

ADDRESSES = [f"127.0.1.{number}" for number in range(1, 51)]


def _target(lab: Lab) -> tuple[str, int]:
    address = urlsplit(lab.site.url)
    assert address.hostname is not None
    assert address.port is not None
    return address.hostname, address.port


@asynccontextmanager
async def crowding(lab: Lab, connections: int) -> AsyncIterator[None]:
    """Hold connections that say nothing, from many addresses, and make a new one for each that is closed."""
    target = _target(lab)

    async def knock(address: str) -> None:
        while True:
            with suppress(OSError), trio.socket.socket(socket.AF_INET) as silent:
                await silent.bind((address, 0))
                await silent.connect(target)
                await silent.recv(1 << 16)
            await trio.sleep(0.5)

    lab.say(f"{connections} strangers connect, again and again")
    async with trio.open_nursery() as nursery:
        for address in islice(cycle(ADDRESSES), connections):
            nursery.start_soon(knock, address)
        yield
        nursery.cancel_scope.cancel()


async def send_garbage(lab: Lab, messages: int) -> int:
    """Send random bytes as WebSocket messages, each on a connection of its own; return how many were turned away."""
    refused = 0
    for number in range(messages):
        data = lab.random.randbytes(lab.random.choice((0, 1, 60, 4_000, 100_000)))
        refused += await _is_refused(_target(lab), data, is_text=number % 5 == 0)
    return refused


async def _is_refused(target: tuple[str, int], data: bytes, *, is_text: bool) -> bool:
    """Send one message and read until the server closes; False when it does not."""
    stream = await trio.open_tcp_stream(*target)
    is_closed = False
    async with stream, trio.open_nursery() as nursery:
        with trio.move_on_after(30.0), suppress(HandshakeError):
            ws = await wrap_client_stream(
                nursery,
                stream,
                target[0],
                "/",
                subprotocols=[SUBPROTOCOL],
                max_message_size=MAX_MESSAGE_BYTES,
            )
            with suppress(ConnectionClosed):
                await ws.send_message(data.hex() if is_text else data)
                await _read_to_the_end(ws)
            is_closed = ws.closed is not None
        nursery.cancel_scope.cancel()
    return is_closed


async def _read_to_the_end(ws: WebSocketConnection) -> None:
    while True:
        await ws.get_message()


@asynccontextmanager
async def mallory(lab: Lab) -> AsyncIterator[Client]:
    """Lend the client of somebody who has just registered, and whom nobody knows."""
    [profile] = (await enrol(lab.site, lab.people.folder, {"mallory": 1}, first_number=900))["mallory"]
    async with profile.client() as client:
        with trio.fail_after(60.0):
            await client.online()
        yield client


async def drain_prekeys(lab: Lab, thief: Client, claims: int) -> None:
    """Claim one-time keys of everybody's devices, many times, without ever writing to them."""
    lab.say(f"a stranger claims everybody's one-time keys, {claims} times")
    for user in lab.people.users:
        answer = await thief.call("devices.get", calls.UserRef(user))
        assert isinstance(answer, calls.DeviceList)
        listed = device_list.verify(answer.signed, answer.account_key, 1)
        devices = [entry.device for entry in listed.entries]
        for _ in range(claims):
            await thief.call("keys.claim", calls.ClaimKeys(user, devices))
