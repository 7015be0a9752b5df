"""A full disk: sending waits, everything else goes on, and once there is room again nothing is missing.

The kernel's limit on the size of a file stands in for the disk: it can be set on a running process, by
anybody, and every write fails, to the log of the server too.
"""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import trio

from chaos.people.crowd import Habits, crowd, say, two_people
from chaos.stack.node import READY_S, Node, serving
from chappe.client import DeliveryState

UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def fill_disk(server: Node) -> None:
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def make_room(server: Node) -> None:
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, UNLIMITED)


@pytest.mark.system
async def test_nothing_is_acknowledged_while_the_disk_is_full(tmp_path: Path) -> None:
    async with serving(tmp_path / "server") as server, two_people(server, tmp_path) as (alice, bob):
        await say(alice, bob, "before")
        fill_disk(server)
        waiting = await alice.send(bob.me.user, "while it is full")
        with trio.move_on_after(3.0) as scope:
            await alice.wait(waiting.cid, DeliveryState.SENT)
        assert scope.cancelled_caught
        assert await server.metric('chappe_errors_total{code="store_unavailable"}') > 0
        make_room(server)
        with trio.fail_after(READY_S):
            await alice.wait(waiting.cid, DeliveryState.DELIVERED)
        await say(bob, alice, "after")


@pytest.mark.system
@pytest.mark.slow
async def test_a_disk_that_fills_up_in_the_middle_of_traffic_loses_nothing(tmp_path: Path, seed: int) -> None:
    async with serving(tmp_path / "server") as server:
        async with crowd(server, tmp_path, {"alice": 2, "bob": 1}, Habits(seed, per_s=3.0)) as people:
            for _ in range(2):
                await people.chat(20)
                fill_disk(server)
                await trio.sleep(1.0)
                make_room(server)
            await people.chat(20)
            verdict = await people.verdict()
    assert verdict.is_kept, verdict.to_text()
