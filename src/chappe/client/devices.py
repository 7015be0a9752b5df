"""The own account's devices: list them, approve a new one, sign one out. Every change is a new signed list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..crypto import device_list, linking
from ..crypto.device_list import Entry
from ..crypto.errors import BadLink, CryptoError
from ..ids import DeviceId
from ..protocol.calls import Nothing, UpdateDevices
from ..protocol.codes import RequestError
from .directory import Directory
from .errors import BadLinkCode, NotFound
from .link import Link
from .store import people, profile
from .store.database import Database, Tx
from .store.profile import Own
from .values import DeviceInfo

TRIES: Final = 3
"""Two devices may change the list at once; the later one starts over with the new list."""


class OwnDevices:
    """What a device may do about its siblings."""

    def __init__(self, database: Database, own: Own, directory: Directory) -> None:
        self._database = database
        self._own = own
        self._directory = directory

    async def all(self, link: Link) -> list[DeviceInfo]:
        """Return them. Raises: `RequestError`, `Offline`, `ServerLied`."""
        await self._directory.refresh(link, self._own.user)
        entries = await self._database.run(_entries, self._own)
        return [DeviceInfo(entry.device, entry.name, entry.device == self._own.device) for entry in entries]

    async def approve(self, link: Link, text: str, name: str) -> DeviceInfo:
        """Sign the device that shows this code into the account.

        Raises: `BadLinkCode`, `RequestError` (not_found when it did not log in), `Offline`, `ServerLied`.
        """
        try:
            code = linking.read_code(text)
        except BadLink as error:
            raise BadLinkCode(str(error)) from error

        def with_new(entries: list[Entry]) -> list[Entry]:
            others = [entry for entry in entries if entry.device != code.device]
            return [*others, Entry(code.device, code.device_key, name or f"device {len(others) + 1}")]

        await self._change(link, with_new, text)
        return next(info for info in await self.all(link) if info.device == code.device)

    async def revoke(self, link: Link, device: DeviceId) -> None:
        """Sign a device out for good. Raises: `NotFound`, `RequestError`, `Offline`, `ServerLied`."""

        def without(entries: list[Entry]) -> list[Entry]:
            others = [entry for entry in entries if entry.device != device]
            if len(others) == len(entries):
                raise NotFound("This account has no such device.")
            if not others:
                raise NotFound("This is the account's only device; it cannot sign itself out.")
            return others

        await self._change(link, without, None)

    async def _change(
        self, link: Link, change: Callable[[list[Entry]], list[Entry]], code: str | None
    ) -> None:
        await self._directory.refresh(link, self._own.user)
        for tries_left in reversed(range(TRIES)):
            signed_from = await self._database.run(_version, self._own)
            update = await self._database.run(_sign, self._own, change, code)
            try:
                await link.call("devices.update", update, Nothing)
            except RequestError:
                await self._directory.refresh(link, self._own.user)
                if tries_left and await self._database.run(_version, self._own) > signed_from:
                    continue  # it was refused because another device was faster
                raise
            await self._directory.refresh(link, self._own.user)
            return


def _version(tx: Tx, own: Own) -> int:
    person = people.get_person(tx, own.user)
    return person.version if person else 0


def _entries(tx: Tx, own: Own) -> list[Entry]:
    return people.active_entries(people.get_person(tx, own.user))


def _sign(tx: Tx, own: Own, change: Callable[[list[Entry]], list[Entry]], code: str | None) -> UpdateDevices:
    account = profile.account(tx)
    entries = change(_entries(tx, own))
    try:
        signed = device_list.sign(account, _version(tx, own) + 1, tx.now_ms, entries)
        return UpdateDevices(signed, linking.seal(code, account, tx.random) if code else b"")
    except CryptoError as error:
        raise BadLinkCode(f"This device cannot be taken in: {error}") from error
