"""A device that stops reading (its process is frozen): the server lets go of it, and of nobody else."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from chaos.people.crowd import Habits, crowd
from chaos.stack.node import CONFIG, serving, until


@pytest.mark.system
@pytest.mark.slow
async def test_a_device_that_stops_reading_loses_its_own_connection_only(tmp_path: Path, seed: int) -> None:
    config = CONFIG.replace("[timing]", "[timing]\nheartbeat_s = 2\nanswer_s = 2\nstall_s = 3")
    devices = {"alice": 1, "bob": 1, "carol": 1}
    async with serving(tmp_path / "server", config=config) as server:
        async with crowd(server, tmp_path, devices, Habits(seed, per_s=3.0)) as people:
            await people.chat(30)
            everybody = server.connections()
            assert everybody == len(devices)
            frozen = people.groups[0].process
            assert frozen is not None
            frozen.send_signal(signal.SIGSTOP)
            try:
                await until(lambda: server.connections() == everybody - 1, "the frozen device is let go")
                await people.chat(30)
                assert server.connections() == everybody - 1
            finally:
                frozen.send_signal(signal.SIGCONT)
            await until(lambda: server.connections() == everybody, "the device is back")
            verdict = await people.verdict()
    assert verdict.is_kept, verdict.to_text()
