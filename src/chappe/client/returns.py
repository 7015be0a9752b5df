"""Gives the server back what it has forgotten: its stores were brought back to an earlier point.

The keeper runs it at a sign-in whose WELCOME tells of another restore than the last one seen. One-time keys are the
keeper's own chore, messages that wait are the sender's; here are the device list, the conversations with their
watermarks, and the contacts. What was forgotten and by whom is in docs/adr/0070-restores.md. All of it may be done
twice, so it is begun again when the connection ends in the middle.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, TypeVar

import trio
from msgspec import Struct

from ..crypto import device_list
from ..crypto.device_list import DeviceList, Entry
from ..crypto.errors import CryptoError
from ..protocol import calls
from ..protocol.calls import (
    AddContact,
    Contact,
    Contacts,
    Nothing,
    OpenedConversation,
    UpdateDevices,
    UserRef,
)
from ..protocol.codes import ErrorCode, RequestError
from .directory import Directory
from .link import Link
from .store import messages, people, profile
from .store.database import Database, Tx
from .store.profile import Own

RETRY_S: Final = 1.0
TRIES: Final = 3
"""Several devices of an account may put its list right at once; the later ones look again."""

R = TypeVar("R", bound=Struct)


class Returns:
    """What a device does after a restore of its server."""

    def __init__(self, database: Database, own: Own, directory: Directory) -> None:
        self._database = database
        self._own = own
        self._directory = directory

    async def run(self, link: Link) -> None:
        """Give back what the server lacks, if it was restored since this was last done.

        Raises: `RequestError`, `Offline`, `ServerLied`; then it is done again at the next sign-in.
        """
        restored_ms = link.welcome.restored_ms
        if restored_ms == await self._database.run(profile.restored_ms):
            return
        await self._device_list(link)
        await self._conversations(link)
        await self._contacts(link)
        await self._database.run(profile.put_restored_ms, restored_ms)

    async def _device_list(self, link: Link) -> None:
        """Put an end to a list that people refuse, because they have seen a newer one."""
        for _ in range(TRIES):
            answer = await _insist(link, "devices.get", UserRef(self._own.user), calls.DeviceList)
            update = await self._database.run(_restated, self._own, answer)
            if update is None:
                return
            try:
                await _insist(link, "devices.update", update, Nothing)
            except RequestError as error:
                # Stale: another device of the account was faster.
                if error.code is not ErrorCode.STALE_DEVICE_LIST:
                    raise

    async def _conversations(self, link: Link) -> None:
        """Open every conversation again, one at a time, and say how far this account got in it."""
        for peer, receipt in await self._database.run(messages.opened):
            try:
                await _insist(link, "conversations.open", UserRef(peer), OpenedConversation)
            except RequestError:  # the account is younger than the backup
                await self._database.run(messages.close, receipt.conv)
            else:
                if receipt.delivered is not None:
                    link.note(receipt.conv, receipt, keep=True)

    async def _contacts(self, link: Link) -> None:
        async with self._directory.contacts_lock:
            there = await _insist(link, "contacts.list", Nothing(), Contacts)
            for contact in await self._database.run(_lacking, there.contacts):
                # One whose account is unknown is left out: its name may be somebody else's by now.
                with suppress(RequestError):
                    await _insist(link, "users.get", UserRef(contact.user), calls.Profile)
                    who = contact.phone or contact.username
                    await _insist(link, "contacts.add", AddContact(who, contact.name), Contact)


async def _insist(link: Link, name: str, args: Struct, answer: type[R]) -> R:
    """Make a call again until it is not refused for now: after a restore everybody calls at once."""
    while True:
        try:
            return await link.call(name, args, answer)
        except RequestError as error:
            if not error.is_retryable:
                raise
            await trio.sleep((error.retry_after_ms or 0) / 1000 or RETRY_S)


def _restated(tx: Tx, own: Own, answer: calls.DeviceList) -> UpdateDevices | None:
    """Return a list after the newest that this device knows; None when the server's own will do.

    It names those devices that both know: one that was revoked stays so, and one that was linked since the backup is
    unknown to the server and has to be linked again.
    """
    person = people.get_person(tx, own.user)
    try:
        there = device_list.verify(answer.signed, own.account_public, 1)
    except CryptoError:
        return None  # the directory reports it, when it fetches the list
    if person is None or there.version > person.version or answer.signed == person.signed:
        return None
    entries = _shared(there, people.active_entries(person))
    if own.device not in {entry.device for entry in entries}:
        return None
    account = profile.account(tx)
    return UpdateDevices(device_list.sign(account, person.version + 1, tx.now_ms, entries))


def _shared(there: DeviceList, here: list[Entry]) -> list[Entry]:
    known = {entry.device for entry in there.entries}
    return [entry for entry in here if entry.device in known]


def _lacking(tx: Tx, there: list[Contact]) -> list[Contact]:
    """Return the contacts here that the server does not have like this."""
    names = {contact.user: contact.name for contact in there}
    return [contact for contact in people.get_contacts(tx) if names.get(contact.user) != contact.name]
