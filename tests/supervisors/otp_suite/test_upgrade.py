"""New flags for a supervisor: what auto_shutdown means after it has changed.

OTP changes the flags of a supervisor that runs. Here an instance has its flags for life; new ones come with a
new instance, when the supervisor above restarts the child whose factory makes it.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import trio
from trio.testing import MockClock

from supervisors import (
    AutoShutdown,
    BadSpec,
    ChildSpec,
    Restart,
    StartedChild,
    StartFailed,
    Supervisor,
    supervisor_child,
)

from ..lab import Lab, Running
from .suite import which

NEVER, ANY, ALL = AutoShutdown.NEVER, AutoShutdown.ANY_SIGNIFICANT, AutoShutdown.ALL_SIGNIFICANT


class Upgradable:
    """A supervisor under another one, which restarts it with the flags and children it is to have now."""

    def __init__(self, rule: AutoShutdown, specs: Iterable[ChildSpec] = ()) -> None:
        self.rule = rule
        self.specs = tuple(specs)
        self.present = Supervisor()
        self.top = Supervisor([supervisor_child(self._make, id="inner", restart=Restart.TRANSIENT)])

    async def upgrade(self, rule: AutoShutdown, specs: Iterable[ChildSpec] = ()) -> None:
        self.rule, self.specs = rule, tuple(specs)
        await self.top.terminate_child("inner")
        await self.top.restart_child("inner")

    async def add(self, lab: Lab, name: str, *, significant: bool = True) -> StartedChild:
        spec = lab.spec(name, restart=Restart.TRANSIENT, significant=significant)
        return await self.present.start_child(spec)

    async def is_over(self) -> bool:
        await trio.sleep(1)
        return which(self.top) == [("inner", "stopped")]

    def _make(self) -> Supervisor:
        self.present = Supervisor(self.specs, auto_shutdown=self.rule)
        return self.present


async def from_never(lab: Lab, running: Running, rule: AutoShutdown) -> list[bool]:
    """Change `never`; return whether the supervisor was over after one and after both children ended."""
    tested = Upgradable(NEVER)
    async with running(tested.top):
        with pytest.raises(BadSpec):
            await tested.add(lab, "child1")
        await tested.upgrade(rule)
        return await ends_of(lab, tested)


async def ends_of(lab: Lab, tested: Upgradable) -> list[bool]:
    await tested.add(lab, "child1")
    await tested.add(lab, "child2")
    assert not await tested.is_over()
    seen = []
    for name in ("child1", "child2"):
        if name in lab.live:
            await lab.end(name)
        seen.append(await tested.is_over())
    assert lab.live == {}
    return seen


async def to_never(lab: Lab, running: Running, rule: AutoShutdown) -> None:
    tested = Upgradable(rule)
    async with running(tested.top):
        await tested.add(lab, "child1")
        await tested.upgrade(NEVER)
        assert not await tested.is_over()
        with pytest.raises(BadSpec):
            await tested.add(lab, "child2")
        await tested.add(lab, "child1", significant=False)
        await lab.end("child1")
        assert not await tested.is_over()
        assert (await tested.present.restart_child("child1")).is_running


async def between(lab: Lab, running: Running, old: AutoShutdown, new: AutoShutdown) -> list[bool]:
    tested = Upgradable(old)
    async with running(tested.top):
        await tested.add(lab, "child1")
        await tested.upgrade(new)
        return await ends_of(lab, tested)


async def test_significant_upgrade_never_any(autojump_clock: MockClock, lab: Lab, running: Running) -> None:
    assert await from_never(lab, running, ANY) == [True, True]


async def test_significant_upgrade_any_never(autojump_clock: MockClock, lab: Lab, running: Running) -> None:
    await to_never(lab, running, ANY)


async def test_significant_upgrade_never_all(autojump_clock: MockClock, lab: Lab, running: Running) -> None:
    assert await from_never(lab, running, ALL) == [False, True]


async def test_significant_upgrade_all_never(autojump_clock: MockClock, lab: Lab, running: Running) -> None:
    await to_never(lab, running, ALL)


async def test_significant_upgrade_any_all(autojump_clock: MockClock, lab: Lab, running: Running) -> None:
    assert await between(lab, running, ANY, ALL) == [False, True]


async def test_significant_upgrade_all_any(autojump_clock: MockClock, lab: Lab, running: Running) -> None:
    assert await between(lab, running, ALL, ANY) == [True, True]


async def test_significant_upgrade_child(autojump_clock: MockClock, lab: Lab, running: Running) -> None:
    plain = lab.spec("child", restart=Restart.TRANSIENT)
    significant = lab.spec("child", restart=Restart.TRANSIENT, significant=True)

    refused = Upgradable(NEVER, [plain])
    async with running(refused.top):
        with pytest.raises(StartFailed, match="significant"):
            await refused.upgrade(NEVER, [significant])

    for before, after, ends_it in [(plain, significant, True), (significant, plain, False)]:
        tested = Upgradable(ANY, [before])
        async with running(tested.top):
            await tested.upgrade(ANY, [after])
            assert not await tested.is_over()
            await lab.end("child")
            assert await tested.is_over() is ends_it
