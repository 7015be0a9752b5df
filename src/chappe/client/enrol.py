"""Become a device of an account: register a new account, or link this device to one that exists.

Keys are stored before the server hears of them. A registration that was interrupted can be repeated in the same
folder: it goes on with the same keys, and finds out whether the server has taken them already. So can one that the
server has forgotten, since its stores were brought back to an earlier point, and so can a log-in: the folder keeps its
keys and messages.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Final

import msgspec
import trio

from ..crypto import device_list, keys, linking
from ..crypto.device_list import Entry
from ..crypto.errors import CryptoError
from ..crypto.keys import AccountKey, DeviceKeys
from ..crypto.linking import LinkSecret
from ..ids import UserId
from ..protocol.calls import DeviceList, LoginResult, Nothing, SealedLink
from ..protocol.codes import CloseCode, RequestError
from ..protocol.frames import Link, Login, Register, Verify
from .dial import dial
from .errors import ProfileExists, Refused, ServerLied, Unreachable
from .store import people, profile
from .store.database import Database, Tx, open_database
from .store.profile import Profile
from .values import Me

POLL_S: Final = 1.0


async def register(  # noqa: PLR0913 - what an account is made of
    server: str,
    folder: Path,
    passphrase: str,
    *,
    username: str,
    phone: str,
    password: str,
    ask_code: Callable[[], Awaitable[str]],
    device_name: str = "",
    ssl_context: ssl.SSLContext | None = None,
) -> Me:
    """Make an account with this device as its first, and its profile in `folder`.

    Raises: `RequestError` (username_taken, phone_taken, bad_phone, bad_code, ...), `Unreachable`, `ProfileExists`,
    `StoreInUse`, `WrongPassphrase`.
    """
    async with open_database(folder, passphrase, create=True) as database:
        wanted = Profile(server, UserId(b""), username, phone, device_name or "first device", complete=False)
        draft, has_tried, frame = await database.run(_draft, wanted, password)
        is_known = has_tried and await _is_known(database, server, ssl_context)
        if is_known and draft.complete:
            raise _profile_exists()
        if not is_known:
            async with dial(server, ssl_context) as wire:
                await wire.challenge()
                await wire.ask(frame, Nothing)
            code = await ask_code()
            async with dial(server, ssl_context) as wire:
                await wire.challenge()
                await wire.ask(Verify(1, phone, code.strip()), Nothing)
        return await database.run(
            _complete, draft, DeviceList(frame.user, frame.account_key, frame.device_list)
        )


async def login(  # noqa: PLR0913 - what a sign-in needs
    server: str,
    folder: Path,
    passphrase: str,
    *,
    username: str,
    password: str,
    device_name: str,
    show_code: Callable[[str], Awaitable[None]],
    ssl_context: ssl.SSLContext | None = None,
) -> Me:
    """Announce this device, show the link code, and wait until another device of the account approved it.

    Raises: `RequestError` (bad_credentials; not_found when nobody approved it in time), `Unreachable`,
    `ProfileExists`, `StoreInUse`, `WrongPassphrase`, `ServerLied`.
    """
    async with open_database(folder, passphrase, create=True) as database:
        is_again, device, secret, code = await database.run(_announce, server, username)
        if is_again and await _is_known(database, server, ssl_context):
            raise _profile_exists()
        async with dial(server, ssl_context) as wire:
            await wire.challenge()
            frame = Login(1, username, password, device.public, keys.prekeys(device), device_name)
            announced = await wire.ask(frame, LoginResult)
        await show_code(code)
        sealed = await _linked(server, ssl_context, device)
        if not announced.user == sealed.user == sealed.devices.user:
            raise ServerLied("The server mixed up two accounts; start again.")
        try:
            account = linking.open(secret, sealed.sealed, sealed.devices.account_key)
        except CryptoError as error:
            raise ServerLied(f"The account key did not arrive as it was sent: {error}") from error
        draft = Profile(server, sealed.user, username, "", device_name, complete=False)
        return await database.run(_link, draft, account, sealed.devices)


async def _linked(server: str, ssl_context: ssl.SSLContext | None, device: DeviceKeys) -> SealedLink:
    """Ask until the device is linked; the server ends connections that stay unknown, so dial again."""
    while True:
        try:
            async with dial(server, ssl_context) as wire:
                await wire.challenge()
                for rid in count(1):
                    try:
                        return await wire.ask(Link(rid, device.device_id), SealedLink)
                    except RequestError as error:
                        if not error.is_retryable:
                            raise
                        await trio.sleep((error.retry_after_ms or 0) / 1000 or POLL_S)
        except (Unreachable, Refused):
            await trio.sleep(POLL_S)


async def _is_known(database: Database, server: str, ssl_context: ssl.SSLContext | None) -> bool:
    """Return whether the server has taken this device in, be it that it was signed out since."""
    device = await database.run(profile.device)
    try:
        async with dial(server, ssl_context) as wire:
            await wire.sign_in(device, None)
    except Refused as error:
        return error.close != CloseCode.NOT_AUTHENTICATED
    return True


def _profile_exists() -> ProfileExists:
    return ProfileExists("This folder holds a signed-in device already; choose another folder.")


def _draft(tx: Tx, wanted: Profile, password: str) -> tuple[Profile, bool, Register]:
    """Store profile and keys, or find those of an earlier try; return them as the frame to send."""
    found = profile.get_profile(tx)
    has_tried = found is not None and (found.username, found.phone, found.server) == (
        wanted.username,
        wanted.phone,
        wanted.server,
    )
    if found is not None and found.complete and not has_tried:
        raise _profile_exists()
    if found is not None and has_tried:
        draft, account, device = found, profile.account(tx), profile.device(tx)
    else:
        draft = Profile(
            wanted.server,
            UserId(tx.random(16)),
            wanted.username,
            wanted.phone,
            wanted.device_name,
            complete=False,
        )
        account, device = keys.new_account_key(tx.random), keys.new_device(tx.random, tx.now_ms)
        profile.put_profile(tx, draft)
        profile.put_account(tx, account)
        profile.put_device(tx, device)
    entry = Entry(device.device_id, device.public, draft.device_name)
    # Not the present time: another try must sign the same bytes, for the server may have the first one's.
    known = people.get_person(tx, draft.user)
    if (
        known is not None and known.version == 1
    ):  # nor another list of this version, after a week's new prekeys
        signed = known.signed
    else:
        signed = device_list.sign(account, 1, device.signed[0].made_ms, [entry])
    frame = Register(
        1, draft.username, draft.phone, password, draft.user, account.public, device.public, signed,
        keys.prekeys(device),
    )  # fmt: skip
    return draft, has_tried, frame


def _announce(tx: Tx, server: str, username: str) -> tuple[bool, DeviceKeys, LinkSecret, str]:
    """Return whether this device was one of the account before, its keys, and its link code with its secret."""
    found = profile.get_profile(tx)
    is_again = found is not None and found.complete
    if found is not None and is_again:
        if (found.server, found.username.casefold()) != (server, username.casefold()):
            raise _profile_exists()
        device = profile.device(tx)
    else:
        device = keys.new_device(tx.random, tx.now_ms)
        profile.put_device(tx, device)
    return is_again, device, *linking.new_code(device.public, tx.random)


def _link(tx: Tx, draft: Profile, account: AccountKey, devices: DeviceList) -> Me:
    found = profile.get_profile(tx)
    if found is not None and found.complete:
        if (found.user, profile.account(tx).public) != (draft.user, account.public):
            raise ServerLied("This is another account of the same name; log in to it in a new folder.")
        draft = msgspec.structs.replace(draft, phone=found.phone)
    profile.put_account(tx, account)
    return _complete(tx, draft, devices)


def _complete(tx: Tx, draft: Profile, devices: DeviceList) -> Me:
    profile.put_profile(tx, msgspec.structs.replace(draft, complete=True))
    me, own = profile.identity(tx)
    # What was registered again has the first list, which may be older than what is known: see `returns.py`.
    if not draft.complete:
        people.learn(tx, own, own.user, devices)
    person = people.get_person(tx, own.user)
    if person is None or own.device not in person.active:
        raise ServerLied("The account's device list does not name this device; start again.")
    return me
