"""CPU that a wake over the bus costs the gateway that sends it, the one that receives it, and Redis.

`.venv/bin/python bench/bus_wake.py` starts a Redis of its own and a second process that receives. Batches are of 64
messages of 300 bytes to one device each, the next batch when the one before has gone out. Needs `redis-server`.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import proc
from chappe.bus.bus import GatewayBus
from chappe.bus.redis import RedisBroker
from chappe.ids import ConversationId, DeviceId, UserId
from tests.contracts import samples
from tests.contracts.bus import RedisServer, Sink, redis_program

DEVICES = [DeviceId(number.to_bytes(16, "big")) for number in range(1000)]
BATCH = 64
BATCHES = 300


class Counting(Sink):
    """Counts, so that its memory does not grow."""

    count = 0

    def wake(self, _device: DeviceId, _row: object) -> None:
        self.count += 1


def cpu_s() -> float:
    """Return this process's CPU time so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def receive(url: str) -> None:
    """Claim all devices, take every wake, print what that cost."""
    bus, sink = GatewayBus(RedisBroker(url)), Counting()
    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run, sink)
        for number, device in enumerate(DEVICES):
            await bus.claim(device, UserId(device), number)
        print("ready", flush=True)
        while not sink.count:  # noqa: ASYNC110 - another process decides it
            await trio.sleep(0.001)
        begin = cpu_s()
        while sink.count < BATCH * BATCHES:  # noqa: ASYNC110
            await trio.sleep(0.05)
        print(json.dumps({"cpu_s": cpu_s() - begin, "holes": bus.counters.holes}), flush=True)
        nursery.cancel_scope.cancel()


async def send(url: str, redis_pid: int) -> None:
    """Send batches to a receiver in another process and print a line of figures."""
    receiver = subprocess.Popen([sys.executable, __file__, url], stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
    assert receiver.stdout is not None
    while receiver.stdout.readline().strip() != "ready":
        pass
    bus = GatewayBus(RedisBroker(url))
    conv = ConversationId(os.urandom(16))
    messages = [samples.message(conv, device, body=b"x" * 300) for device in DEVICES]
    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run, Sink())
        begin, redis_begin, start = cpu_s(), proc.cpu(redis_pid).whole_s, time.perf_counter()
        for number in range(BATCHES):
            for index in range(BATCH):
                at = (number * BATCH + index) % len(DEVICES)
                bus.wake_nowait(messages[at], (DEVICES[at],))
            while bus.counters.frames_sent <= number:  # noqa: ASYNC110
                await trio.sleep(0.0005)
        spent, took = cpu_s() - begin, time.perf_counter() - start
        report = json.loads(await trio.to_thread.run_sync(receiver.stdout.readline))
        redis = proc.cpu(redis_pid).whole_s - redis_begin
        nursery.cancel_scope.cancel()
    receiver.wait()
    wakes = BATCH * BATCHES
    print(
        f"{wakes} wakes in batches of {BATCH}, {wakes / took:.0f}/s; us of CPU a wake:"
        f" sender {spent / wakes * 1e6:.1f}, receiver {report['cpu_s'] / wakes * 1e6:.1f},"
        f" Redis {redis / wakes * 1e6:.1f}; holes {report['holes']}"
    )


async def main() -> None:
    """Run both sides."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(redis_program(), Path(folder))
        await server.start()
        assert server.process is not None
        try:
            await send(f"redis://127.0.0.1:{server.port}", server.process.pid)
        finally:
            await server.kill()


if __name__ == "__main__":
    trio.run(receive, sys.argv[1]) if len(sys.argv) > 1 else trio.run(main)
