"""Ten thousand connects that never speak: others chat on, and the server gives back what they took."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio

from chaos.people.crowd import say, two_people
from chaos.stack.node import CONFIG, Node, serving, until

CONNECTS = 10_000
BATCH = 500
MEMORY_KIB = 32 * 1024


@pytest.mark.system
async def test_ten_thousand_silent_connects_harm_nobody(tmp_path: Path) -> None:
    config = CONFIG.replace("[limits]", "[limits]\naccept_per_s = 2000").replace(
        "[timing]", "[timing]\nhello_s = 2"
    )
    async with serving(tmp_path / "server", config=config) as server:
        async with two_people(server, tmp_path) as (alice, bob):
            await say(alice, bob, "before")
            fds, rss_kib = server.fds(), server.rss_kib()
            for number in range(CONNECTS // BATCH):
                # In turn from one address, which is soon refused, and from many, which are all let in.
                addresses = [f"127.0.1.{i}" for i in range(1, 51)] if number % 2 else ["127.0.0.2"]
                async with _silent(server, addresses):
                    await say(alice, bob, f"in the middle {number}")
            assert await server.metric('chappe_connections_rejected_total{reason="address"}') > 0
            await until(lambda: server.fds() <= fds, f"no more than {fds} descriptors", seconds=120.0)
            assert server.rss_kib() <= rss_kib + MEMORY_KIB
            await say(bob, alice, "after")


@asynccontextmanager
async def _silent(server: Node, addresses: list[str]) -> AsyncIterator[None]:
    """Hold connections that say nothing, from other addresses than the people's own."""
    connected = 0

    async def connect(address: str) -> None:
        nonlocal connected
        with trio.socket.socket() as silent:
            await silent.bind((address, 0))
            await silent.connect(("127.0.0.1", server.port))
            connected += 1
            with suppress(ConnectionResetError):
                await silent.recv(1)

    async with trio.open_nursery() as nursery:
        for number in range(BATCH):
            nursery.start_soon(connect, addresses[number % len(addresses)])
        await until(lambda: connected == BATCH, f"{BATCH} connects")
        yield
        nursery.cancel_scope.cancel()
