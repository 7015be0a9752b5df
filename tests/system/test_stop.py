"""SIGTERM in the middle of traffic: the server drains, says goodbye, exits with 0, and nothing is lost."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import trio

from chaos.people.crowd import Habits, crowd
from chaos.stack.node import READY_S, serving


@pytest.mark.system
async def test_a_stop_in_the_middle_of_traffic_loses_nothing(tmp_path: Path, seed: int) -> None:
    async with serving(tmp_path / "server") as server:
        async with crowd(server, tmp_path, {"alice": 2, "bob": 1}, Habits(seed, per_s=3.0)) as people:
            for _ in range(2):
                await people.chat(20)
                assert await server.stop() == 0
                await server.start()
            await people.chat(5)
            verdict = await people.verdict()
            for group in people.groups:
                assert "The server asked to reconnect." in group.errors  # it heard GOAWAY
    assert verdict.is_kept, verdict.to_text()
    assert verdict.acknowledged >= 45


@pytest.mark.system
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
async def test_other_signals_stop_it_in_order_too(tmp_path: Path, number: signal.Signals) -> None:
    async with serving(tmp_path / "server") as server:
        assert server.process is not None
        server.process.send_signal(number)
        server.process.send_signal(signal.SIGTERM)  # a second one does not cut the drain short
        with trio.fail_after(READY_S):
            assert await server.process.wait() == 0
        assert "stopped" in server.logged
