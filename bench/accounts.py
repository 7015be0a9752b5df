"""Signs people up: real keys, real REGISTER and VERIFY, the code read from the server's console.

`__main__` calls it before any measurement. What the SDK does at its first connect beyond this (one-time
keys) is left out: nothing here starts an encrypted session, so nobody would claim them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from time import time

from chappe.crypto import device_list, keys
from chappe.ids import UserId
from chappe.protocol.frames import Register, Verify

from .node import Node
from .wire import Connection

AT_ONCE = 16
"""Sign-ups at a time: enough to keep the server's store busy, few enough that none waits long."""

_PHONES_FROM = 447_400_000_000  # a valid range: the server checks numbers; nothing is sent to them


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account and one device."""

    user: UserId
    device: keys.DeviceKeys

    def sign(self, transcript: bytes) -> bytes:
        """Sign HELLO's transcript."""
        return keys.sign_hello(self.device, transcript)

    async def connect(self, node: Node) -> Connection:
        """Open a connection and sign in."""
        connection = await Connection.open(node.url)
        await connection.sign_in(self.device.device_id, self.sign)
        return connection


async def sign_up_all(node: Node, count: int, progress: Callable[[int], None]) -> list[Person]:
    """Register `count` people, some at a time; `progress` hears how many are done."""
    gate = asyncio.Semaphore(AT_ONCE)
    done = 0

    async def one(number: int) -> Person:
        nonlocal done
        async with gate:
            person = await _sign_up(node, number)
        done += 1
        progress(done)
        return person

    return await asyncio.gather(*(one(number) for number in range(count)))


async def _sign_up(node: Node, number: int) -> Person:
    now_ms = round(time() * 1000)
    account = keys.new_account_key(os.urandom)
    device = keys.new_device(os.urandom, now_ms)
    user = UserId(os.urandom(16))
    phone = f"+{_PHONES_FROM + number}"
    entry = device_list.Entry(device.device_id, device.public, "bench")
    connection = await Connection.open(node.url)
    await connection.request(
        Register(
            rid=connection.next_rid(),
            username=f"bench{number:06}",
            phone=phone,
            password=f"a password of person {number}",
            user=user,
            account_key=account.public,
            device_key=device.public,
            device_list=device_list.sign(account, 1, now_ms, [entry]),
            prekeys=keys.prekeys(device),
        )
    )
    await connection.request(Verify(connection.next_rid(), phone, await node.code(phone)))
    await connection.close()
    return Person(user, device)
