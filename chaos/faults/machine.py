"""What a machine does to a node: its disk is full, its clock is wrong, its operator replaces it."""

from __future__ import annotations

import errno
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import astuple
from pathlib import Path

import trio

from deploy.services import Identity

from ..lab import Lab
from ..stack.node import Node
from ..undo import Room


@asynccontextmanager
async def full_disk(lab: Lab, node: Node) -> AsyncIterator[None]:
    """No file of the node can grow: the kernel's limit on the size of a file stands in for the disk."""
    identity = Identity.of(node.pid)
    assert identity is not None
    async with lab.undoing(Room(*astuple(identity))):
        lab.say(f"{node.folder.name} may write nothing")
        resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        yield


@asynccontextmanager
async def filled_disk(lab: Lab, node: Node) -> AsyncIterator[None]:
    """A file takes all the room that is left on the node's own disk (`Wanted.disk_mb`)."""
    ballast = node.data / "ballast"
    try:
        size_mb = await trio.to_thread.run_sync(_fill, ballast)
        lab.say(f"the disk of {node.folder.name} is full: {size_mb:.1f} MB of ballast")
        yield
    finally:
        ballast.unlink(missing_ok=True)


def _fill(ballast: Path) -> float:
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        return file.tell() / 1e6


async def restart_with_clock(lab: Lab, node: Node, clock_s: float) -> None:
    """The node dies and comes back with a wall clock that is wrong by so much."""
    lab.say(f"{node.folder.name} starts again with a clock that is off by {clock_s:g} s")
    await node.kill()
    await node.start(clock_s=clock_s)


async def replace_workers(lab: Lab, node: Node) -> None:
    """SIGHUP: a node replaces its workers one after the other. Returns when all are new and serve."""
    old = set(node.workers().values())
    assert node.process is not None
    lab.say(f"SIGHUP to {node.folder.name}: new workers")
    node.process.send_signal(signal.SIGHUP)
    while True:
        new = set(node.workers().values())
        if len(new) >= len(old) and not new & old:
            return
        await trio.sleep(0.1)
