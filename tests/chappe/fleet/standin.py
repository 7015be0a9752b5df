"""A small worker: listens on the shared port, says who it is to whoever connects, and drains when told to.

`fleets.py` has the parent run it as `python standin.py ORDER_PORT FOLDER NAME`; its link is the real one. A file in
FOLDER named after it, or `all`, makes it fail: `NAME.start` before it is ready, `NAME.crash` soon after.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import trio

from chappe.fleet.link import Link, read_order
from chappe.signals import on_signals
from chappe.sockets import listen

TREE = (
    b'{"name":"node","kind":"supervisor","status":"running","restarts":0,"running_s":1.0,"headroom":3,'
    b'"mailbox":null,"is_stuck":false,"last_crash":"","hidden":0,"children":[]}'
)
DRAIN_S = 0.5


async def answer(folder: Path, name: str, stream: trio.SocketStream) -> None:
    """Be the operators' endpoints."""
    async with stream:
        path = (await stream.receive_some()).split()[1]
        status, body = b"200 OK", TREE if path.startswith(b"/tree") else b"ready\n"
        if path == b"/readyz" and (folder / f"{name}.unready").exists():
            status, body = b"503 No", b"The store is away.\n"
        await stream.send_all(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))


async def greet(name: str, stream: trio.SocketStream) -> None:
    async with stream:
        await stream.send_all(f"{name} {os.getpid()}\n".encode())


async def serve_clients(
    name: str, clients: list[trio.SocketListener], *, task_status: trio.TaskStatus[trio.CancelScope]
) -> None:
    with trio.CancelScope() as scope:
        task_status.started(scope)
        await trio.serve_listeners(partial(greet, name), clients)


async def work(port: int, folder: Path, name: str, parent: socket.socket) -> None:
    def asked(what: str) -> bool:
        return (folder / f"{name}.{what}").exists() or (folder / f"all.{what}").exists()

    stop = trio.Event()
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        await nursery.start(on_signals, {signal.SIGTERM: stop.set})
        link = Link(parent)
        nursery.start_soon(link.run, stop.set)
        if asked("start"):
            os._exit(7)
        clients = await listen(stack, "127.0.0.1", port, 64, is_shared=True)
        http = await listen(stack, "127.0.0.1", 0, 64)
        await nursery.start(partial(trio.serve_listeners, partial(answer, folder, name), http))
        accepting = await nursery.start(serve_clients, name, clients)
        await link.ready(http[0].socket.getsockname()[1])
        if asked("crash"):
            os._exit(9)
        await stop.wait()
        accepting.cancel()
        for listener in clients:
            await listener.aclose()
        await trio.sleep(DRAIN_S)
        (folder / f"drained.{os.getpid()}").touch()
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    link = socket.socket(fileno=os.dup(0))
    assert read_order(link) == b"secret\n"
    trio.run(work, int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], link)
