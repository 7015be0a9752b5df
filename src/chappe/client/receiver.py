"""Stores what comes in, then acknowledges it, then tells the application: in this order, whatever dies between."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import trio

from ..ids import UserId
from ..protocol.codes import RequestError
from ..protocol.frames import Ack, Frame
from . import incoming
from .answers import Answers
from .directory import Directory
from .errors import Offline, ServerLied
from .events import EventHub
from .incoming import NeedList, Taken
from .link import Link
from .sender import Sender
from .store.database import Database
from .store.profile import Own

RETRY_S: Final = 1.0


class Receiver:
    """The worker behind the reader, on one connection. `on_drained` is called when the offline queue is stored."""

    def __init__(
        self,
        database: Database,
        own: Own,
        hub: EventHub,
        directory: Directory,
        on_drained: Callable[[], None],
    ) -> None:
        self._database = database
        self._own = own
        self._hub = hub
        self._directory = directory
        self._on_drained = on_drained

    async def run(self, link: Link, sender: Sender, batches: trio.MemoryReceiveChannel[list[Frame]]) -> None:
        """Store batches until the connection is over."""
        answers = Answers()
        try:
            while True:
                batch = None
                with trio.move_on_at(answers.deadline):
                    batch = await batches.receive()
                if batch is None:
                    self._hub.publish(answers.overdue(trio.current_time()))
                    continue
                taken = await self._store(link, batch)
                if taken.ack is not None:
                    link.note(Ack, Ack(taken.ack), keep=True)
                for receipt in taken.receipts.values():
                    link.note(receipt.conv, receipt, keep=True)
                sender.answered(taken.answered)
                sender.refused(taken.refused)
                if taken.has_queued:
                    sender.wake()
                self._hub.publish(answers.in_order(taken.events, taken.early, trio.current_time()))
                if taken.is_drained:
                    self._on_drained()
        except Offline:
            return
        finally:
            self._hub.publish(answers.overdue(math.inf))

    async def _store(self, link: Link, batch: list[Frame]) -> Taken:
        asked: set[UserId] = set()
        while True:
            try:
                return await self._database.run(incoming.take, self._own, batch, frozenset(asked))
            except NeedList as need:
                await self._fetch(link, need.user)
                asked.add(need.user)

    async def _fetch(self, link: Link, user: UserId) -> None:
        """Fetch a device list; one that cannot be had, or lies, leaves its messages unreadable."""
        while True:
            try:
                await self._directory.refresh(link, user)
            except RequestError as error:
                if error.is_retryable:
                    await trio.sleep((error.retry_after_ms or 0) / 1000 or RETRY_S)
                    continue
            except ServerLied:
                pass  # it was reported
            return
