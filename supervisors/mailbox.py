"""The mailbox of a server: bounded, in order, with a stated answer to "no room".

A server's reference puts messages in and its loop takes them out; both are in `server.py` and `calls.py`. But for
the wait of the one reader everything here is plain bookkeeping that needs no event loop.

A process of Erlang has an unbounded mailbox, and a slow one takes the node with it. Here there are three ways in:
`offer` is for senders that never wait, and obeys the policy; `line_up` is for those that wait anyway, for their
reply, and keeps them in line outside until there is room; `push` is for what the server itself asked to be told
(timers, ends of others, its own stop), which always gets in, as the server bounds it by asking.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import trio

from .checks import is_a, is_count, require
from .errors import SupervisorError

if TYPE_CHECKING:
    from .replies import Call


class MailboxFull(SupervisorError):
    """There is no room for a cast or an info; or this call was dropped from the mailbox to make room for one.

    In both cases the server will not see the message.
    """


class Overflow(Enum):
    """What happens to a cast or an info when the mailbox is full.

    `REJECT` raises `MailboxFull` at the sender. `DROP_NEWEST` drops it. `DROP_OLDEST` drops the oldest message
    there is; when that is a call, its caller gets `MailboxFull`. A call waits for room, whatever the policy.
    """

    REJECT = "reject"
    DROP_NEWEST = "drop_newest"
    DROP_OLDEST = "drop_oldest"


@dataclass(frozen=True, slots=True)
class MailboxSpec:
    """How many messages a mailbox holds, and what it does when there are more.

    Raises: `BadSpec`.
    """

    capacity: int = 1_000
    overflow: Overflow = Overflow.REJECT

    def __post_init__(self) -> None:
        require(is_count(self.capacity, least=1), "A mailbox has room for 1 message or more", self.capacity)
        require(
            is_a(self.overflow, Overflow), "A mailbox's overflow is one of Overflow's members", self.overflow
        )


class Message:
    """A method to run with its arguments, and the call that waits for what it returns, if one does."""

    __slots__ = ("args", "call", "is_pinned", "method")

    def __init__(
        self,
        method: Callable[..., Awaitable[object]],
        args: tuple[Any, ...],
        call: Call[Any] | None = None,
        *,
        is_pinned: bool = False,
    ) -> None:
        self.method = method
        self.args = args
        self.call = call
        self.is_pinned = is_pinned


class Mailbox:
    """The messages of one run of a server. All but `arrival` are without a checkpoint.

    `high_water` is the greatest depth there was. `dropped` counts what found no room: rejected, or dropped.
    `lost` counts casts and infos that the server's end left unread, and those sent to it afterwards.
    """

    __slots__ = ("_is_closed", "_items", "_line", "_name", "_wake", "dropped", "high_water", "lost", "spec")

    def __init__(self, spec: MailboxSpec, name: str) -> None:
        self.spec = spec
        self.high_water = 0
        self.dropped = 0
        self.lost = 0
        self._name = name
        self._items: deque[Message] = deque()
        self._line: OrderedDict[Message, None] | None = None
        self._wake: trio.Event | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Mailbox of {self._name}: {self.depth} of {self.spec.capacity}, {self.waiting} waiting>"

    @property
    def depth(self) -> int:
        """How many messages lie here unread. What was pushed can take it above the capacity."""
        return len(self._items)

    @property
    def waiting(self) -> int:
        """How many calls wait in line for room. Each is a task that waits for its reply."""
        return len(self._line or ())

    def offer(self, message: Message) -> Message | None:
        """Put a message in if there is room; if there is none, return the message that is dropped for it.

        Raises: `MailboxFull`, if the policy says so.
        """
        if self._is_closed:
            self._lose(message)
            return None
        if len(self._items) < self.spec.capacity:
            self._put(message)
            return None
        self.dropped += 1
        if self.spec.overflow is Overflow.REJECT:
            raise MailboxFull(f"The mailbox of {self._name} is full ({self.spec.capacity} messages).")
        if self.spec.overflow is Overflow.DROP_NEWEST:
            return message
        for index, oldest in enumerate(self._items):
            if not oldest.is_pinned:
                del self._items[index]
                self._put(message)
                return oldest
        return message

    def line_up(self, message: Message) -> None:
        """Put a message in as soon as there is room, after those that lined up before."""
        if self._is_closed:
            self._lose(message)
        elif len(self._items) < self.spec.capacity:  # then the line is empty: see `take`
            self._put(message)
        else:
            if self._line is None:
                self._line = OrderedDict()
            self._line[message] = None

    def push(self, message: Message) -> None:
        """Put a message in, room or not."""
        if self._is_closed:
            self._lose(message)
        else:
            self._put(message)

    def withdraw(self, message: Message) -> bool:
        """Take a message out of the line, and tell whether it was still there."""
        if not self._line or message not in self._line:
            return False
        del self._line[message]
        return True

    def take(self) -> Message | None:
        """Take the oldest message out; the first in line gets the room. None if there is no message."""
        if not self._items:
            return None
        message = self._items.popleft()
        if self._line and len(self._items) < self.spec.capacity:
            self._put(self._line.popitem(last=False)[0])
        return message

    async def arrival(self, until_s: float = math.inf) -> None:
        """Wait for a message, a `wake`, or the time `until_s`. Always a checkpoint; one task may wait here."""
        if self._items:
            await trio.lowlevel.checkpoint()
            return
        self._wake = trio.Event()
        if until_s == math.inf:
            await self._wake.wait()
        else:
            with trio.move_on_at(until_s):
                await self._wake.wait()

    def wake(self) -> None:
        """End the present wait of `arrival`, if there is one."""
        if self._wake is not None:
            self._wake.set()
            self._wake = None

    def close(self) -> None:
        """Drop everything, now and from now on. Those who wait for replies hear of it from the pid."""
        self._is_closed = True
        for message in self._items:
            self._lose(message)
        self._items.clear()
        self._line = None

    def _put(self, message: Message) -> None:
        self._items.append(message)
        self.high_water = max(self.high_water, len(self._items))
        if self._wake is not None:
            self.wake()

    def _lose(self, message: Message) -> None:
        if message.call is None and not message.is_pinned:
            self.lost += 1
