"""What a client does on its own, at each connect and then now and again: keys, receipts, contacts, clean-up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import trio

from ..crypto import keys
from ..crypto.keys import DAY_MS
from ..ids import UserId, floor_id
from ..protocol.calls import (
    Contacts,
    GetReceipts,
    KeyCount,
    Nothing,
    PublishKeys,
    Receipts,
    WatchPresence,
)
from ..protocol.codes import RequestError
from . import outgoing
from .directory import Directory
from .errors import Offline, ServerLied
from .events import EventHub, MessageChanged
from .link import Link
from .returns import Returns
from .sender import Sender
from .store import messages, people, profile
from .store.database import Database, Tx
from .store.profile import Own
from .values import Message

FEWEST_KEYS: Final = 20
MOST_KEYS: Final = 100
EVERY_S: Final = 60.0
KEYS_EVERY: Final = 60
"""Rounds between two looks at the keys: an hour."""

RECENT_MS: Final = DAY_MS
SEEN_MS: Final = 31 * DAY_MS
"""How long handled controls are remembered: a day longer than the server keeps them."""

MAX_RECEIPT_CONVS: Final = 200


class Keeper:
    """Does the chores on one connection. `watched` is asked each time: who is watched changes."""

    def __init__(
        self,
        database: Database,
        own: Own,
        hub: EventHub,
        directory: Directory,
        watched: Callable[[], list[UserId]],
    ) -> None:
        self._database = database
        self._own = own
        self._hub = hub
        self._directory = directory
        self._watched = watched
        self._returns = Returns(database, own, directory)

    async def run(self, link: Link, sender: Sender) -> None:
        """Keep house until the connection is over. A chore that the server refuses is left for the next round."""
        try:
            # What the server lacks comes before anything that is fetched from it.
            chores = (
                self._keys,
                self._returns.run,
                self._receipts,
                self._presence,
                self._contacts,
                self._own_devices,
            )
            for chore in chores:
                await self._try(chore, link)
            number = 0
            while True:
                if await self._database.run(_tidy, self._own):
                    sender.wake()
                await trio.sleep(EVERY_S)
                number += 1
                if number % KEYS_EVERY == 0:
                    await self._try(self._keys, link)
        except Offline:
            return

    async def _try(self, chore: Callable[[Link], Awaitable[None]], link: Link) -> None:
        with suppress(RequestError, ServerLied):
            await chore(link)

    async def _receipts(self, link: Link) -> None:
        """Say again what may have been lost, and ask for what the others said meanwhile."""
        since_ms = self._database.now_ms() - RECENT_MS
        for receipt in await self._database.run(messages.recent_receipts, since_ms):
            link.note(receipt.conv, receipt, keep=True)
        convs = await self._database.run(messages.waiting_for_ticks, MAX_RECEIPT_CONVS)
        if convs:
            answer = await link.call("receipts.get", GetReceipts(convs), Receipts)
            changed = await self._database.run(_advance, self._own, answer)
            self._hub.publish([MessageChanged(message) for message in changed])

    async def _presence(self, link: Link) -> None:
        if users := self._watched():
            await link.call("presence.watch", WatchPresence(users), Nothing)

    async def _contacts(self, link: Link) -> None:
        async with self._directory.contacts_lock:
            answer = await link.call("contacts.list", Nothing(), Contacts)
            await self._database.run(people.put_contacts, answer.contacts)

    async def _own_devices(self, link: Link) -> None:
        await self._directory.refresh(link, self._own.user)

    async def _keys(self, link: Link) -> None:
        """Publish one-time keys when few are left, and new prekeys every week; the private halves are stored first."""
        left = await link.call("keys.count", Nothing(), KeyCount)
        publish = await self._database.run(_new_keys, left)
        if publish is not None:
            await link.call("keys.publish", publish, KeyCount)


def _new_keys(tx: Tx, left: KeyCount) -> PublishKeys | None:
    device = profile.device(tx)
    is_rotation_due = keys.is_rotation_due(device, tx.now_ms)
    if min(left.one_time, left.kem) >= FEWEST_KEYS and not is_rotation_due:
        return None
    if is_rotation_due:
        device = keys.rotate(device, tx.now_ms, tx.random)
    missing = max(0, MOST_KEYS - left.one_time), max(0, MOST_KEYS - left.kem)
    device, one_time, kem = keys.refill(device, *missing, tx.random)
    profile.put_device(tx, device)
    return PublishKeys(one_time, kem, keys.prekeys(device))


def _advance(tx: Tx, own: Own, answer: Receipts) -> list[Message]:
    marks = [receipt for receipt in answer.receipts if receipt.user is not None]
    return [message for receipt in marks for message in messages.advance(tx, own, receipt)]


def _tidy(tx: Tx, own: Own) -> bool:
    """Forget old controls, and ask again for what could not be opened; return whether something was queued."""
    tx.run("DELETE FROM seen WHERE id < ?", floor_id(tx.now_ms - SEEN_MS))
    return outgoing.ask_again(tx, own)
