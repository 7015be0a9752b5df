"""Drops what waited in inboxes for longer than they are kept. The chat log itself is not touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from ..ids import MessageId, floor_id

EVERY_S = 3600.0
HOUR_MS = 3_600_000


class Expiring(Protocol):
    """A store whose inbox rows do not expire by themselves."""

    async def expire(self, before: MessageId) -> int:
        """Delete inbox rows with smaller ids, in bounded steps."""


async def expire(store: Expiring, keep_hours: int, now_ms: Callable[[], int]) -> None:
    """Expire once an hour, for ever.

    Raises: `StoreUnavailable`; the next try is the supervisor's to start.
    """
    while True:
        await store.expire(floor_id(now_ms() - keep_hours * HOUR_MS))
        await trio.sleep(EVERY_S)
