"""A node as a process of its own, and the one way in which tests and scenarios wait.

A process is started, killed and started again on the same folder; what it prints goes to files beside its data, so
that nothing blocks on a pipe and a failure can show the end of them.
Nobody sleeps for a fixed time: `until` waits for a condition, with a deadline that a slow machine keeps too.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import trio

from deploy.services.process import Identity

READY_S = 60.0
CHAPPE = str(Path(sys.executable).with_name("chappe"))
PRINTED_CODE = re.compile(r"verification code for (\+\d+): (\d+)")
"""How a node tells a phone its code on the console."""

# Sign-up is made cheap and rate limits wide: whoever breaks something on purpose is not after the limits.
CONFIG = """
[limits]
signups_per_address_burst = 1000
messages_burst = 1000
messages_per_s = 1000
calls_burst = 1000
calls_per_s = 1000
claims_burst = 1000
claims_per_s = 1000
notes_burst = 1000
notes_per_s = 1000

[accounts]
argon2_memory_kib = 8
argon2_passes = 1

[timing]
goaway_spread_s = 0.5
"""


def with_settings(config: str, sections: Mapping[str, str]) -> str:
    """Put further lines into the sections of a configuration, which may be there already."""
    for name, lines in sections.items():
        head = f"[{name}]\n"
        config = config.replace(head, f"{head}{lines}\n") if head in config else f"{config}\n{head}{lines}\n"
    return config


async def until(condition: Callable[[], object], what: str, seconds: float = READY_S) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: it did not within `seconds`.
    """
    with trio.move_on_after(seconds):
        while not condition():
            await trio.sleep(0.02)
        return
    raise AssertionError(f"After {seconds} s still not: {what}.")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def printed_code(nodes: Sequence[Node], phone: str) -> str:
    """Return the verification code that one of the nodes printed for a phone."""

    def codes() -> dict[str, str]:
        return dict(PRINTED_CODE.findall("".join(node.printed for node in nodes)))

    await until(lambda: phone in codes(), f"a code for {phone}")
    return codes()[phone]


class Node:
    """`chappe serve` on one data folder and one port; may be killed and started again."""

    def __init__(
        self,
        folder: Path,
        *,
        config: str = CONFIG,
        data: Path | None = None,
        program: Sequence[str] = (CHAPPE,),
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.program = list(program)
        self.data = data or folder / "data"
        self.port, self.http_port = free_port(), free_port()
        self.config = folder / "chappe.toml"
        self.config.write_text(config)
        self.process: trio.Process | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def printed(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def logged(self) -> str:
        return (self.folder / "stderr").read_text()

    async def spawn(self, *, clock_s: float = 0.0) -> trio.Process:
        """Start a process and do not wait for it; its wall clock is wrong by `clock_s`."""
        chappe = self.program
        if clock_s:
            chappe = [sys.executable, str(Path(__file__).with_name("shifted.py")), str(clock_s)]
        command = [*chappe, "serve", "--config", str(self.config), "--data", str(self.data)]
        command += ["--port", str(self.port), "--http-port", str(self.http_port)]
        with (self.folder / "stdout").open("ab") as out, (self.folder / "stderr").open("ab") as err:
            return await trio.lowlevel.open_process(command, stdout=out, stderr=err, env=self._environment)

    @property
    def _environment(self) -> dict[str, str]:
        """Ours, and a name in metrics: nodes of one machine would all have that machine's."""
        return os.environ | {"CHAPPE_NODE_HTTP__NODE": self.folder.name}

    async def start(self, *, clock_s: float = 0.0) -> None:
        """Start it and wait until it takes connections."""
        self.process = await self.spawn(clock_s=clock_s)
        await until(lambda: self._is_listening() or self._is_dead(), "the server listens")
        assert not self._is_dead(), f"The server ended with {self.process.returncode}:\n{self.logged[-4000:]}"

    def _is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _is_dead(self) -> bool:
        return self.process is None or self.process.poll() is not None

    async def kill(self) -> None:
        """End it as a power cut would, all its processes."""
        if self.process is not None:
            workers = self.workers()
            self.process.kill()
            for pid in workers.values():
                with suppress(ProcessLookupError):  # it ends with its parent
                    os.kill(pid, signal.SIGKILL)
            with trio.CancelScope(shield=True):
                await self.process.wait()

    async def stop(self) -> int:
        """Ask it to stop; return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        with trio.fail_after(READY_S):
            return await self.process.wait()

    async def code(self, phone: str) -> str:
        """Return the verification code that it printed for a phone, as a person would read it."""
        return await printed_code([self], phone)

    def events(self) -> list[dict[str, Any]]:
        """Return what it logged, as JSON; a line that is just being written is not there yet."""
        whole, _, _ = self.logged.rpartition("\n")
        return [msgspec.json.decode(line) for line in whole.splitlines() if line.startswith("{")]

    def workers(self) -> dict[str, int]:
        """Return the pids of its workers that run, by name; its log has to be JSON."""
        started = {one["worker"]: one["pid"] for one in self.events() if one["event"] == "worker_ready"}
        return {name: pid for name, pid in started.items() if Identity.of(pid)}

    async def is_ready(self) -> bool:
        """Whether it says that it can do its work; of workers, at least one."""
        try:
            return " 200 " in (await self.page("/readyz")).partition("\r\n")[0] + " "
        except OSError:  # not there yet, or a worker that is being replaced
            return False

    def connections(self) -> int:
        """Return how many TCP connections it has with clients."""
        port, established = f":{self.port:04X}", "01"
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(row[1].endswith(port) and row[3] == established for row in rows)

    async def page(self, path: str, method: str = "GET", port: int | None = None) -> str:
        """Return what its operators' port, or that of one of its workers, answers: headers and all. Raises: OSError."""
        async with await trio.open_tcp_stream("127.0.0.1", port or self.http_port) as stream:
            request = f"{method} {path} HTTP/1.1\r\nHost: chappe\r\nConnection: close\r\n\r\n"
            try:
                await stream.send_all(request.encode())
                return b"".join([chunk async for chunk in stream]).decode()
            except trio.BrokenResourceError as error:
                raise ConnectionResetError("The node reset the connection.") from error

    async def metric(self, name: str) -> float:
        """Return what /metrics says of one counter, with its labels; 0 when it is not there (yet)."""
        lines = [line.split() for line in (await self.page("/metrics")).splitlines()]
        return sum(float(line[1]) for line in lines if line[:1] == [name])

    def fds(self) -> int:
        """Return how many file descriptors it has open."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def rss_kib(self) -> int:
        """Return its resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])


@asynccontextmanager
async def serving(folder: Path, *, config: str = CONFIG, data: Path | None = None) -> AsyncIterator[Node]:
    """Run a server for a while; shows the end of its log when the test fails."""
    server = Node(folder, config=config, data=data)
    try:
        await server.start()
        yield server
    except BaseException:
        print(f"The server's log ends with:\n{server.logged[-4000:]}")
        raise
    finally:
        await server.kill()
