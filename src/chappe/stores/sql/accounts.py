"""Accounts and devices by SQL: registering, signing in, and changes of device lists.

One half of `users.py`, which says who calls it. That a name, a number and a list version are taken once is checked
here, by the database itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from ...domain.accounts import Account, Device, PendingDevice, Registration
from ...errors import Missing, Stale, Taken
from ...ids import DeviceId, UserId
from ...protocol.frames import PreKeys
from .engine import Database
from .keys import delete_keys, set_prekeys
from .lanes import Lane
from .schema import accounts, devices, pending_devices, people, registrations

_encode: Final = msgspec.msgpack.encode
_decode_registration: Final = msgspec.msgpack.Decoder(Registration).decode
_decode_prekeys: Final = msgspec.msgpack.Decoder(PreKeys).decode

_ACCOUNT: Final = select(
    accounts.c.user,
    accounts.c.username,
    accounts.c.phone,
    accounts.c.password_hash,
    accounts.c.account_key,
    accounts.c.device_list,
    accounts.c.list_version,
)
_DEVICE: Final = select(
    devices.c.device, devices.c.user, devices.c.key, devices.c.name, devices.c.linked_ms, devices.c.revoked
)


def folded(username: str) -> str:
    """Return what two user names have in common when they differ in case only."""
    return username.casefold()


class SqlAccounts:
    """Accounts and their devices, in a `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_registration(self, registration: Registration) -> None:
        """Keep a registration, replacing an older one of the same phone. Raises: `Taken`."""

        def work(connection: Connection) -> None:
            account = registration.account
            if _is_there(connection, accounts.c.username_folded == folded(account.username)):
                raise Taken("username")
            if _is_there(connection, accounts.c.phone == registration.phone):
                raise Taken("phone")
            values = {
                "value": _encode(registration),
                "attempts_left": registration.attempts_left,
                "expires_ms": registration.expires_ms,
            }
            statement = self._database.insert(registrations).values(phone=registration.phone, **values)
            connection.execute(
                statement.on_conflict_do_update(index_elements=[registrations.c.phone], set_=values)
            )

        await self._database.write(work, Lane.SIGN_IN)

    async def get_registration(self, phone: str) -> Registration | None:
        """Return the registration that waits for this phone's code."""

        def work(connection: Connection) -> Registration | None:
            row = connection.execute(
                select(registrations.c.value, registrations.c.attempts_left).where(
                    registrations.c.phone == phone
                )
            ).one_or_none()
            if row is None:
                return None
            return dataclasses.replace(_decode_registration(row.value), attempts_left=row.attempts_left)

        return await self._database.read(work, Lane.SIGN_IN)

    async def spend_attempt(self, phone: str) -> int:
        """Count one wrong code; return how many attempts are left. At none the registration is gone."""

        def work(connection: Connection) -> int:
            left = connection.execute(
                update(registrations)
                .where(registrations.c.phone == phone)
                .values(attempts_left=registrations.c.attempts_left - 1)
                .returning(registrations.c.attempts_left)
            ).scalar_one_or_none()
            if left is None:
                return 0
            if left <= 0:
                connection.execute(delete(registrations).where(registrations.c.phone == phone))
            return max(0, left)

        return await self._database.write(work, Lane.SIGN_IN)

    async def create_account(self, registration: Registration) -> None:
        """Make account, device and prekeys in one step, and drop the registration. Raises: `Taken`."""
        account, device = registration.account, registration.device

        def work(connection: Connection) -> None:
            connection.execute(
                insert(accounts).values(
                    username_folded=folded(account.username), **dataclasses.asdict(account)
                )
            )
            connection.execute(insert(people).values(user=account.user))
            connection.execute(insert(devices).values(**dataclasses.asdict(device)))
            set_prekeys(self._database, connection, device.device, registration.prekeys)
            connection.execute(delete(registrations).where(registrations.c.phone == registration.phone))

        try:
            await self._database.write(work, Lane.SIGN_IN)
        except IntegrityError:
            taken = await self._database.read(
                lambda connection: _what_is_taken(connection, account, device), Lane.SIGN_IN
            )
            if taken is None:
                raise
            raise Taken(taken) from None

    async def account(self, user: UserId) -> Account | None:
        """Return an account by id."""
        return await self._account(accounts.c.user == user)

    async def account_by_name(self, username: str) -> Account | None:
        """Return an account by user name (case-insensitive)."""
        return await self._account(accounts.c.username_folded == folded(username))

    async def account_by_phone(self, phone: str) -> Account | None:
        """Return an account by phone number (E.164)."""
        return await self._account(accounts.c.phone == phone)

    async def device(self, device: DeviceId) -> Device | None:
        """Return a device, revoked ones too."""

        def work(connection: Connection) -> Device | None:
            row = connection.execute(_DEVICE.where(devices.c.device == device)).one_or_none()
            return None if row is None else Device(*row)

        return await self._database.read(work, Lane.SIGN_IN)

    async def devices(self, user: UserId) -> list[Device]:
        """Return an account's devices that are not revoked, in the order they were linked."""
        statement = _DEVICE.where(devices.c.user == user, devices.c.revoked.is_(False)).order_by(
            devices.c.linked_ms, devices.c.device
        )
        return await self._database.read(
            lambda connection: [Device(*row) for row in connection.execute(statement)], Lane.DIRECTORY
        )

    async def put_pending(self, pending: PendingDevice) -> None:
        """Keep an announced device until it is linked or expires."""
        values = {
            "user": pending.user,
            "key": pending.key,
            "name": pending.name,
            "prekeys": _encode(pending.prekeys),
            "expires_ms": pending.expires_ms,
            "sealed": pending.sealed,
        }
        statement = self._database.insert(pending_devices).values(device=pending.device, **values)
        statement = statement.on_conflict_do_update(index_elements=[pending_devices.c.device], set_=values)
        await self._database.write(lambda connection: connection.execute(statement).close(), Lane.SIGN_IN)

    async def pending(self, device: DeviceId) -> PendingDevice | None:
        """Return an announced device, expired or linked ones too until `expire` drops them."""
        return await self._database.read(lambda connection: _pending(connection, device), Lane.SIGN_IN)

    async def replace_device_list(
        self,
        user: UserId,
        signed: bytes,
        version: int,
        *,
        now_ms: int,
        link: tuple[DeviceId, bytes] | None,
        revoke: Iterable[DeviceId],
    ) -> None:
        """Move an account to the next device list, in one step.

        Raises: `Stale`, `Missing`; `Taken` ("device") when the device to link was linked before, revoked or
        not.
        """
        revoked = list(revoke)

        def work(connection: Connection) -> None:
            moved = connection.execute(
                update(accounts)
                .where(accounts.c.user == user, accounts.c.list_version < version)
                .values(device_list=signed, list_version=version)
            )
            if moved.rowcount == 0:
                raise Stale("The device list has changed meanwhile; read it again and repeat the change.")
            if link is not None:
                self._link(connection, user, *link, now_ms)
            own = devices.c.user == user, devices.c.device.in_(revoked)
            gone = connection.execute(
                update(devices).where(*own).values(revoked=True).returning(devices.c.device)
            ).scalars()
            delete_keys(connection, list(gone))

        await self._database.write(work, Lane.SETTINGS)

    async def _account(self, wanted: ColumnElement[bool]) -> Account | None:
        def work(connection: Connection) -> Account | None:
            row = connection.execute(_ACCOUNT.where(wanted)).one_or_none()
            return None if row is None else Account(*row)

        return await self._database.read(work, Lane.DIRECTORY)

    def _link(
        self, connection: Connection, user: UserId, device: DeviceId, sealed: bytes, now_ms: int
    ) -> None:
        pending = _pending(connection, device)
        if pending is None or pending.user != user or pending.expires_ms <= now_ms:
            raise Missing("The device is not waiting to be linked; let it log in again.")
        if _is_there(connection, devices.c.device == device):
            raise Taken("device")
        connection.execute(
            insert(devices).values(
                device=device, user=user, key=pending.key, name=pending.name, linked_ms=now_ms, revoked=False
            )
        )
        set_prekeys(self._database, connection, device, pending.prekeys)
        connection.execute(
            update(pending_devices).where(pending_devices.c.device == device).values(sealed=sealed)
        )


def _is_there(connection: Connection, *wanted: ColumnElement[bool]) -> bool:
    return bool(connection.execute(select(exists().where(*wanted))).scalar_one())


def _what_is_taken(connection: Connection, account: Account, device: Device) -> str | None:
    taken = {
        "username": accounts.c.username_folded == folded(account.username),
        "phone": accounts.c.phone == account.phone,
        "user": accounts.c.user == account.user,
        "device": devices.c.device == device.device,
    }
    return next((what for what, wanted in taken.items() if _is_there(connection, wanted)), None)


def _pending(connection: Connection, device: DeviceId) -> PendingDevice | None:
    columns = pending_devices.c
    row = connection.execute(
        select(
            columns.user, columns.key, columns.name, columns.prekeys, columns.expires_ms, columns.sealed
        ).where(columns.device == device)
    ).one_or_none()
    if row is None:
        return None
    user, key, name, prekeys, expires_ms, sealed = row
    return PendingDevice(device, user, key, name, _decode_prekeys(prekeys), expires_ms, sealed)
