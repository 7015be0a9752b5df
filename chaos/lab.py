"""The laboratory of one run: the stack, the crowd, and a way to break things that are put right again.

A scenario's fault gets one. Its means to break something are in `faults/`; those use `undoing`, so that whatever they
do is in the journal before it is done.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from deploy.services import Fleet

from .journal import Journal
from .people.crowd import Crowd
from .stack.balancer import Balancer
from .stack.certificates import Certificates
from .stack.node import Node, printed_code
from .stack.toxiproxy import Proxy
from .undo import Undo
from .watch import Watch


@dataclass(frozen=True)
class Site:
    """What runs: nodes, and around them what the scenario wanted. `url` is where people knock."""

    url: str
    nodes: list[Node]
    fleet: Fleet | None = None
    balancer: Balancer | None = None
    proxies: dict[str, Proxy] | None = None
    certificates: Certificates | None = None

    async def code(self, phone: str) -> str:
        """Return the verification code that one of the nodes printed for a phone."""
        return await printed_code(self.nodes, phone)


@dataclass
class Lab:
    """One run's stack, its people, and who watches. `random` is of the run's seed; `say` notes what is being done, and
    tells whoever looks on.
    """

    site: Site
    people: Crowd
    watch: Watch
    journal: Journal
    random: random.Random
    say: Callable[[str], None]

    @property
    def fleet(self) -> Fleet:
        """The services; only a full stack has them."""
        assert self.site.fleet is not None
        return self.site.fleet

    @property
    def nodes(self) -> list[Node]:
        """The nodes."""
        return self.site.nodes

    def proxies(self, part: str) -> list[Proxy]:
        """Return the proxies before a part that the scenario named in `proxied`: of `cassandra` all three, of
        `cassandra-1` the first one's.
        """
        assert self.site.proxies is not None
        return [proxy for name, proxy in self.site.proxies.items() if f"{name}-".startswith(f"{part}-")]

    async def chat(self, messages: int) -> None:
        """Wait until so many more messages were acknowledged."""
        await self.people.chat(messages)

    async def linger(self, seconds: float, messages: int = 0) -> None:
        """Wait for a time, and until so many messages were acknowledged meanwhile."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, seconds)
            if messages:
                nursery.start_soon(self.chat, messages)

    @asynccontextmanager
    async def undoing(self, undo: Undo) -> AsyncIterator[None]:
        """Break something inside; it is put right at the end, cancelled or not."""
        number = self.journal.intend(undo)
        try:
            yield
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(undo.perform)
            self.journal.undone(number)
