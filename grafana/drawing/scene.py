"""Something to look at: a Chappe of several workers on its real stores, people who chat, and a Prometheus over it.
Beside it a node alone, on SQLite and with TLS, so that panels about disks and certificates have something to show.

Its rules run sixty times faster, so that minutes show what hours do. `story.py` breaks things in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from chaos.announce import Announcer, announcing
from chaos.people.crowd import Crowd, Habits, Profile, enrol
from chaos.stack.node import CONFIG, Node, serving
from chaos.stack.stack import running
from chappe.client import DeliveryState, Offline, RequestError
from chappe.ids import UserId
from deploy.services import Fleet, Wishes

PACE: Final = 60
SCRAPED_S: Final = 1.0
FRIENDS: Final = ("ann", "ben", "cem", "dora", "eve", "finn")
READER: Final = "greta"  # only looks into histories
LOOKS_EVERY_S: Final = 0.25
ALONE: Final = (
    CONFIG
    + """
[gateway]
self_signed = true
"""
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is in it. `prometheus` is a URL, `stores` what the node is on."""

    prometheus: str
    stores: Fleet
    node: Node
    people: Crowd
    announcer: Announcer


@asynccontextmanager
async def scene(folder: Path, stores: Fleet, per_s: float = 2.0) -> AsyncIterator[Scene]:
    """Set it up on stores that run; people send `per_s` messages a second each, until the block ends.

    Raises: `deploy.services.ServicesError` if Prometheus or a balancer cannot be had.
    """
    async with (
        running(folder / "stack", stores, nodes=1, workers=2) as stack,
        serving(folder / "alone", config=ALONE) as alone,
    ):
        [node] = stack.nodes
        everybody = await enrol(stack, folder, dict.fromkeys((*FRIENDS, READER), 1))
        [reader] = everybody.pop(READER)
        talks = [(one, two) for one in FRIENDS for two in FRIENDS if one < two]
        people = Crowd(stack, folder, everybody, talks, Habits(seed=1, per_s=per_s, in_process=3))
        with announcing() as announcer:
            ours = [f"http://127.0.0.1:{each.http_port}" for each in (node, alone)]
            watching = Fleet(folder / "watching", Wishes(scrape=[*ours, announcer.url], pace=PACE))
            try:
                await trio.to_thread.run_sync(watching.up, ["prometheus"])
                await people.start()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_look, reader, [each.user for [each] in everybody.values()])
                    yield Scene(watching.prometheus.address["url"], stores, node, people, announcer)
                    nursery.cancel_scope.cancel()
            finally:
                with trio.CancelScope(shield=True):
                    await people.kill()
                    await trio.to_thread.run_sync(partial(watching.down, grace_s=0))


async def _look(reader: Profile, others: list[bytes]) -> None:
    """Greet everybody, then look into one history after the other, also while that fails."""
    async with reader.client() as client:
        await client.online()
        await client.watch([UserId(other) for other in others])
        for other in others:
            message = await client.send(UserId(other), "I am only looking.")
            await client.wait(message.cid, DeliveryState.SENT)
        while True:
            for other in others:
                await trio.sleep(LOOKS_EVERY_S)
                try:
                    await client.fetch_history(client.conversation(UserId(other)), limit=5)
                except (Offline, RequestError):
                    continue
