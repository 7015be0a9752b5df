"""The network between two parts, through Toxiproxy: slow, thin, deaf, or cut off.

The part is one that the scenario named in `Wanted.proxied`, or one of the three of `cassandra`, such as `cassandra-1`.
Towards the server is upstream; both directions suffer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from ..lab import Lab


@asynccontextmanager
async def toxic(
    lab: Lab, part: str, kind: str, toxicity: float = 1.0, **attributes: int
) -> AsyncIterator[None]:
    """Poison both directions of a part's connections; kinds and attributes are Toxiproxy's."""
    said = ", ".join(f"{name} {value}" for name, value in attributes.items())
    lab.say(f"{part}: {kind} ({said})")
    async with AsyncExitStack() as stack:
        for proxy in lab.proxies(part):
            for stream in ("downstream", "upstream"):
                await stack.enter_async_context(proxy.toxic(kind, stream, toxicity, **attributes))
        yield


@asynccontextmanager
async def slow(lab: Lab, part: str, latency_ms: int, jitter_ms: int = 0) -> AsyncIterator[None]:
    """Everything takes longer, each way."""
    async with toxic(lab, part, "latency", latency=latency_ms, jitter=jitter_ms):
        yield


@asynccontextmanager
async def deaf(lab: Lab, part: str) -> AsyncIterator[None]:
    """Nothing gets through and nothing is closed, as behind a firewall that has forgotten the connections; what is sent
    is lost. At the end those connections close.
    """
    async with toxic(lab, part, "timeout", timeout=0):
        yield


@asynccontextmanager
async def cut(lab: Lab, part: str) -> AsyncIterator[None]:
    """All connections close, and new ones are refused."""
    lab.say(f"{part}: cut off")
    async with AsyncExitStack() as stack:
        for proxy in lab.proxies(part):
            await stack.enter_async_context(proxy.cut())
        yield
