"""The identity of one run of a child, and monitors on it.

What outlives a run by name (a registry, a process group, a call that waits for its server) holds a `Pid` and is
told when that run ends: before the supervisor hears of it, so that whatever was held in the run's name is free
when its next one starts. Linking is not here: whose end takes whom along is the supervisors' work.

Semantics: https://www.erlang.org/doc/system/ref_man_processes.html#monitors
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import trio

from .events import Path
from .exits import Reason

if TYPE_CHECKING:
    from .calls import ServerRef
    from .mailbox import Mailbox


class Pid:
    """One run of a child, from its launch to its end. Two runs of one child have two of them.

    `path` is the child's place in the tree; `reason` says why the run ended, and is None while it lives. `server`
    is how to talk to the run while it is a server's.
    """

    __slots__ = ("_watchers", "path", "reason", "server")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reason: Reason | None = None
        self.server: ServerRef[Any] | None = None
        self._watchers: dict[object, Callable[[Down], object]] = {}

    @property
    def is_alive(self) -> bool:
        """Whether the run has not ended."""
        return self.reason is None

    @property
    def mailbox(self) -> Mailbox | None:
        """The mailbox of the run, while it is a server's: how much lies there, how much was dropped."""
        return None if self.server is None else self.server.mailbox

    def __repr__(self) -> str:
        return f"<Pid {'/'.join(self.path)} {'alive' if self.reason is None else self.reason.value}>"

    def watch(self, key: object, callback: Callable[[Down], object]) -> None:
        """Have `callback` called once when the run ends, at once if it has. It must not block nor raise."""
        if self.reason is None:
            self._watchers[key] = callback
        else:
            callback(Down(self, self.reason))

    def unwatch(self, key: object) -> None:
        """Forget a callback; one that was never there is no error."""
        self._watchers.pop(key, None)

    def end(self, reason: Reason) -> None:
        """Say that the run is over. Whoever made the pid calls it, once."""
        self.reason = reason
        watchers, self._watchers = self._watchers, {}
        for callback in watchers.values():
            callback(Down(self, reason))


@dataclass(frozen=True, slots=True)
class Down:
    """What a monitor tells: this run has ended, for this reason."""

    pid: Pid
    reason: Reason


class Monitor:
    """Waits for the end of a run. Use it as a context manager, so that nothing is kept on the watched side.

    Any number of tasks may monitor a pid, and many pids; monitoring one that ended is no error.
    """

    __slots__ = ("_down", "_event", "_pid")

    def __init__(self, pid: Pid) -> None:
        self._pid = pid
        self._down: Down | None = None
        self._event = trio.Event()
        pid.watch(self, self._ended)

    async def down(self) -> Down:
        """Wait until the run has ended; a cancel gives up the waiting only."""
        await self._event.wait()
        assert self._down is not None, "the event is set with it"
        return self._down

    def close(self) -> None:
        """Stop watching."""
        self._pid.unwatch(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ended(self, down: Down) -> None:
        self._down = down
        self._event.set()
