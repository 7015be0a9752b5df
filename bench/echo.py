"""The yardstick: a bare trio-websocket server that sends every message back, measured in the same run.

Absolute CPU times follow the machine's mood: on a shared host the same code took 0.37 to 0.76 s within one afternoon.
What Chappe does for a message (check, store durably, answer, deliver, take the receipt) over what the bare library
does for one message there and back is a ratio that two machines, or two afternoons, can compare. `python -m bench.echo`
is the server; `measure` starts and loads it.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

import picows
import trio
import trio_websocket

from . import proc
from .errors import BenchError

CONNECTIONS: Final = 50
MESSAGE: Final = bytes(500)  # about what a SEND of a short text takes
WARM_UP_S: Final = 1.0
WINDOW_S: Final = 4.0


class _Bouncer(picows.WSListener):  # type: ignore[misc] # picows has no types
    """Keeps one message on the way."""

    def __init__(self) -> None:
        self.count = 0

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        transport.send(picows.WSMsgType.BINARY, MESSAGE)

    def on_ws_frame(self, transport: picows.WSTransport, _frame: picows.WSFrame) -> None:
        self.count += 1
        transport.send(picows.WSMsgType.BINARY, MESSAGE)


async def measure() -> float:
    """Return the server's CPU microseconds for one echoed message."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.echo", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        port = (await process.stdout.readline()).decode().strip()
        if not port:
            raise BenchError("The echo server did not start.")
        url = f"ws://127.0.0.1:{port}/"
        bouncers = [(await picows.ws_connect(_Bouncer, url))[1] for _ in range(CONNECTIONS)]
        await asyncio.sleep(WARM_UP_S)
        before, counted = proc.cpu(process.pid), sum(bouncer.count for bouncer in bouncers)
        await asyncio.sleep(WINDOW_S)
        used, echoed = (
            proc.cpu(process.pid).since(before),
            sum(bouncer.count for bouncer in bouncers) - counted,
        )
        return used.whole_s / max(1, echoed) * 1e6
    finally:
        process.kill()
        await process.wait()


async def _echo(request: trio_websocket.WebSocketRequest) -> None:
    ws = await request.accept()
    try:
        while True:
            await ws.send_message(await ws.get_message())
    except trio_websocket.ConnectionClosed:
        return


async def _serve() -> None:
    async with trio.open_nursery() as nursery:
        server: trio_websocket.WebSocketServer = await nursery.start(
            trio_websocket.serve_websocket, _echo, "127.0.0.1", 0, None
        )
        print(server.port, flush=True)


if __name__ == "__main__":
    trio.run(_serve)
