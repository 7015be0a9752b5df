"""The requests that CALL can name, with the types of their arguments and results.

`CALLS` is the table that server, SDK and documentation read. Arguments and results are msgpack arrays in the order of
the fields here. A call that is not in the table is refused with `unknown_call`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from .frames import (
    Blob,
    ClientId,
    Conversation,
    Counter,
    Device,
    KemKey,
    Key,
    Kind,
    Message,
    PreKeys,
    Receipt,
    Signature,
    Text,
    User,
)

MAX_ONE_TIME_KEYS: Final = 200
MAX_HISTORY_ROWS: Final = 200
MAX_HISTORY_BYTES: Final = 512 * 1024


class Nothing(Struct, frozen=True, array_like=True):
    """No arguments, or no result."""


class Privacy(StrEnum):
    """Who may see something."""

    EVERYONE = "everyone"
    CONTACTS = "contacts"
    NOBODY = "nobody"


class Settings(Struct, frozen=True, array_like=True):
    """A person's own settings. `online` and `last_seen`: who may see them; whoever hides his own sees nobody's."""

    online: Privacy = Privacy.EVERYONE
    last_seen: Privacy = Privacy.EVERYONE


class UserRef(Struct, frozen=True, array_like=True):
    """One account by id."""

    user: User


class Profile(Struct, frozen=True, array_like=True):
    """What anyone signed in may know of an account."""

    user: User
    username: str


class DeviceList(Struct, frozen=True, array_like=True):
    """An account's key and its device list, signed by that key (see `crypto/device_list.py`): verify before any use."""

    user: User
    account_key: Key
    signed: Blob


class SealedLink(Struct, frozen=True, array_like=True):
    """What LINK answers: the account key sealed for the new device, and the list that now holds it."""

    user: User
    sealed: Blob
    devices: DeviceList


class LoginResult(Struct, frozen=True, array_like=True):
    """What LOGIN answers. `pending_s`: how long the announcement stays good."""

    user: User
    device: Device
    pending_s: int


class UpdateDevices(Struct, frozen=True, array_like=True):
    """A new signed device list of one's own account, of a greater version.

    A device that is new in it must have been announced by LOGIN, and `sealed` is for it; one that is gone from it
    is revoked: it is disconnected and its keys are deleted.
    """

    signed: Blob
    sealed: Blob = b""


class OneTimeKey(Struct, frozen=True, array_like=True):
    """A one-time X25519 prekey."""

    id: Counter
    key: Key


class OneTimeKem(Struct, frozen=True, array_like=True):
    """A one-time ML-KEM-768 prekey, signed by its device."""

    id: Counter
    key: KemKey
    signature: Signature


class PublishKeys(Struct, frozen=True, array_like=True):
    """Prekeys of the calling device: fresh one-time keys to add, and optionally new signed ones to replace the old."""

    one_time: Annotated[list[OneTimeKey], Meta(max_length=MAX_ONE_TIME_KEYS)]
    kem: Annotated[list[OneTimeKem], Meta(max_length=MAX_ONE_TIME_KEYS)]
    prekeys: PreKeys | None = None


class KeyCount(Struct, frozen=True, array_like=True):
    """How many one-time keys of the calling device are left on the server."""

    one_time: int
    kem: int


class ClaimKeys(Struct, frozen=True, array_like=True):
    """Asks for one bundle for each of these devices of an account; a one-time key is handed out exactly once."""

    user: User
    devices: Annotated[list[Device], Meta(min_length=1, max_length=64)]


class Bundle(Struct, frozen=True, array_like=True):
    """What it takes to start a session with a device. `one_time` is None when they ran out."""

    device: Device
    device_key: Key
    signed_id: Counter
    signed_key: Key
    signed_signature: Signature
    kem_id: Counter
    kem_key: KemKey
    kem_signature: Signature
    one_time: OneTimeKey | None = None


class Bundles(Struct, frozen=True, array_like=True):
    """The bundles, in the order asked for; unknown and revoked devices are left out."""

    bundles: list[Bundle]


class AddContact(Struct, frozen=True, array_like=True):
    """Adds or renames a contact, found by phone number (E.164) or by user name."""

    who: Text
    name: Annotated[str, Meta(max_length=64)] = ""


class Contact(Struct, frozen=True, array_like=True):
    """A contact with the owner's own name for it. `phone` is set when the owner found it by phone number."""

    user: User
    username: str
    name: str
    phone: str | None = None


class Contacts(Struct, frozen=True, array_like=True):
    """The caller's contacts, by name."""

    contacts: list[Contact]


class OpenedConversation(Struct, frozen=True, array_like=True):
    """The one-to-one conversation with an account; made by asking for it."""

    conv: Conversation


class GetHistory(Struct, frozen=True, array_like=True):
    """A page of a conversation's log, newest first, of what came before `before` (the newest when None)."""

    conv: Conversation
    before: Message | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_HISTORY_ROWS)] = 50


class LogEntry(Struct, frozen=True, array_like=True):
    """One message as the log holds it: ciphertext."""

    id: Message
    sender: User
    device: Device
    cid: ClientId
    kind: Kind
    ref: Message | None
    body: bytes


class History(Struct, frozen=True, array_like=True):
    """The page; `more` says whether there is an older one."""

    entries: list[LogEntry]
    more: bool


class GetReceipts(Struct, frozen=True, array_like=True):
    """Asks for everybody's watermarks in these conversations."""

    convs: Annotated[list[Conversation], Meta(max_length=200)]


class Receipts(Struct, frozen=True, array_like=True):
    """The watermarks; `user` is always set."""

    receipts: list[Receipt]


class WatchPresence(Struct, frozen=True, array_like=True):
    """Replaces the set of accounts whose presence this connection hears of."""

    users: Annotated[list[User], Meta(max_length=1000)]


CALLS: Final[dict[str, tuple[type[Struct], type[Struct]]]] = {
    "devices.get": (UserRef, DeviceList),
    "devices.update": (UpdateDevices, Nothing),
    "keys.publish": (PublishKeys, KeyCount),
    "keys.count": (Nothing, KeyCount),
    "keys.claim": (ClaimKeys, Bundles),
    "users.get": (UserRef, Profile),
    "contacts.add": (AddContact, Contact),
    "contacts.remove": (UserRef, Nothing),
    "contacts.list": (Nothing, Contacts),
    "conversations.open": (UserRef, OpenedConversation),
    "history.get": (GetHistory, History),
    "receipts.get": (GetReceipts, Receipts),
    "presence.watch": (WatchPresence, Nothing),
    "settings.get": (Nothing, Settings),
    "settings.set": (Settings, Nothing),
}
