"""The server of the demonstration: `chappe serve` as a process of its own, watched from outside only.

Verification codes are read off its console as a person would read them; the rest comes from its operators' endpoints.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import trio
from prometheus_client.parser import text_string_to_metric_families

from ..cli.exits import CommandError

READY_WITHIN_S: Final = 40.0
CODE_WITHIN_S: Final = 15.0
STOP_WITHIN_S: Final = 15.0
_CODE = re.compile(r"verification code for (\+\d+): (\d+)")


class Server:
    """A running `chappe serve`."""

    def __init__(self, process: trio.Process, data: Path, port: int, http_port: int, log: deque[str]) -> None:
        self.process = process
        self.data = data
        self.url = f"ws://127.0.0.1:{port}"
        self.http_url = f"http://127.0.0.1:{http_port}"
        self._log = log
        self._codes: dict[str, str] = {}
        self._code_seen = trio.Event()

    async def code(self, phone: str) -> str:
        """Return the verification code that the console shows for a phone number.

        Raises:
            CommandError: it does not show one.
        """
        with trio.move_on_after(CODE_WITHIN_S):
            while phone not in self._codes:
                await self._code_seen.wait()
            return self._codes.pop(phone)
        raise CommandError(f"The server's console shows no verification code for {phone}.")

    async def get(self, path: str) -> str:
        """Return what an operators' endpoint says."""
        return await trio.to_thread.run_sync(_fetch, f"{self.http_url}{path}", abandon_on_cancel=True)

    async def metric(self, name: str) -> float:
        """Return a metric, summed over its labels; zero when it was never counted."""
        families = text_string_to_metric_families(await self.get("/metrics"))
        return sum(sample.value for family in families for sample in family.samples if sample.name == name)

    async def stop(self) -> int:
        """Ask it to stop (SIGTERM), wait until it has, and return its exit code."""
        self.process.terminate()
        with trio.fail_after(STOP_WITHIN_S):
            return await self.process.wait()

    async def until_ready(self) -> None:
        """Wait until it takes traffic.

        Raises:
            CommandError: it ended instead, or takes too long.
        """
        with trio.move_on_after(READY_WITHIN_S):
            while self.process.returncode is None:
                try:
                    await self.get("/readyz")
                except (OSError, urllib.error.URLError):
                    await trio.sleep(0.05)
                else:
                    return
        raise CommandError(f"The server ended, or is not ready within {READY_WITHIN_S:g} s.")

    async def watch_console(self) -> None:
        """Read its standard output, until it ends."""
        async for line in _lines(self.process.stdout):
            self._log.append(line)
            if found := _CODE.search(line):
                self._codes[found[1]] = found[2]
                self._code_seen.set()
                self._code_seen = trio.Event()

    async def watch_log(self) -> None:
        """Read its standard error, until it ends."""
        async for line in _lines(self.process.stderr):
            self._log.append(line)


@asynccontextmanager
async def running_server(data: Path, log: deque[str]) -> AsyncIterator[Server]:
    """Start a server on free loopback ports, which runs until the block ends; its output goes to `log`."""
    port, http_port = _free_port(), _free_port()
    command = [sys.executable, "-m", "chappe.cli", "serve", "--data", str(data)]
    command += ["--port", str(port), "--http-port", str(http_port)]
    async with trio.open_nursery() as nursery:
        # Not checked: a server that ends early is noticed by what fails then, with its log at hand.
        start = partial(
            trio.run_process, command, check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        server = Server(await nursery.start(start), data, port, http_port, log)
        nursery.start_soon(server.watch_console)
        nursery.start_soon(server.watch_log)
        yield server
        nursery.cancel_scope.cancel()


async def _lines(stream: trio.abc.ReceiveStream | None) -> AsyncIterator[str]:
    if stream is None:
        return
    rest = b""
    async for data in stream:
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5.0) as response:  # noqa: S310  always http to loopback
        text: str = response.read().decode()
    return text


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
