"""A laboratory of children that do what a test tells them, and write down what happened to them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from supervisors import ChildSpec, DynamicSupervisor, Event, Ignore, Supervisor, child

Running = Callable[[Supervisor | DynamicSupervisor], AbstractAsyncContextManager[trio.Nursery]]


class Lab:
    """Children by name. `log` has "+a" when a runs, "-a" when it is gone, "!a" when its start failed, "?a" ignored."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.events: list[Event] = []
        self.failing: dict[str, int] = {}
        self.ignoring: set[str] = set()
        self.goodbye_s: dict[str, float] = {}
        self.last_words: dict[str, BaseException] = {}
        self._orders: dict[str, BaseException | None] = {}
        self.live: dict[str, trio.Event] = {}

    def spec(self, name: str, **options: Any) -> ChildSpec:
        return child(self._work, name, id=name, **options)

    def specs(self, names: str, **options: Any) -> list[ChildSpec]:
        return [self.spec(name, **options) for name in names]

    async def end(self, name: str, error: BaseException | None = None) -> None:
        """Let a child end, by itself, and wait until that had its effects."""
        self.end_nowait(name, error)
        await wait_all_tasks_blocked()

    def end_nowait(self, name: str, error: BaseException | None = None) -> None:
        self._orders[name] = error
        self.live[name].set()

    async def crash(self, name: str) -> None:
        await self.end(name, ValueError(name))

    def take_log(self) -> str:
        log, self.log[:] = " ".join(self.log), []
        return log

    def seen(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def _work(self, name: str, *, task_status: trio.TaskStatus[str]) -> None:
        if self.failing.get(name):
            self.failing[name] -= 1
            self.log.append(f"!{name}")
            raise OSError(f"{name} cannot start")
        if name in self.ignoring:
            self.log.append(f"?{name}")
            raise Ignore
        if name in self.live:
            self.log.append(f"two of {name}")
        self.live[name] = trio.Event()
        self.log.append(f"+{name}")
        task_status.started(name.upper())
        try:
            await self.live[name].wait()
            order = self._orders.pop(name)
            if order is not None:
                raise order
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(self.goodbye_s.get(name, 0))
            self.log.append(f"-{name}")
            del self.live[name]
            if name in self.last_words:
                raise self.last_words.pop(name)
