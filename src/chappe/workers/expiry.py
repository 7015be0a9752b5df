"""Drops what is kept for a time only: inbox rows nobody fetched, registrations and announced devices nobody finished.

The chat log itself is not touched. Stores whose rows expire by themselves need no such worker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from ..ids import MessageId, floor_id

EVERY_S = 3600.0
DAY_MS = 24 * 3_600_000


class ExpiringInbox(Protocol):
    """A message store whose inbox rows do not expire by themselves."""

    async def expire(self, before: MessageId) -> int:
        """Delete inbox rows with smaller ids, in bounded steps."""


class ExpiringUsers(Protocol):
    """A user store whose unfinished sign-ups do not expire by themselves."""

    async def expire(self, now_ms: int) -> None:
        """Drop registrations and announced devices whose time is over."""


async def expire(
    inbox: ExpiringInbox, users: ExpiringUsers, keep_days: int, now_ms: Callable[[], int]
) -> None:
    """Expire once an hour, for ever.

    Raises: `StoreUnavailable`; the next try is the supervisor's to start.
    """
    while True:
        await inbox.expire(floor_id(now_ms() - keep_days * DAY_MS))
        await users.expire(now_ms())
        await trio.sleep(EVERY_S)
