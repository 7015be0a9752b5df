"""Who this device is: profile, keys, and how far it has read. One sealed value each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from ...crypto.keys import AccountKey, DeviceKeys
from ...ids import FIRST_ID, DeviceId, MessageId, UserId
from ...protocol.decoders import decoder_of
from ..errors import NoProfile
from ..values import Me
from .database import Tx

T = TypeVar("T")

_PROFILE: Final = "profile"
_DEVICE: Final = "device"
_ACCOUNT: Final = "account"
_CURSOR: Final = "cursor"
_NEWEST: Final = "newest"
_RESTORED: Final = "restored"


class Profile(Struct, frozen=True):
    """The device's account. `complete`: the server has taken the device in; before, it may be tried again."""

    server: str
    user: UserId
    username: str
    phone: str
    device_name: str
    complete: bool


@dataclass(frozen=True, slots=True)
class Own:
    """What every step needs to know of this side: account, account key (public), device."""

    user: UserId
    account_public: bytes
    device: DeviceId


def _put(tx: Tx, name: str, value: bytes) -> None:
    tx.run("INSERT OR REPLACE INTO settings VALUES (?, ?)", name, tx.seal("settings", name.encode(), value))


def _get(tx: Tx, name: str) -> bytes | None:
    row = tx.one("SELECT value FROM settings WHERE name = ?", name)
    return None if row is None else tx.open("settings", name.encode(), row[0])


def _need(tx: Tx, name: str, read: Callable[[bytes], T]) -> T:
    value = _get(tx, name)
    if value is None:
        raise NoProfile("This folder holds no signed-in device; register or log in first.")
    return read(value)


def put_profile(tx: Tx, profile: Profile) -> None:
    """Store the profile."""
    _put(tx, _PROFILE, msgspec.msgpack.encode(profile))


def get_profile(tx: Tx) -> Profile | None:
    """Return the profile, complete or not."""
    value = _get(tx, _PROFILE)
    return None if value is None else decoder_of(Profile).decode(value)


def put_device(tx: Tx, keys: DeviceKeys) -> None:
    """Store this device's keys."""
    _put(tx, _DEVICE, keys.to_bytes())


def device(tx: Tx) -> DeviceKeys:
    """Return this device's keys. Raises: `NoProfile`."""
    return _need(tx, _DEVICE, DeviceKeys.from_bytes)


def put_account(tx: Tx, key: AccountKey) -> None:
    """Store the account's key."""
    _put(tx, _ACCOUNT, key.to_bytes())


def account(tx: Tx) -> AccountKey:
    """Return the account's key. Raises: `NoProfile`."""
    return _need(tx, _ACCOUNT, AccountKey.from_bytes)


def identity(tx: Tx) -> tuple[Me, Own]:
    """Return who is signed in here. Raises: `NoProfile` when nobody is."""
    profile = get_profile(tx)
    if profile is None or not profile.complete:
        raise NoProfile("This folder holds no signed-in device; register or log in first.")
    keys = device(tx)
    me = Me(
        profile.user, profile.username, profile.phone, keys.device_id, profile.device_name, profile.server
    )
    return me, Own(profile.user, account(tx).public, keys.device_id)


def put_cursor(tx: Tx, cursor: bytes) -> None:
    """Store the server's cursor."""
    _put(tx, _CURSOR, cursor)


def cursor(tx: Tx) -> bytes | None:
    """Return the last cursor stored."""
    return _get(tx, _CURSOR)


def put_restored_ms(tx: Tx, restored_ms: int) -> None:
    """Store which restore of the server was last dealt with."""
    _put(tx, _RESTORED, msgspec.msgpack.encode(restored_ms))


def restored_ms(tx: Tx) -> int:
    """Return which restore of the server was last dealt with, 0 for none yet."""
    value = _get(tx, _RESTORED)
    return 0 if value is None else decoder_of(int).decode(value)


def saw(tx: Tx, message: MessageId) -> None:
    """Remember the newest message id seen."""
    if message > newest(tx):
        _put(tx, _NEWEST, message)


def newest(tx: Tx) -> MessageId:
    """Return the newest message id seen, or 16 zero bytes."""
    return MessageId(_get(tx, _NEWEST) or FIRST_ID)
