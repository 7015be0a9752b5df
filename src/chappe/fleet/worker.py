"""One worker process as a child of the parent's tree: a run of the child is a life of the process.

The child has started when the process says so over its link (`link.py`); it crashes when the process ends unasked or
falls silent; and stopping it is SIGTERM, the process' own drain, and SIGKILL when the child's time is over. What is run
is a command that speaks the link's protocol; what a node is, this file does not know.
"""

from __future__ import annotations

import math
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog
import trio

from supervisors import cleanup_scope

from ..errors import ChappeError
from .link import READY

LAST_BREATH_S = 5.0
"""How long a process may take to end after its end of the link is closed, which the kernel does for one that dies."""

log = structlog.get_logger("fleet")


class WorkerEnded(ChappeError):
    """A worker process ended without having been asked to, or had to be killed."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker runs: a command, to which the worker's name is appended, its environment, and one line that may be
    secret. `silent_s` is how long it may say nothing once it has begun to.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    order: bytes = field(repr=False)
    silent_s: float


@dataclass(frozen=True, slots=True)
class Ready:
    """A process that serves, and the loopback port of its operators' endpoints."""

    pid: int
    http_port: int


class Worker:
    """A place for one process after the other. `ready` is None while none serves."""

    def __init__(self, name: str, job: Job) -> None:
        self.name = name
        self.ready: Ready | None = None
        self._job = job

    async def run(self, *, task_status: trio.TaskStatus[Ready]) -> None:
        """Run one process. Cancelled, it ends the process first.

        Raises: `WorkerEnded`; OSError when there is no process to be had.
        """
        ours, theirs = socket.socketpair()
        async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as link:
            with theirs:
                process = await trio.lowlevel.open_process(
                    [*self._job.command, self.name],
                    stdin=theirs,
                    env=self._job.environment,
                    process_group=0,  # a terminal's Ctrl-C is the parent's alone, who then asks each worker
                )
            try:
                await self._follow(link, process, task_status)
            except trio.Cancelled:
                with cleanup_scope():
                    process.terminate()
                    await process.wait()
                raise
            finally:
                self.ready = None
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()

    async def _follow(
        self, link: trio.SocketStream, process: trio.Process, task_status: trio.TaskStatus[Ready]
    ) -> None:
        """Raises: `WorkerEnded`, in the end."""
        who, rest = f"{self.name} (pid {process.pid})", b""
        patience_s = math.inf  # how long it takes to begin is for the child's time to start
        try:
            await link.send_all(self._job.order + b"\n")
            while True:
                with trio.move_on_after(patience_s) as patience:
                    data = await link.receive_some()
                if patience.cancelled_caught:
                    raise WorkerEnded(f"{who} was silent for {self._job.silent_s:g} s and is killed.")
                if not data:
                    break
                patience_s = self._job.silent_s
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    if line.startswith(READY):
                        self.ready = Ready(process.pid, int(line.split()[1]))
                        log.info("worker_ready", worker=self.name, pid=process.pid)
                        task_status.started(self.ready)
        except trio.BrokenResourceError:
            pass  # it died with our line unread
        with trio.move_on_after(LAST_BREATH_S):
            await process.wait()
        raise WorkerEnded(f"{who} {_how(process.returncode)}.")


def _how(code: int | None) -> str:
    if code is None:
        return "closed its link and is killed"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}; its log says why"
