"""Lanes: each kind of work on the SQL database has threads, and so connections, of its own.

`engine.py` runs work in the lane that a store names. Whatever fills one lane, a storm of sign-ins or a device that
drains prekeys, waits in that lane and leaves the others free. Rejected: one pool for all with priorities, where a
burst of slow calls still holds every connection until each of them is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

import trio

from ..threads import Threads


class Lane(Enum):
    """What a piece of work is for."""

    SIGN_IN = "sign-in"  # registering, announcing and recognising devices
    DIRECTORY = "directory"  # whom a message must reach: accounts, their devices, conversations
    KEYS = "keys"  # prekeys
    SETTINGS = "settings"  # contacts, settings, device lists, last seen
    ADMIN = "admin"  # health checks and sweeps


SIZES: Final[Mapping[Lane, int]] = {
    Lane.SIGN_IN: 3,
    Lane.DIRECTORY: 3,
    Lane.KEYS: 3,
    Lane.SETTINGS: 2,
    Lane.ADMIN: 2,  # a sweep must not make the health check late
}


class Lanes:
    """The threads of every lane.

    With `one_writer`, as on SQLite, every lane writes one call at a time and the lanes take turns.
    """

    def __init__(self, sizes: Mapping[Lane, int], deadline_s: float, *, one_writer: bool) -> None:
        self._deadline_s = deadline_s
        self.reads = {lane: Threads(sizes[lane], deadline_s) for lane in Lane}
        self.writes = self.reads
        if one_writer:
            writer = trio.CapacityLimiter(1)
            self.writes = {lane: Threads(1, deadline_s, writer) for lane in Lane}

    async def drain(self) -> bool:
        """Wait, for one deadline at most, until no thread works any more; return whether that is so."""
        until = trio.current_time() + self._deadline_s
        everything = [*self.reads.values(), *(self.writes.values() if self.writes is not self.reads else ())]
        return all([await threads.drain(until) for threads in everything])
