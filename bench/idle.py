"""What a signed-in connection that says nothing costs the server in memory.

`__main__` runs it last, on a freshly started server: memory that sign-ups or traffic left free inside the
old process would otherwise be reused and hide the cost. A few connections come first, so that code and
caches that exist once per server are not counted as the connections'. Kernel memory (socket buffers) is not
in it: it is not the process's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from . import proc
from .accounts import Person
from .node import Node
from .wire import Connection

AT_ONCE: Final = 32
FIRST: Final = 50
SETTLE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Idle:
    """The server's memory in bytes before and after `connections` more signed in."""

    connections: int
    before: proc.Memory
    after: proc.Memory

    @property
    def rss_kib(self) -> float:
        """Resident memory per connection, KiB."""
        return (self.after.rss - self.before.rss) / self.connections / 1024

    @property
    def pss_kib(self) -> float:
        """Proportional memory per connection, KiB."""
        return (self.after.pss - self.before.pss) / self.connections / 1024


async def measure(node: Node, people: Sequence[Person], progress: Callable[[int], None]) -> Idle:
    """Sign everybody in (the first few before the measurement begins) and read the server's memory."""
    first, rest = people[:FIRST], people[FIRST:]
    gate = asyncio.Semaphore(AT_ONCE)
    done = 0

    async def sign_in(person: Person) -> Connection:
        nonlocal done
        async with gate:
            connection = await person.connect(node)
        done += 1
        progress(done)
        return connection

    connections = await asyncio.gather(*map(sign_in, first))
    await asyncio.sleep(SETTLE_S)
    before = proc.memory(node.pid)
    connections += await asyncio.gather(*map(sign_in, rest))
    await asyncio.sleep(SETTLE_S)
    after = proc.memory(node.pid)
    for connection in connections:
        if connection.failed.done():
            connection.failed.result()
    await asyncio.gather(*(connection.close() for connection in connections))
    return Idle(len(rest), before, after)
