"""What happens in the scene of the pictures: calm, then the bus, half of the people, a worker and the message store
go, one after the other, and come back.

Each is announced as a scenario, so that its time is marked on the dashboards.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio

from chaos.stack.node import until
from deploy.services.process import Server

from ..ask import Range
from .scene import SCRAPED_S, Scene

CALM_S: Final = 35.0
EDGE_S: Final = 15.0
BUS_AWAY_S: Final = 12.0
PEOPLE_GONE_S: Final = 6.0
STORE_AWAY_S: Final = 8.0  # longer than writes may take: some sends fail


async def told(scene: Scene, tell: Callable[[str], None]) -> Range:
    """Let it happen; return when it did. Takes about four minutes."""
    await until(lambda: scene.people.acknowledged() > 50, "people chat", 120.0)
    began_s = time.time()
    tell("people chat")
    await trio.sleep(CALM_S)
    tell("the bus goes away")
    with scene.announcer.running("bus away"), _frozen(scene.stores.redis.servers[0]):
        await trio.sleep(BUS_AWAY_S)
    await trio.sleep(CALM_S)
    tell("half of the people drop off")
    with scene.announcer.running("people gone"):
        group = scene.people.groups[0]
        await group.kill()
        await trio.sleep(PEOPLE_GONE_S)
        await group.start()
        await trio.sleep(3 * SCRAPED_S)
    await trio.sleep(CALM_S)
    tell("a worker is killed")
    with scene.announcer.running("worker killed"):
        name, pid = next(iter(scene.node.workers().items()))
        os.kill(pid, signal.SIGKILL)
        await until(lambda: scene.node.workers().get(name) not in {None, pid}, "the worker is back")
        await trio.sleep(3 * SCRAPED_S)
    await trio.sleep(CALM_S)
    tell("the message store goes away")
    with scene.announcer.running("store away"), _frozen(scene.stores.cassandra.servers[0]):
        await trio.sleep(STORE_AWAY_S)
    await trio.sleep(CALM_S)
    # Ends between two labels of the time axis, so that none is cut off.
    end_s = (time.time() - EDGE_S) // (2 * EDGE_S) * (2 * EDGE_S) + EDGE_S
    return Range(float(int(began_s)), end_s, SCRAPED_S, SCRAPED_S)


@contextmanager
def _frozen(server: Server) -> Iterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.thaw()
