"""Thousands of signed-in devices that say nothing and come back whenever they are thrown out, in a process of its own.

Started by `multitude` as `python -m chaos.people.multitude URL COUNT CONSOLE`, where the node prints its verification
codes to the file CONSOLE. Keys, sign-ups, sign-ins and the waits before coming back are as a client's; the rest of a
client would be too much for so many in one place. Prints how many are online whenever that has changed; the end of
standard input means that whoever watches is gone.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from chappe.client.connector import FIRST_WAIT_S
from chappe.client.dial import dial
from chappe.client.errors import NoConnection
from chappe.client.wire import Wire
from chappe.crypto import device_list, keys
from chappe.crypto.keys import DeviceKeys
from chappe.ids import UserId
from chappe.protocol.calls import Nothing
from chappe.protocol.codes import RequestError
from chappe.protocol.frames import Ping, Pong, Register, Verify

from ..stack.node import PRINTED_CODE, until

SIGNING_UP_AT_ONCE = 16
MOST_WAIT_S = 10.0
TELL_S = 0.2


class Console:
    """The file that a node prints its codes to, read on from where it was read to."""

    def __init__(self, path: Path) -> None:
        self._file = path.open()
        self._codes: dict[str, str] = {}

    async def code(self, phone: str) -> str:
        """Wait for the code that is sent to a phone."""
        with trio.fail_after(60.0):
            while phone not in self._codes:
                await trio.sleep(0.02)
                self._codes.update(PRINTED_CODE.findall(self._file.read()))
        return self._codes.pop(phone)


class Devices:
    """All of them; `online` is how many are signed in."""

    def __init__(self, url: str, console: Console) -> None:
        self._url = url
        self._console = console
        self._gate = trio.Semaphore(SIGNING_UP_AT_ONCE)
        self.online = 0

    async def live(self, number: int) -> None:
        """Sign up, sign in, and come back for ever."""
        async with self._gate:
            device = await self._sign_up(number)
        tries = 0
        while True:
            try:
                async with dial(self._url, None) as wire:
                    await wire.sign_in(device, None)
                    tries = 0
                    self.online += 1
                    try:
                        await _stay(wire)
                    finally:
                        self.online -= 1
            except NoConnection:
                tries += 1
            await trio.sleep(random.uniform(0, min(MOST_WAIT_S, FIRST_WAIT_S * 2**tries)))

    async def _sign_up(self, number: int) -> DeviceKeys:
        now_ms, phone = time.time_ns() // 1_000_000, f"+44740{number:07}"
        account, device = keys.new_account_key(os.urandom), keys.new_device(os.urandom, now_ms)
        signed = device_list.sign(
            account, 1, now_ms, [device_list.Entry(device.device_id, device.public, "one of many")]
        )
        frame = Register(
            1, f"many{number:06}", phone, "a password", UserId(os.urandom(16)), account.public, device.public, signed,
            keys.prekeys(device),
        )  # fmt: skip
        while not await self._is_registered(frame):
            await trio.sleep(random.uniform(0, FIRST_WAIT_S))
        return device

    async def _is_registered(self, frame: Register) -> bool:
        """Try to sign up. Raises: `RequestError`, when another try would change nothing."""
        try:
            async with dial(self._url, None) as wire:
                await wire.challenge()
                await wire.ask(frame, Nothing)
                await wire.ask(Verify(2, frame.phone, await self._console.code(frame.phone)), Nothing)
        except NoConnection:
            return False
        except RequestError as error:
            if error.is_retryable:
                return False
            raise
        return True

    async def tell(self) -> None:
        """Print how many are online."""
        told = -1
        while True:
            if told != self.online:
                told = self.online
                print(told, flush=True)
            await trio.sleep(TELL_S)


async def _stay(wire: Wire) -> None:
    """Answer heartbeats until the connection is over. Raises: `Unreachable`, `Refused`."""
    while True:
        for frame in await wire.receive():
            if isinstance(frame, Ping):
                await wire.send(Pong(frame.n, time.time_ns() // 1_000_000))


async def main(url: str, count: int, console: Path) -> None:
    """Run until standard input ends."""
    devices = Devices(url, Console(console))
    async with trio.lowlevel.FdStream(0) as orders, trio.open_nursery() as nursery:
        nursery.start_soon(devices.tell)
        for number in range(count):
            nursery.start_soon(devices.live, number)
        async for _ in orders:
            pass
        nursery.cancel_scope.cancel()


class Multitude:
    """The process, as a scenario sees it."""

    def __init__(self, count: int, out: Path, process: trio.Process) -> None:
        self.count = count
        self._out = out
        self._process = process

    @property
    def online(self) -> int:
        """How many are signed in, as it said last."""
        lines = self._out.read_text().split("\n")[:-1]
        return int(lines[-1]) if lines else 0

    async def gather(self, within_s: float) -> None:
        """Return when all are online."""

        def is_there() -> bool:
            assert self._process.poll() is None, f"The devices ended with {self._process.returncode}."
            return self.online == self.count

        await until(is_there, f"all {self.count} devices are online", within_s)


@asynccontextmanager
async def multitude(url: str, count: int, console: Path, folder: Path) -> AsyncIterator[Multitude]:
    """Run so many devices; they are gone at the end."""
    command = [sys.executable, "-m", __name__, url, str(count), str(console)]
    out, err = folder / "multitude.out", folder / "multitude.err"
    with out.open("w") as told, err.open("w") as errors:
        process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=told, stderr=errors)
    try:
        yield Multitude(count, out, process)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{err.read_text()[-2000:]}") from error
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
