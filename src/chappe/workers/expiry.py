"""Drops what is kept for a time only: inbox rows nobody fetched, old rows of the chat log if the operator wants that,
registrations and announced devices nobody finished.

Watermarks stay, also when a conversation has nothing left: they are one small row a person and conversation, however
much is said, and tell a device that still has the messages how far they got. Stores whose rows expire by themselves
need no such worker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from ..ids import MessageId, floor_id

EVERY_S = 3600.0
DAY_MS = 24 * 3_600_000


class ExpiringMessages(Protocol):
    """A message store whose rows do not expire by themselves."""

    async def expire(self, before: MessageId) -> int:
        """Delete inbox rows with smaller ids, in bounded steps."""

    async def expire_log(self, before: MessageId) -> int:
        """Delete rows of the chat log with smaller ids, in bounded steps."""


class ExpiringUsers(Protocol):
    """A user store whose unfinished sign-ups do not expire by themselves."""

    async def expire(self, now_ms: int) -> None:
        """Drop registrations and announced devices whose time is over."""


async def expire(
    messages: ExpiringMessages | None,
    users: ExpiringUsers,
    inbox_days: int,
    log_days: int,
    now_ms: Callable[[], int],
) -> None:
    """Expire once an hour, for ever. `messages` is None where rows expire by themselves; `log_days` 0 keeps the log.

    Raises: `StoreUnavailable`; the next try is the supervisor's to start.
    """
    while True:
        if messages is not None:
            await messages.expire(floor_id(now_ms() - inbox_days * DAY_MS))
            if log_days:
                await messages.expire_log(floor_id(now_ms() - log_days * DAY_MS))
        await users.expire(now_ms())
        await trio.sleep(EVERY_S)
