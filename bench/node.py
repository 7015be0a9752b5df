"""The server under test: a process of its own, on a data folder of its own, as an operator would start it.

`__main__` starts it, `accounts` reads the verification codes from its console. Ports and folder come by
environment, everything else from config/bench.toml.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from chappe.settings import ENV_PREFIX

from .errors import BenchError

CONFIG = Path(__file__).parent.parent / "config" / "bench.toml"
START_S = 60.0
STOP_S = 60.0
CODE_S = 60.0

_CODE = re.compile(r"verification code for (\S+): (\S+)")


class Node:
    """A running server. `url` is where its WebSocket listens, `log` the file with its standard error."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self._process = process
        self._codes: dict[str, asyncio.Future[str]] = {}
        self.pid = process.pid
        self.port = port
        self.url = f"ws://127.0.0.1:{port}/"
        self.log = log

    async def code(self, phone: str) -> str:
        """Wait for the verification code that the server prints for a phone number."""
        try:
            async with asyncio.timeout(CODE_S):
                return await self._code(phone)
        except TimeoutError:
            raise BenchError(f"The server printed no verification code within {CODE_S:.0f} s.") from None

    def signal(self, number: signal.Signals) -> None:
        """Send the server's process a signal."""
        self._process.send_signal(number)

    async def read_console(self) -> None:
        """Collect verification codes until the server closes its standard output."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if found := _CODE.search(line.decode(errors="replace")):
                self._code(found[1]).set_result(found[2])

    async def until_ready(self) -> None:
        """Wait until the server accepts connections: its listeners start last."""
        for _ in range(round(START_S / 0.1)):
            if self._process.returncode is not None:
                raise BenchError(f"The server ended with code {self._process.returncode}:\n{self.log_tail()}")
            try:
                _reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.1)
                continue
            writer.close()
            return
        raise BenchError(f"The server did not listen within {START_S:.0f} s:\n{self.log_tail()}")

    async def stop(self) -> None:
        """Ask the server to go, and see it gone. Raises: `BenchError` when it did not go in order."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                code = await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise BenchError(f"The server did not stop within {STOP_S:.0f} s:\n{self.log_tail()}") from None
        if code != 0:
            raise BenchError(f"The server ended with code {code}:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """Return the last lines that the server logged."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])

    def _code(self, phone: str) -> asyncio.Future[str]:
        return self._codes.setdefault(phone, asyncio.get_running_loop().create_future())


@asynccontextmanager
async def running(
    folder: Path, *, under: Sequence[str] = (), settings: Mapping[str, str] | None = None
) -> AsyncIterator[Node]:
    """Run a server on the data in `folder` (made when missing); `under` is put in front of its command line.

    `settings` go beside those of config/bench.toml, named as in `STORES__MESSAGES`. It is stopped on exit, by force
    when the body failed.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240  # before anything runs
    port, http_port = _free_ports(2)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)},
        f"{ENV_PREFIX}GATEWAY__PORT": str(port),
        f"{ENV_PREFIX}HTTP__PORT": str(http_port),
        f"{ENV_PREFIX}STORES__DATA": str(folder / "data"),
        "PYTHONUNBUFFERED": "1",
        **{f"{ENV_PREFIX}{name}": value for name, value in (settings or {}).items()},
    }
    command = [*(under or (str(Path(sys.executable).with_name("chappe")),)), "serve", "--config", str(CONFIG)]
    log = folder / "server.log"
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=environment,
        )
    node = Node(process, port, log)
    console = asyncio.create_task(node.read_console())
    try:
        await node.until_ready()
        yield node
        await node.stop()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        console.cancel()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports
