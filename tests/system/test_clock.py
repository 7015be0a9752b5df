"""The server's clock is set back by minutes between two starts, and forward again: no harm to any message."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.crowd import crowd
from tests.system.processes import serving


@pytest.mark.system
async def test_a_clock_that_was_set_back_changes_neither_order_nor_delivery(
    tmp_path: Path, seed: int
) -> None:
    async with serving(tmp_path / "server") as server:
        async with crowd(server, tmp_path, {"alice": 2, "bob": 1}, seed, per_s=5.0) as people:
            for clock_s in (-300.0, 0.0):
                await people.chat(10)
                await server.kill()
                await server.start(clock_s=clock_s)
                assert ("set it right" in await server.page("/readyz")) == (clock_s < 0)
            await people.chat(10)
            verdict = await people.verdict()
    assert verdict.is_kept, verdict.to_text()
