"""Once an hour, what is too old goes, and nothing else."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from chappe.ids import MessageId, millis
from chappe.workers.expiry import DAY_MS, EVERY_S, expire


class Asked:
    """Both halves of what expires, noting what it is asked to drop."""

    def __init__(self) -> None:
        self.inbox: list[int] = []
        self.log: list[int] = []
        self.users: list[int] = []


class Messages(Asked):
    async def expire(self, before: MessageId) -> int:
        self.inbox.append(millis(before))
        return 0

    async def expire_log(self, before: MessageId) -> int:
        self.log.append(millis(before))
        return 0


class Users(Asked):
    async def expire(self, now_ms: int) -> None:
        self.users.append(now_ms)


@pytest.mark.parametrize("log_days", [0, 90])
async def test_the_inbox_and_the_log_keep_their_days(autojump_clock: MockClock, log_days: int) -> None:
    messages, users = Messages(), Users()
    start_ms = 100 * DAY_MS

    def now_ms() -> int:
        return start_ms + int(trio.current_time() * 1000)

    began_ms = now_ms()
    with trio.move_on_after(EVERY_S * 2.5):
        await expire(messages, users, 30, log_days, now_ms)
    hour_ms = int(EVERY_S * 1000)
    assert users.users == [began_ms, began_ms + hour_ms, began_ms + 2 * hour_ms]
    assert messages.inbox == [at_ms - 30 * DAY_MS for at_ms in users.users]
    assert messages.log == ([at_ms - log_days * DAY_MS for at_ms in users.users] if log_days else [])
