"""The main promise, on real processes: the server is killed twenty times in the middle of traffic, clients
are killed too, and then all devices must agree that every acknowledged message arrived, once, in one order.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import trio

from chaos.people.crowd import Habits, crowd
from chaos.stack.node import serving

KILLS = int(os.environ.get("CHAPPE_TEST_KILLS", "20"))
CLIENT_KILLS = KILLS * 3 // 10
FRESH = 6  # acknowledgments that a round waits for, so that each kill hits traffic and not a start


@pytest.mark.slow
@pytest.mark.system
async def test_nothing_acknowledged_is_lost_when_everything_is_killed(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    devices = {"alice": 2, "bob": 2, "carol": 1, "dave": 1}
    async with (
        serving(tmp_path / "server") as server,
        crowd(server, tmp_path, devices, Habits(seed)) as people,
    ):
        victims = {
            number: chance.choice(people.groups) for number in chance.sample(range(KILLS), CLIENT_KILLS)
        }
        for number in range(KILLS):
            await people.chat(FRESH)
            await trio.sleep(chance.uniform(0.0, 1.0))
            await server.kill()
            if victim := victims.get(number):
                await victim.kill()
                await victim.start()
            await server.start()
        verdict = await people.verdict()
    assert verdict.is_kept, verdict.to_text()
    assert verdict.acknowledged >= KILLS * FRESH
    assert verdict.restarts == CLIENT_KILLS
