"""What the SDK hands to an application: plain immutable values. The store makes them, events carry them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum

from ..ids import Cid, ConversationId, DeviceId, MessageId, UserId
from ..protocol.calls import LogEntry


class ConnectionState(Enum):
    """Where the connection stands. `ONLINE` means signed in; `Client.online()` waits until the queue is drained too."""

    OFFLINE = "offline"
    CONNECTING = "connecting"
    ONLINE = "online"


class DeliveryState(IntEnum):
    """How far a message got. Grows, but for FAILED, which is final. Incoming ones are DELIVERED, or READ by oneself."""

    FAILED = 0
    QUEUED = 1
    SENT = 2
    DELIVERED = 3
    READ = 4


@dataclass(frozen=True, slots=True)
class Me:
    """The signed-in account and this device. `phone` is empty on a device that was linked later."""

    user: UserId
    username: str
    phone: str
    device: DeviceId
    device_name: str
    server: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    `id` is None until the server accepted it. `text` is None when it could not be decrypted (yet). `at_ms`: when the
    server accepted it, or when it was written here, UTC milliseconds. `reason` says why it FAILED, else it is empty.
    """

    cid: Cid
    conv: ConversationId
    peer: UserId
    sender: UserId
    device: DeviceId
    mine: bool
    id: MessageId | None
    text: str | None = field(repr=False)  # a log line with a message in it carries ids, never what was said
    reply_to: MessageId | None
    at_ms: int
    state: DeliveryState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as a list shows it. `name`: the contact's name, else the user name, else the id in hex."""

    conv: ConversationId
    peer: UserId
    name: str
    unread: int
    last: Message | None


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """One device of the own account, from the signed list. `current`: this one."""

    device: DeviceId
    name: str
    current: bool


@dataclass(frozen=True, slots=True)
class PresenceInfo:
    """What is known of somebody's presence. None: privacy hides it. `last_seen` in UTC milliseconds."""

    user: UserId
    online: bool | None
    last_seen: int | None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A page of the server's log, newest first (ciphertext), and what of it this device never received."""

    entries: list[LogEntry]
    more: bool
    missing: list[MessageId]
