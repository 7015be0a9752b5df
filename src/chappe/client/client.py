"""The client: what an application holds. Opens the store, keeps the connection under a supervisor, offers the calls.

Everything here is thin: steps on the store are in `outgoing.py` and `store/`, the connection is `connector.py`'s.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import trio
from msgspec import Struct

from supervisors import Backoff, Restart, Supervisor, child

from ..crypto import fingerprint
from ..ids import Cid, ConversationId, DeviceId, MessageId, UserId, direct_conversation
from ..protocol import calls
from ..protocol.calls import Contact, Settings
from ..protocol.frames import Typing
from . import outgoing
from .connector import MOST_WAIT_S, Connector
from .devices import OwnDevices
from .dial import dial
from .errors import NotFound, SendFailed
from .events import EventHub, EventsLost, EventStream, MessageChanged
from .store import messages, people, profile
from .store.database import Database, open_database
from .values import (
    ConnectionState,
    Conversation,
    DeliveryState,
    DeviceInfo,
    HistoryPage,
    Me,
    Message,
    PresenceInfo,
)

CRASHES: Final = 5
CRASH_PERIOD_S: Final = 60.0


class Client:
    """A signed-in device. Use it as `async with Client(folder, passphrase) as client`."""

    def __init__(
        self,
        folder: Path,
        passphrase: str,
        *,
        server: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        most_wait_s: float = MOST_WAIT_S,
    ) -> None:
        """`server` overrides the address that the profile holds; `most_wait_s` bounds the wait between two tries to
        connect, which is random so that clients do not come back all at once. Nothing is opened yet.
        """
        self._folder = folder
        self._passphrase = passphrase
        self._server = server
        self._ssl_context = ssl_context
        self._most_wait_s = most_wait_s
        self._hub = EventHub()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open and lock the store, and start connecting.

        Raises: `NoProfile`, `StoreInUse`, `WrongPassphrase`, `StoreDamaged`.
        """
        async with AsyncExitStack() as stack:
            self._database: Database = await stack.enter_async_context(
                open_database(self._folder, self._passphrase)
            )
            self._me, self._own = await self._database.run(profile.identity)
            server = self._server or self._me.server
            self._connector = Connector(
                self._database,
                self._own,
                self._hub,
                partial(dial, server, self._ssl_context),
                self._most_wait_s,
            )
            self._devices = OwnDevices(self._database, self._own, self._connector.directory)
            self._supervisor = Supervisor(
                [
                    child(
                        self._connector.run,
                        id="connector",
                        restart=Restart.TRANSIENT,
                        backoff=Backoff(first_s=1.0, factor=2.0, most_s=60.0, jitter=0.5),
                    )
                ],
                intensity=CRASHES,
                period_s=CRASH_PERIOD_S,
                name="client",
            )
            nursery = await stack.enter_async_context(trio.open_nursery())
            await nursery.start(self._supervisor.run)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Send what waits, close the connection, stop the tasks, close the store; takes a few seconds at most.

        What the block raises comes out as it is.
        Raises: `GaveUp` (of `supervisors`) when something in the client crashed again and again.
        """
        with trio.CancelScope(shield=True):
            await self._connector.goodbye()
            await self._supervisor.stop()
        try:
            if isinstance(
                error, trio.Cancelled
            ):  # it may be the nursery's own, because the supervisor gave up
                return bool(await self._stack.__aexit__(kind, error, trace))
            await self._stack.aclose()
        except BaseExceptionGroup as group:
            if len(group.exceptions) == 1:
                raise group.exceptions[0] from None
            raise
        return False

    @property
    def me(self) -> Me:
        """Who is signed in here."""
        return self._me

    @property
    def connection(self) -> ConnectionState:
        """Where the connection stands."""
        return self._connector.state

    async def online(self) -> None:
        """Wait until signed in and the offline queue is drained.

        Raises: `Refused` when that can never be.
        """
        await self._connector.online()

    @asynccontextmanager
    async def events(self) -> AsyncIterator[EventStream]:
        """Hear every event from here on, in an own queue of 1,024; see `EventsLost`."""
        with self._hub.subscribe() as stream:
            yield stream

    def conversation(self, user: UserId) -> ConversationId:
        """Return the id of the conversation with somebody (oneself too)."""
        return direct_conversation(self._own.user, user)

    async def send(self, user: UserId, text: str, *, reply_to: MessageId | None = None) -> Message:
        """Store a message and queue it; returns at once with state QUEUED, online or not.

        It stays QUEUED while this person's account key has changed and is not trusted (see `IdentityChanged`).

        Cancelled: it was either queued or not.
        Raises: `ClientError` when it is too long.
        """
        message = await self._database.run(outgoing.write, self._own, user, text, reply_to)
        self._connector.fresh.add(message.cid)
        if self._connector.sender is not None:
            self._connector.sender.wake()
        return message

    async def message(self, cid: Cid) -> Message:
        """Return a message that was written on this device.

        Raises: `NotFound`.
        """
        found = await self._database.run(messages.get, self._own.device, cid)
        if found is None:
            raise NotFound("No message of that name was written on this device.")
        return found

    async def wait(self, cid: Cid, state: DeliveryState) -> Message:
        """Wait until a message that was written here got at least this far.

        Raises: `SendFailed`, `NotFound`, `Refused` when the connection ended for good meanwhile.
        """
        with self._hub.subscribe() as stream:
            message = await self.message(cid)
            while message.state < state:
                if message.state is DeliveryState.FAILED:
                    raise SendFailed(message.reason)
                if self._connector.refused is not None:
                    raise self._connector.refused
                match await anext(stream):
                    case MessageChanged(message=changed) if changed.cid == cid:
                        message = changed
                    case EventsLost():
                        message = await self.message(cid)
                    case _:
                        pass
        return message

    async def mark_read(self, conv: ConversationId, up_to: MessageId) -> None:
        """Everything up to this id was read; said to the others now, or at the next connect."""
        receipt = await self._database.run(messages.advance_own, conv, read=up_to)
        if receipt is not None and self._connector.state is ConnectionState.ONLINE:
            self._connector.link.note(conv, receipt, keep=True)

    async def set_typing(self, conv: ConversationId, active: bool) -> None:
        """Tell the peer that one types, or stopped. Does nothing when offline."""
        if self._connector.state is ConnectionState.ONLINE:
            self._connector.link.note((Typing, conv), Typing(conv, active), keep=False)

    async def history(
        self, conv: ConversationId, before: MessageId | None = None, limit: int = 50
    ) -> list[Message]:
        """Return the newest `limit` local messages before `before`, oldest first; unsent ones last."""
        return await self._database.run(messages.page, conv, before, limit)

    async def fetch_history(
        self, conv: ConversationId, before: MessageId | None = None, limit: int = 50
    ) -> HistoryPage:
        """Return a page of the server's log, and what of it this device never received.

        On a device that was linked later, everything from before that is missing.
        Raises: `Offline`, `RequestError`.
        """
        asked = calls.GetHistory(conv, before, limit)
        page = await self._connector.link.call("history.get", asked, calls.History)
        ids = [entry.id for entry in page.entries]
        return HistoryPage(page.entries, page.more, await self._database.run(messages.missing, conv, ids))

    async def conversations(self) -> list[Conversation]:
        """Return all conversations, the one with the newest message first."""
        found = await self._database.run(messages.overview)
        names = {contact.user: contact.name or contact.username for contact in await self.contacts()}
        names.setdefault(self._own.user, self._me.username)
        return [
            Conversation(conv, peer, names.get(peer, peer.hex()), unread, last)
            for conv, peer, unread, last in found
        ]

    async def find(self, who: str) -> UserId:
        """Find somebody locally, by contact name, user name, phone number or id in hex.

        Raises: `NotFound`.
        """
        wanted = who.casefold()
        if wanted in {self._me.username.casefold(), self._own.user.hex()}:
            return self._own.user
        contacts = await self.contacts()
        for attribute in ("name", "username", "phone"):
            found = [
                contact.user
                for contact in contacts
                if (getattr(contact, attribute) or "").casefold() == wanted
            ]
            if len(found) == 1:
                return found[0]
        by_id = [contact.user for contact in contacts if contact.user.hex() == wanted]
        if by_id:
            return by_id[0]
        raise NotFound(f"{who} is no contact, or several; add a contact, or use the user name.")

    async def add_contact(self, who: str, name: str = "") -> Contact:
        """Add or rename a contact, by user name or phone number.

        Raises: `Offline`, `RequestError`.
        """
        async with self._connector.directory.contacts_lock:
            contact = await self._connector.link.call("contacts.add", calls.AddContact(who, name), Contact)
            await self._database.run(people.put_contact, contact)
        return contact

    async def remove_contact(self, user: UserId) -> None:
        """Remove a contact.

        Raises: `Offline`, `RequestError`.
        """
        async with self._connector.directory.contacts_lock:
            await self._connector.link.call("contacts.remove", calls.UserRef(user), calls.Nothing)
            await self._database.run(people.remove_contact, user)

    async def contacts(self) -> list[Contact]:
        """Return the contacts as last heard from the server, by name; works offline."""
        return await self._database.run(people.get_contacts)

    async def watch(self, users: Sequence[UserId]) -> None:
        """Replace the set of people whose presence is reported; kept across reconnects.

        Raises: `RequestError`.
        """
        self._connector.watched = list(users)
        if self._connector.state is ConnectionState.ONLINE:
            watch = calls.WatchPresence(self._connector.watched)
            await self._connector.link.call("presence.watch", watch, calls.Nothing)

    def presence(self, user: UserId) -> PresenceInfo | None:
        """Return what was last heard of somebody's presence on this connection."""
        return self._connector.presence.get(user)

    async def devices(self) -> list[DeviceInfo]:
        """Return the own devices.

        Raises: `Offline`, `RequestError`, `ServerLied`.
        """
        return await self._devices.all(self._connector.link)

    async def link(self, code: str, name: str = "") -> DeviceInfo:
        """Approve another device by the code it shows: hand it the account key, and sign it into the list.

        Raises: `BadLinkCode`, `Offline`, `RequestError`, `ServerLied`.
        """
        return await self._devices.approve(self._connector.link, code, name)

    async def revoke(self, device: DeviceId) -> None:
        """Sign a device of the own account out for good.

        Raises: `NotFound`, `Offline`, `RequestError`, `ServerLied`.
        """
        await self._devices.revoke(self._connector.link, device)

    async def safety_number(self, user: UserId) -> str:
        """Return the 60 digits to compare with this person's; the same on both sides.

        Raises: `ServerLied`; when the key is not known yet also `Offline`, `RequestError`.
        """
        person = await self._database.run(people.get_person, user)
        if person is None:
            await self._connector.directory.refresh(self._connector.link, user)
            person = await self._database.run(people.get_person, user)
        if person is None:
            raise NotFound("Nothing is known of this person's key.")
        keys = (self._own.user, self._own.account_public, user, person.account_key)
        return await trio.to_thread.run_sync(fingerprint.safety_number, *keys)

    async def trust(self, user: UserId) -> None:
        """Accept somebody's changed account key; queued messages to them go out."""
        if await self._database.run(people.trust, user) and self._connector.sender is not None:
            self._connector.sender.retry_all()

    async def settings(self) -> Settings:
        """Return the own settings.

        Raises: `Offline`, `RequestError`.
        """
        return await self._connector.link.call("settings.get", calls.Nothing(), Settings)

    async def set_settings(self, settings: Settings) -> None:
        """Replace the own settings.

        Raises: `Offline`, `RequestError`.
        """
        await self._connector.link.call("settings.set", settings, calls.Nothing)

    async def call(self, name: str, args: Struct) -> Struct:
        """Make one CALL of `chappe.protocol.calls`; the result is of the type that `CALLS` says.

        Raises: `Offline`, `RequestError`, `NotFound` for a name that is not in `CALLS`.
        """
        if name not in calls.CALLS:
            raise NotFound(f"There is no call {name}; see chappe.protocol.calls.CALLS.")
        return await self._connector.link.call(name, args, calls.CALLS[name][1])
