"""A fleet of stand-ins under a real parent process, and how tests look at it."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio

PATIENCE_S = 60.0


class Fleet:
    """A parent process; its workers are known by what they tell to those who connect."""

    def __init__(self, folder: Path, process: trio.Process) -> None:
        self.folder = folder
        self.process = process
        self.port, self.http_port = 0, 0
        self.seen: set[int] = set()

    async def get(self, path: str) -> tuple[int, str]:
        """Ask the parent for a page; return status and body."""
        async with await trio.open_tcp_stream("127.0.0.1", self.http_port) as stream:
            await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            reply = b"".join([chunk async for chunk in stream]).decode()
        head, _, body = reply.partition("\r\n\r\n")
        return int(head.split()[1]), body

    async def restarts(self) -> int:
        """Return how many restarts there have been."""
        lines = (await self.get("/metrics"))[1].splitlines()
        return sum(
            int(float(line.split()[1])) for line in lines if line.startswith("chappe_child_restarts_total{")
        )

    async def ready(self, count: int) -> None:
        """Wait until so many workers serve."""
        with trio.fail_after(PATIENCE_S):
            while len(json.loads((await self.get("/targets"))[1])) != count + 1:  # noqa: ASYNC110 - in other processes
                await trio.sleep(0.05)

    async def greeting(self) -> tuple[str, int] | None:
        """Connect as a client; return the name and the pid of who answers. One that ends or is frozen does not."""
        with trio.move_on_after(1.0), suppress(OSError, trio.BrokenResourceError):
            async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
                words = b"".join([chunk async for chunk in stream]).split()
                if len(words) == 2:
                    self.seen.add(int(words[1]))
                    return words[0].decode(), int(words[1])
        return None

    async def crew(self, count: int) -> dict[str, int]:
        """Connect until so many workers have answered; return their pids."""
        await self.ready(count)
        found: dict[str, int] = {}
        with trio.fail_after(PATIENCE_S):
            while len(found) < count:
                found |= filter(None, [await self.greeting()])
        return found

    async def ended(self) -> int:
        """Wait for the parent's end; return its exit code."""
        with trio.fail_after(PATIENCE_S):
            return await self.process.wait()

    def drained(self) -> set[int]:
        """Return the pids of those who got to the end of their drain."""
        return {int(file.suffix[1:]) for file in self.folder.glob("drained.*")}

    @property
    def logged(self) -> str:
        return (self.folder / "log").read_text()


@asynccontextmanager
async def fleet(
    folder: Path, workers: int, *, silent_s: float = 30.0, stop_s: float = 20.0
) -> AsyncIterator[Fleet]:
    """Run a fleet; it is killed at the end if it still runs, and the stand-ins end with it."""
    program = Path(__file__).with_name("parent_program.py")
    command = [sys.executable, str(program), *map(str, (folder, workers, silent_s, stop_s))]
    with (folder / "log").open("wb") as log:
        process = await trio.lowlevel.open_process(command, stdout=log, stderr=log)
    found = Fleet(folder, process)
    try:
        with trio.fail_after(PATIENCE_S):
            while not (folder / "ports").exists():
                assert process.poll() is None, found.logged
                await trio.sleep(0.02)
        found.port, found.http_port = map(int, (folder / "ports").read_text().split())
        yield found
    except BaseException:
        print(found.logged[-6000:])
        raise
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        for pid in found.seen:  # a frozen one does not notice that its parent has gone
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the second: it went between the open and the read
        return False


async def until_gone(*pids: int) -> None:
    """Wait until none of these processes runs."""
    with trio.fail_after(PATIENCE_S):
        while any(map(is_alive, pids)):  # noqa: ASYNC110 - in other processes
            await trio.sleep(0.02)
