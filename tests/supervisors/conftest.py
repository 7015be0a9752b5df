"""A laboratory and a way to run a supervisor, for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from supervisors import DynamicSupervisor, Supervisor

from .lab import Lab, Running


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture
def running() -> Running:
    """Run a supervisor for the length of a block; stop it at the end if it still runs."""

    @asynccontextmanager
    async def run(supervisor: Supervisor | DynamicSupervisor) -> AsyncIterator[trio.Nursery]:
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run)
            yield nursery
            await supervisor.stop()

    return run
