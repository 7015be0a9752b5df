"""Process groups: runs of children that go by a common name, as OTP's pg has them, on one node.

Children join and leave by themselves and leave at their end, before the supervisor hears of it (see `pid.py`);
others ask who is there, hear of comings and goings, and send to all. A group exists while somebody is in it.
Keys with one holder, or with values, are in `registry.py`.

Semantics: https://www.erlang.org/doc/apps/kernel/pg.html
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, TypeVarTuple

import trio

from .calls import ServerRef
from .checks import is_count, require
from .current import current_pid
from .errors import NotSupervised, SupervisorError
from .mailbox import MailboxFull
from .pid import Down, Pid
from .server import Server

G = TypeVar("G", bound=Hashable)
S = TypeVar("S", bound=Server)
Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class Joined:
    """A run has joined the group, maybe again."""

    pid: Pid


@dataclass(frozen=True, slots=True)
class Left:
    """A run has left the group, once: by itself, or once for each time it had joined when it ended."""

    pid: Pid


class MissedChanges(SupervisorError):
    """More changes came than a monitor keeps, and they are gone. What comes next continues from `members` now."""


class ProcessGroups(Generic[G]):
    """Groups by name. Nothing here has a checkpoint.

    `join` and `leave` are for the calling child, unless they are given another `pid`. A run may join a group
    several times, and then must leave it as often.
    """

    __slots__ = ("_groups", "_members", "_monitors")

    def __init__(self) -> None:
        self._members: dict[G, dict[Pid, int]] = {}
        self._groups: dict[Pid, dict[G, None]] = {}
        self._monitors: dict[G, dict[GroupMonitor, None]] = {}

    def join(self, group: G, *, pid: Pid | None = None) -> None:
        """Become a member until the end of the run.

        Raises: `NotSupervised`, if there is no run or it has ended.
        """
        pid = current_pid() if pid is None else pid
        if not pid.is_alive:
            raise NotSupervised(f"{pid!r} has ended and can join no group.")
        if pid not in self._groups:
            self._groups[pid] = {}
            pid.watch(self, self._ended)
        self._groups[pid][group] = None
        members = self._members.setdefault(group, {})
        members[pid] = members.get(pid, 0) + 1
        self._tell(group, Joined(pid))

    def leave(self, group: G, *, pid: Pid | None = None) -> bool:
        """Leave a group once, and tell whether the run was in it.

        Raises: `NotSupervised`.
        """
        pid = current_pid() if pid is None else pid
        count = self._members.get(group, {}).get(pid, 0)
        if not count:
            return False
        if count > 1:
            self._members[group][pid] = count - 1
        else:
            self._remove(group, pid)
            groups = self._groups[pid]
            del groups[group]
            if not groups:
                del self._groups[pid]
                pid.unwatch(self)
        self._tell(group, Left(pid))
        return True

    def members(self, group: G) -> tuple[Pid, ...]:
        """Return who is in a group, in the order they came; who joined twice is there twice."""
        return tuple(pid for pid, count in self._members.get(group, {}).items() for _ in range(count))

    def groups(self) -> tuple[G, ...]:
        """Return the names of the groups that have members."""
        return tuple(self._members)

    def monitor(self, group: G, *, capacity: int = 1_000) -> GroupMonitor:
        """Return a monitor of a group, to be used as a context manager.

        Raises: `BadSpec`, if it is to keep less than 1 change.
        """
        require(is_count(capacity, least=1), "A monitor of a group keeps 1 change or more", capacity)
        watchers = self._monitors.setdefault(group, {})

        def forget(monitor: GroupMonitor) -> None:
            watchers.pop(monitor, None)
            if not watchers and self._monitors.get(group) is watchers:
                del self._monitors[group]

        monitor = GroupMonitor(self.members(group), capacity, forget)
        watchers[monitor] = None
        return monitor

    def cast(self, group: G, method: Callable[[S, *Ts], Awaitable[object]], *args: *Ts) -> int:
        """Cast to every server of a group, once to each; return how many took it.

        Members that are no servers are passed over, and so are full mailboxes, which count what they refuse.

        Raises: TypeError, if the method is of another class than a member's; those before it have the message.
        """
        return self._send(group, lambda ref: ref.cast(method, *args))

    def info(self, group: G, message: object) -> int:
        """Send any value to the `handle_info` of every server of a group. As `cast` otherwise."""
        return self._send(group, lambda ref: ref.info(message))

    def _send(self, group: G, send: Callable[[ServerRef[Any]], None]) -> int:
        sent = 0
        for pid in self._members.get(group, {}):
            if pid.server is not None:
                with suppress(MailboxFull):
                    send(pid.server)
                    sent += 1
        return sent

    def _ended(self, down: Down) -> None:
        for group in self._groups.pop(down.pid):
            for _ in range(self._remove(group, down.pid)):
                self._tell(group, Left(down.pid))

    def _remove(self, group: G, pid: Pid) -> int:
        members = self._members[group]
        count = members.pop(pid)
        if not members:
            del self._members[group]
        return count

    def _tell(self, group: G, change: Joined | Left) -> None:
        for monitor in self._monitors.get(group, ()):
            monitor._tell(change)


class GroupMonitor:
    """Hears who joins and leaves a group: iterate over it. `members` is who was there when it was made.

    It keeps a bounded number of changes for a reader that is slow. When there are more it forgets them all; the
    reader gets `MissedChanges`, and asks the group anew in the same breath to miss nothing.
    """

    __slots__ = ("_capacity", "_changes", "_forget", "_has_missed", "_wake", "members")

    def __init__(
        self, members: tuple[Pid, ...], capacity: int, forget: Callable[[GroupMonitor], None]
    ) -> None:
        self.members = members
        self._capacity = capacity
        self._forget = forget
        self._changes: deque[Joined | Left] = deque()
        self._has_missed = False
        self._wake: trio.Event | None = None

    async def receive(self) -> Joined | Left:
        """Wait for the next change. One task may wait here; a cancel takes nothing out. Always a checkpoint.

        Raises: `MissedChanges`.
        """
        await trio.lowlevel.checkpoint()
        while not self._changes and not self._has_missed:
            self._wake = trio.Event()
            await self._wake.wait()
        if self._has_missed:
            self._has_missed = False
            raise MissedChanges(f"More than {self._capacity} changes came before they were read.")
        return self._changes.popleft()

    def close(self) -> None:
        """Hear no more. Without a checkpoint."""
        self._forget(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Joined | Left:
        return await self.receive()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self, change: Joined | Left) -> None:
        if self._has_missed:
            return
        if len(self._changes) == self._capacity:
            self._changes.clear()
            self._has_missed = True
        else:
            self._changes.append(change)
        if self._wake is not None:
            self._wake.set()
            self._wake = None
