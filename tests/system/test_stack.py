"""The whole promise on the whole stack: three Cassandras, PostgreSQL, Redis, two nodes of two workers.

What may fail, fails: one Cassandra is killed, PostgreSQL and Redis stop, a node dies, a worker freezes.
"""

from __future__ import annotations

import os
import random
import signal
from functools import partial
from pathlib import Path

import pytest
import trio

from chaos.people.crowd import Crowd, Habits, crowd
from chaos.stack.stack import Stack, ready, running
from deploy.services.process import Server
from tests.services import Services, services

__all__ = ["services"]  # a fixture: pytest finds it here

PEOPLE = 160
WITH_TWO_DEVICES = 40
TALKS = 240
HABITS = partial(Habits, per_s=0.1, in_process=50)
AWAY_S = 10.0
FROZEN_S = 20.0
TRAFFIC_S = 60.0
# More than can be on its way when a fault begins, so that some of them were sent after it.
FRESH = 60


def talks(names: list[str], chance: random.Random) -> list[tuple[str, str]]:
    """Return who talks to whom: a ring, so that nobody is alone, and pairs at random."""
    pairs = {frozenset(pair) for pair in zip(names, [*names[1:], names[0]], strict=True)}
    while len(pairs) < TALKS:
        pairs.add(frozenset(chance.sample(names, 2)))
    return [(one, two) for one, two in map(sorted, pairs)]


async def away(server: Server, people: Crowd, seconds: float, fresh: int) -> None:
    """Stop a service for a while, and until so many messages were acknowledged meanwhile."""
    await trio.to_thread.run_sync(server.stop)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, seconds)
        nursery.start_soon(people.chat, fresh)
    await trio.to_thread.run_sync(server.start)
    await trio.to_thread.run_sync(server.wait_ready)


async def without_a_cassandra(stack: Stack, people: Crowd) -> None:
    victim = stack.fleet.cassandra.servers[2]
    await trio.to_thread.run_sync(victim.kill)
    await people.chat(FRESH)
    await trio.to_thread.run_sync(victim.start)
    await trio.to_thread.run_sync(victim.wait_ready)


async def without_a_node(stack: Stack, people: Crowd) -> None:
    victim = stack.nodes[0]
    await victim.kill()
    await people.chat(FRESH)
    await victim.start()
    await ready(victim)


async def with_a_frozen_worker(stack: Stack, people: Crowd) -> None:
    victim = stack.nodes[1].workers()["worker-1"]
    os.kill(victim, signal.SIGSTOP)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, FROZEN_S)
        nursery.start_soon(people.chat, FRESH)
    os.kill(victim, signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.system
async def test_whatever_single_part_fails_nothing_is_lost(
    services: Services, tmp_path: Path, seed: int
) -> None:
    fleet = services("postgres", "redis", "cassandra", nodes=3)
    names = [f"person{n}" for n in range(PEOPLE)]
    devices = {name: 2 if n < WITH_TWO_DEVICES else 1 for n, name in enumerate(names)}
    pairs = talks(names, random.Random(seed))
    try:
        async with (
            running(tmp_path / "stack", fleet) as stack,
            crowd(stack, tmp_path, devices, HABITS(seed), pairs) as people,
        ):
            await people.chat(FRESH)
            began = trio.current_time()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(without_a_cassandra, stack, people)
                await away(fleet.redis.servers[0], people, AWAY_S, FRESH)
            await away(fleet.postgres.servers[0], people, AWAY_S, 0)
            await without_a_node(stack, people)
            await with_a_frozen_worker(stack, people)
            await trio.sleep_until(began + TRAFFIC_S)
            verdict = await people.verdict()
    finally:
        services(
            "postgres", "redis", "cassandra", nodes=3
        )  # whatever is still down comes back for the others
    assert verdict.is_kept, verdict.to_text()
    assert verdict.devices == PEOPLE + WITH_TWO_DEVICES
    assert verdict.acknowledged >= 4 * FRESH
