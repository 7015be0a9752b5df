"""SIGTERM in the middle of traffic: the server drains, says goodbye, exits with 0, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.crowd import crowd
from tests.system.processes import serving


@pytest.mark.system
async def test_a_stop_in_the_middle_of_traffic_loses_nothing(tmp_path: Path, seed: int) -> None:
    async with serving(tmp_path / "server") as server:
        async with crowd(server, tmp_path, {"alice": 2, "bob": 1}, seed, per_s=3.0) as people:
            for _ in range(2):
                await people.chat(20)
                assert await server.stop() == 0
                await server.start()
            await people.chat(5)
            verdict = await people.verdict()
            for person in people.people:
                assert "The server asked to reconnect." in person.errors  # it heard GOAWAY
    assert verdict.is_kept, verdict.to_text()
    assert verdict.acknowledged >= 45
