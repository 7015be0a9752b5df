"""The handlers behind CALL, by name: what a signed-in device may ask and change.

`requests.py` runs them, each in a task of its own. A handler gets who asks and the decoded arguments, and returns the
result's Struct or raises `RequestError`; the stores' own errors are translated there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from ..crypto import device_list, keys, primitives
from ..domain.accounts import Account, ContactRow, Direct
from ..domain.names import checked_phone
from ..ids import ConversationId, DeviceId, UserId, direct_conversation
from ..ports import Bus, KeyStore, MessageStore, UserStore
from ..protocol import calls
from ..protocol.codes import ErrorCode, RequestError
from ..protocol.decoders import decoder_of
from ..protocol.frames import Call, Receipt
from ..settings import LimitSettings
from ..workers.presence import PresenceServer
from .connection import Connection
from .directory import Directory
from .hub import Hub
from .signin import check_prekeys, verified_list


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    connection: Connection
    user: UserId
    device: DeviceId


@dataclass(frozen=True, slots=True)
class Backends:
    """What the handlers work with."""

    users: UserStore
    keys: KeyStore
    messages: MessageStore
    directory: Directory
    hub: Hub
    bus: Bus
    presence: PresenceServer
    limits: LimitSettings
    now_ms: Callable[[], int]


class Calls:
    """Finds and runs the handler of a call."""

    def __init__(self, backends: Backends) -> None:
        self._users = backends.users
        self._keys = backends.keys
        self._messages = backends.messages
        self._directory = backends.directory
        self._hub = backends.hub
        self._bus = backends.bus
        self._presence = backends.presence
        self._limits = backends.limits
        self._now_ms = backends.now_ms
        self._handlers: dict[str, Callable[[Caller, Any], Awaitable[Struct]]] = {
            "devices.get": self._devices_get,
            "devices.update": self._devices_update,
            "keys.publish": self._keys_publish,
            "keys.count": self._keys_count,
            "keys.claim": self._keys_claim,
            "users.get": self._users_get,
            "contacts.add": self._contacts_add,
            "contacts.remove": self._contacts_remove,
            "contacts.list": self._contacts_list,
            "conversations.open": self._conversations_open,
            "history.get": self._history_get,
            "receipts.get": self._receipts_get,
            "presence.watch": self._presence_watch,
            "settings.get": self._settings_get,
            "settings.set": self._settings_set,
        }

    async def handle(self, caller: Caller, call: Call) -> Struct:
        """Run one call.

        Raises: `RequestError`, and the stores' errors.
        """
        handler = self._handlers.get(call.name)
        if handler is None:
            raise RequestError(ErrorCode.UNKNOWN_CALL, "This server does not know that call.")
        arguments, _ = calls.CALLS[call.name]
        try:
            decoded = decoder_of(arguments).decode(call.args)
        except (ValueError, RecursionError) as error:  # msgspec's errors, and text that is no UTF-8
            raise RequestError(ErrorCode.BAD_REQUEST, f"Wrong arguments for {call.name}.") from error
        return await handler(caller, decoded)

    async def _devices_get(self, _caller: Caller, args: calls.UserRef) -> calls.DeviceList:
        account = await self._account(args.user)
        return calls.DeviceList(account.user, account.account_key, account.device_list)

    async def _devices_update(self, caller: Caller, args: calls.UpdateDevices) -> calls.Nothing:
        account = await self._account(caller.user)
        new = verified_list(args.signed, account.account_key, account.list_version + 1)
        old = device_list.verify(account.device_list, account.account_key, 1)
        named = {entry.device for entry in new.entries}
        had = {entry.device for entry in old.entries}
        added, revoked = sorted(named - had), sorted(had - named)
        if len(named) > self._limits.devices_per_account:
            raise RequestError(
                ErrorCode.FORBIDDEN, "This account has as many devices as it may; revoke one first."
            )
        if len(added) > 1 or bool(added) != bool(args.sealed):
            raise RequestError(
                ErrorCode.BAD_REQUEST, "Link one device at a time, with the sealed key for it."
            )
        if added:
            pending = await self._users.pending(added[0])
            if pending is None or pending.user != caller.user:
                raise RequestError(ErrorCode.NOT_FOUND, "That device did not log in, or too long ago.")
        await self._users.replace_device_list(
            caller.user,
            args.signed,
            new.version,
            now_ms=self._now_ms(),
            link=(added[0], args.sealed) if added else None,
            revoke=revoked,
        )
        self._directory.forget(caller.user, [*added, *revoked])
        self._bus.changed_nowait(caller.user, [*added, *revoked])
        self._hub.revoke(revoked)
        return calls.Nothing()

    async def _keys_publish(self, caller: Caller, args: calls.PublishKeys) -> calls.KeyCount:
        device = await self._directory.device(caller.device)
        assert device is not None
        if args.prekeys is not None:
            check_prekeys(device.key, args.prekeys)
        for key in args.kem:
            if not primitives.is_signed(device.key, keys.kem_transcript(key.id, key.key), key.signature):
                raise RequestError(ErrorCode.BAD_SIGNATURE, "A KEM prekey is not signed by this device.")
        one_time, kem = await self._keys.count(caller.device)
        if max(one_time + len(args.one_time), kem + len(args.kem)) > calls.MAX_ONE_TIME_KEYS:
            raise RequestError(
                ErrorCode.FORBIDDEN, f"A device keeps at most {calls.MAX_ONE_TIME_KEYS} one-time keys here."
            )
        if args.prekeys is not None:
            await self._keys.replace_prekeys(caller.device, args.prekeys)
        await self._keys.add_one_time(caller.device, args.one_time, args.kem)
        return calls.KeyCount(*await self._keys.count(caller.device))

    async def _keys_count(self, caller: Caller, _args: calls.Nothing) -> calls.KeyCount:
        return calls.KeyCount(*await self._keys.count(caller.device))

    async def _keys_claim(self, caller: Caller, args: calls.ClaimKeys) -> calls.Bundles:
        # Draining somebody's one-time keys is an attack on forward secrecy, so claims have a rate of their own.
        caller.connection.spend(
            "claims", self._limits.claims_burst, self._limits.claims_per_s, len(args.devices)
        )
        return calls.Bundles(await self._keys.claim(args.user, args.devices))

    async def _users_get(self, _caller: Caller, args: calls.UserRef) -> calls.Profile:
        account = await self._account(args.user)
        return calls.Profile(account.user, account.username)

    async def _contacts_add(self, caller: Caller, args: calls.AddContact) -> calls.Contact:
        is_phone = args.who.startswith("+")
        if is_phone:
            account = await self._users.account_by_phone(checked_phone(args.who))
        else:
            account = await self._users.account_by_name(args.who)
        if account is None:
            raise _no_such_account()
        row = ContactRow(
            caller.user,
            account.user,
            account.username,
            args.name or account.username,
            account.phone if is_phone else None,
        )
        if not await self._users.put_contact(row, self._limits.contacts_per_account):
            raise RequestError(ErrorCode.FORBIDDEN, "This contact list is full; remove somebody first.")
        await self._presence.refresh(caller.user)
        return calls.Contact(row.user, row.username, row.name, row.phone)

    async def _contacts_remove(self, caller: Caller, args: calls.UserRef) -> calls.Nothing:
        await self._users.remove_contact(caller.user, args.user)
        await self._presence.refresh(caller.user)
        return calls.Nothing()

    async def _contacts_list(self, caller: Caller, _args: calls.Nothing) -> calls.Contacts:
        rows = await self._users.contacts(caller.user)
        return calls.Contacts([calls.Contact(row.user, row.username, row.name, row.phone) for row in rows])

    async def _conversations_open(self, caller: Caller, args: calls.UserRef) -> calls.OpenedConversation:
        await self._account(args.user)
        conv = direct_conversation(caller.user, args.user)
        await self._users.put_direct(Direct(conv, (caller.user, args.user)))
        return calls.OpenedConversation(conv)

    async def _history_get(self, caller: Caller, args: calls.GetHistory) -> calls.History:
        await self._check_member(caller, args.conv)
        rows = await self._messages.history(args.conv, args.before, args.limit + 1)
        entries = _within(
            [
                calls.LogEntry(row.id, row.sender, row.device, row.cid, row.kind, row.ref, row.body)
                for row in rows[: args.limit]
            ]
        )
        return calls.History(entries, len(entries) < len(rows))

    async def _receipts_get(self, caller: Caller, args: calls.GetReceipts) -> calls.Receipts:
        for conv in args.convs:
            await self._check_member(caller, conv)
        marks = await self._messages.watermarks(args.convs)
        return calls.Receipts([Receipt(mark.conv, mark.delivered, mark.read, mark.user) for mark in marks])

    async def _presence_watch(self, caller: Caller, args: calls.WatchPresence) -> calls.Nothing:
        await self._presence.watch(caller.connection, caller.user, args.users)
        return calls.Nothing()

    async def _settings_get(self, caller: Caller, _args: calls.Nothing) -> calls.Settings:
        person = await self._users.person(caller.user)
        if person is None:
            raise _no_such_account()
        return person.settings

    async def _settings_set(self, caller: Caller, args: calls.Settings) -> calls.Nothing:
        await self._users.put_settings(caller.user, args)
        await self._presence.refresh(caller.user)
        return calls.Nothing()

    async def _account(self, user: UserId) -> Account:
        account = await self._users.account(user)
        if account is None:
            raise _no_such_account()
        return account

    async def _check_member(self, caller: Caller, conv: ConversationId) -> None:
        if caller.user not in (await self._directory.members(conv) or ()):
            raise RequestError(ErrorCode.UNKNOWN_CONVERSATION, "No such conversation; open it first.")


def _no_such_account() -> RequestError:
    return RequestError(ErrorCode.NOT_FOUND, "No such account.")


def _within(entries: list[calls.LogEntry], most_bytes: int = calls.MAX_HISTORY_BYTES) -> list[calls.LogEntry]:
    """Return as many entries as fit into one frame, at least one."""
    total = 0
    for i, entry in enumerate(entries):
        total += len(entry.body)
        if i and total > most_bytes:
            return entries[:i]
    return entries
