"""Sends what the outbox holds: encrypts, posts, and sends again until the server has answered.

One message of a conversation is under way at a time: when one is refused for now, the next must not overtake it, or
the peer would read them in the wrong order. Conversations do not wait for each other.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Final

import trio
from msgspec.structs import replace

from ..ids import Cid, DeviceId
from ..protocol.calls import Bundle, OpenedConversation, UserRef
from ..protocol.codes import ErrorCode, RequestError
from ..protocol.frames import Error, Send
from ..wakeup import Wakeup
from . import outgoing
from .directory import Directory
from .errors import IdentityNotTrusted, Offline, ServerLied
from .events import EventHub, MessageChanged, ServerSuspected
from .link import Link
from .store import messages, outbox
from .store.database import Database
from .store.outbox import Queued
from .store.profile import Own

MAX_IN_FLIGHT: Final = 32
ANSWER_S: Final = 30.0
"""After this long without SENT or ERROR a message is sent again; the server knows it by its cid."""

FIRST_RETRY_S: Final = 0.5
MOST_RETRY_S: Final = 60.0

SUSPECT_AFTER: Final = 3
"""Refusals of one message's devices. Honest races need one or two."""


class Sender:
    """The outbox's worker on one connection.

    `resends`: what was written in this process and not posted yet, on any connection; and from when on the rest may be
    posted. That may have reached the server before, so it carries `after`, and another gateway may be storing it still.
    """

    def __init__(
        self,
        database: Database,
        own: Own,
        hub: EventHub,
        directory: Directory,
        resends: tuple[set[Cid], float],
    ) -> None:
        self._database = database
        self._own = own
        self._hub = hub
        self._directory = directory
        self._fresh, self._resend_at = resends
        self._posted: set[Cid] = set()  # on this connection
        self._wakeup = Wakeup()
        self._in_flight: dict[Cid, float] = {}  # until when an answer is waited for
        self._retry_at: dict[Cid, float] = {}
        self._tries: dict[Cid, int] = {}
        self._misfits: dict[Cid, int] = {}
        self._strangers: set[Cid] = set()  # in conversations that the server has forgotten

    def wake(self) -> None:
        """Look at the outbox again: something was added."""
        self._wakeup.set()

    def retry_all(self) -> None:
        """Stop waiting with everything: somebody is trusted now."""
        self._retry_at.clear()
        self._wakeup.set()

    def answered(self, cids: Sequence[Cid]) -> None:
        """The server has these, or never will; the next ones may go."""
        for cid in cids:
            self._in_flight.pop(cid, None)
            self._posted.discard(cid)
            for memory in (self._retry_at, self._tries, self._misfits):
                memory.pop(cid, None)
        if cids:
            self._wakeup.set()

    def refused(self, errors: Sequence[Error]) -> None:
        """These were refused for now."""
        for error in errors:
            cid = error.cid
            if cid is None or cid not in self._in_flight:
                continue
            self._in_flight.pop(cid, None)
            if error.code is ErrorCode.MISMATCHED_DEVICES:
                self._misfit(cid)
            else:
                self._later(cid, error.retry_after_ms)
            if error.code is ErrorCode.UNKNOWN_CONVERSATION:
                self._strangers.add(cid)
        if errors:
            self._wakeup.set()

    async def run(self, link: Link) -> None:
        """Send until the connection is over."""
        try:
            while True:
                rows = await self._database.run(outbox.heads)
                now = trio.current_time()
                for row in rows:
                    is_under_way = self._in_flight.get(row.cid, now) > now
                    is_due = self._retry_at.get(row.cid, now) <= now and self._may_go(row, now)
                    has_room = len(self._in_flight) < MAX_IN_FLIGHT or row.cid in self._in_flight
                    if is_due and not is_under_way and has_room:
                        await self._send(link, row)
                waits = (*self._retry_at.values(), *self._in_flight.values())
                if now < self._resend_at:
                    waits = (*waits, self._resend_at)
                with trio.move_on_at(min(waits, default=math.inf)):
                    await self._wakeup.wait()
        except Offline:
            return

    def _may_go(self, row: Queued, now: float) -> bool:
        was_posted = row.frame is not None and row.cid not in self._fresh
        return not was_posted or row.cid in self._posted or now >= self._resend_at

    async def _send(self, link: Link, row: Queued) -> None:
        cid = row.cid
        try:
            if not row.is_open or cid in self._strangers:
                await link.call("conversations.open", UserRef(row.peer), OpenedConversation)
                await self._database.run(messages.put_conversation, self._own, row.peer, is_open=True)
                self._strangers.discard(cid)
            frame = await self._frame(link, row)
        except IdentityNotTrusted:
            self._retry_at[cid] = math.inf
        except ServerLied:
            self._later(cid)
        except RequestError as error:
            if error.is_retryable:
                self._later(cid, error.retry_after_ms)
            else:
                await self._fail(cid, error.message)
        else:
            is_first_time = cid in self._fresh
            self._fresh.discard(cid)
            self._posted.add(cid)
            self._in_flight[cid] = trio.current_time() + ANSWER_S
            self._retry_at.pop(cid, None)
            link.post(frame if is_first_time else replace(frame, after=row.after))

    async def _frame(self, link: Link, row: Queued) -> Send:
        if row.cid in self._misfits:
            for user in {row.peer, self._own.user}:
                await self._directory.refresh(link, user)
        elif row.frame is not None:
            is_first_time = row.cid in self._fresh
            return row.frame if is_first_time else await self._database.run(outgoing.again, self._own, row)
        return await self._encrypt(link, row)

    async def _encrypt(self, link: Link, row: Queued) -> Send:
        bundles: dict[DeviceId, Bundle] | None = None
        while True:
            made = await self._database.run(outgoing.encrypt, self._own, row, bundles)
            if isinstance(made, Send):
                return made
            for user in made.lists:
                await self._directory.refresh(link, user)
            for user, devices in made.bundles.items():
                bundles = (bundles or {}) | await self._directory.claim(link, user, devices)

    async def _fail(self, cid: Cid, reason: str) -> None:
        message = await self._database.run(outgoing.failed, self._own, cid, reason)
        self.answered([cid])
        if message is not None:
            self._hub.publish([MessageChanged(message)])

    def _misfit(self, cid: Cid) -> None:
        times = self._misfits[cid] = self._misfits.get(cid, 0) + 1
        if times < SUSPECT_AFTER:
            return
        self._later(cid)
        what = "The server wants a message for devices that are on no list signed by their account; it waits."
        self._hub.publish([ServerSuspected(what)])

    def _later(self, cid: Cid, after_ms: int | None = None) -> None:
        """Wait as long as the server asks, or ever longer, with jitter so that clients do not come back together."""
        tries = self._tries[cid] = self._tries.get(cid, 0) + 1
        wait_s = min(MOST_RETRY_S, FIRST_RETRY_S * 2**tries) * random.uniform(0.5, 1)  # noqa: S311 - no secret
        self._retry_at[cid] = trio.current_time() + max(wait_s, (after_ms or 0) / 1000)
