"""The client: what an application holds. Opens the store, runs the connection under a supervisor, offers the calls."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import Struct

from ..ids import Cid, ConversationId, DeviceId, MessageId, UserId
from ..protocol.calls import Contact, Settings
from .events import EventStream
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


class Client:
    """A signed-in device. Use it as `async with Client(folder, passphrase) as client`."""

    def __init__(
        self,
        folder: Path,
        passphrase: str,
        *,
        server: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """`server` overrides the address that the profile holds."""

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError

    @property
    def me(self) -> Me:
        raise NotImplementedError

    @property
    def connection(self) -> ConnectionState:
        raise NotImplementedError

    async def online(self) -> None:
        """Wait until signed in and the offline queue is drained. Raises: `Refused` when that can never be."""
        raise NotImplementedError

    def events(self) -> AbstractAsyncContextManager[EventStream]:
        """Hear every event from here on, in an own bounded queue."""
        raise NotImplementedError

    def conversation(self, user: UserId) -> ConversationId:
        """Return the id of the conversation with somebody (oneself too)."""
        raise NotImplementedError

    async def send(self, user: UserId, text: str, *, reply_to: MessageId | None = None) -> Message:
        """Store a message and queue it; returns at once with state QUEUED, online or not."""
        raise NotImplementedError

    async def wait(self, cid: Cid, state: DeliveryState) -> Message:
        """Wait until an own message got at least this far. Raises: `SendFailed`, `NotFound`."""
        raise NotImplementedError

    async def mark_read(self, conv: ConversationId, up_to: MessageId) -> None:
        """Everything up to this id was read."""
        raise NotImplementedError

    async def set_typing(self, conv: ConversationId, active: bool) -> None:
        """Tell the peer that one types, or stopped. Does nothing when offline."""
        raise NotImplementedError

    async def history(
        self, conv: ConversationId, before: MessageId | None = None, limit: int = 50
    ) -> list[Message]:
        """Return the newest `limit` local messages before `before`, oldest first; unsent ones last."""
        raise NotImplementedError

    async def message(self, cid: Cid) -> Message:
        """Return an own message. Raises: `NotFound`."""
        raise NotImplementedError

    async def fetch_history(
        self, conv: ConversationId, before: MessageId | None = None, limit: int = 50
    ) -> HistoryPage:
        """Return a page of the server's log and what of it this device never received. Raises: `Offline`, `RequestError`."""
        raise NotImplementedError

    async def conversations(self) -> list[Conversation]:
        """Return all conversations, the one with the newest message first."""
        raise NotImplementedError

    async def find(self, who: str) -> UserId:
        """Find somebody by contact name, user name, phone number or id in hex; locally. Raises: `NotFound`."""
        raise NotImplementedError

    async def add_contact(self, who: str, name: str = "") -> Contact:
        """Add or rename a contact by user name or phone number. Raises: `Offline`, `RequestError`."""
        raise NotImplementedError

    async def remove_contact(self, user: UserId) -> None:
        """Remove a contact. Raises: `Offline`, `RequestError`."""
        raise NotImplementedError

    async def contacts(self) -> list[Contact]:
        """Return the contacts as last heard from the server, by name; works offline."""
        raise NotImplementedError

    async def watch(self, users: Sequence[UserId]) -> None:
        """Replace the set of people whose presence is reported; kept across reconnects."""
        raise NotImplementedError

    def presence(self, user: UserId) -> PresenceInfo | None:
        """Return what was last heard of somebody's presence on this connection."""
        raise NotImplementedError

    async def devices(self) -> list[DeviceInfo]:
        """Return the own devices. Raises: `Offline`, `RequestError`."""
        raise NotImplementedError

    async def link(self, code: str) -> DeviceInfo:
        """Approve another device by the code it shows. Raises: `Offline`, `RequestError`, `ClientError`."""
        raise NotImplementedError

    async def revoke(self, device: DeviceId) -> None:
        """Sign a device of the own account out for good. Raises: `Offline`, `RequestError`, `NotFound`."""
        raise NotImplementedError

    async def safety_number(self, user: UserId) -> str:
        """Return the 60 digits to compare. Raises: `Offline` when the key is not known yet, `RequestError`."""
        raise NotImplementedError

    async def trust(self, user: UserId) -> None:
        """Accept somebody's changed account key; queued messages to them go out."""
        raise NotImplementedError

    async def settings(self) -> Settings:
        """Return the own settings. Raises: `Offline`, `RequestError`."""
        raise NotImplementedError

    async def set_settings(self, settings: Settings) -> None:
        """Replace the own settings. Raises: `Offline`, `RequestError`."""
        raise NotImplementedError

    async def call(self, name: str, args: Struct) -> Struct:
        """Make one CALL of `chappe.protocol.calls`. Raises: `Offline`, `RequestError`."""
        raise NotImplementedError
