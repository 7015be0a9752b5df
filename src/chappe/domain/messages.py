"""Messages, inbox rows and watermarks: what the message store keeps and the gateway hands around.

Structs and not dataclasses, because a few of them are made for every message: a frozen dataclass of ten fields takes
ten times as long to make, and the garbage collector looked at every one of them (`gc=False`: they hold no cycles).
What is journalled is an array: names would be a third of the bytes.
"""

from __future__ import annotations

from msgspec import Struct

from ..ids import Cid, ConversationId, DeviceId, MessageId, UserId
from ..protocol.frames import Kind


class StoredMessage(Struct, frozen=True, gc=False, array_like=True):
    """One accepted message and, for every device that must hear it, its wrapped key.

    `kind` below 64 goes to the log and the inboxes, from 64 on only to the inboxes. `id` is its place in the order of
    the conversation, on every device. Its place in the inboxes is another one when it is stored once more, since
    readers may have gone past the first: `again`, made then.
    """

    id: MessageId
    conv: ConversationId
    kind: Kind
    sender: UserId
    device: DeviceId
    cid: Cid
    ref: MessageId | None
    body: bytes
    wraps: dict[DeviceId, bytes]
    again: MessageId | None = None

    @property
    def pos(self) -> MessageId:
        """Where it stands in the inboxes: cursors go by this."""
        return self.again or self.id


class LogRow(Struct, frozen=True, gc=False):
    """One row of a conversation's log."""

    id: MessageId
    conv: ConversationId
    kind: Kind
    sender: UserId
    device: DeviceId
    cid: Cid
    ref: MessageId | None
    body: bytes


class InboxRow(Struct, frozen=True, gc=False):
    """What one device has to hear. `pos` is its place in the inbox, `id` that in the conversation."""

    id: MessageId
    conv: ConversationId
    kind: Kind
    sender: UserId
    sender_device: DeviceId
    cid: Cid
    ref: MessageId | None
    wrap: bytes
    body: bytes
    pos: MessageId


class Watermark(Struct, frozen=True, gc=False, array_like=True):
    """How far `user` got in a conversation. Only grows; see `merged`."""

    conv: ConversationId
    user: UserId
    delivered: MessageId | None
    read: MessageId | None


def merged(old: Watermark | None, new: Watermark) -> Watermark:
    """Return the later of both in each column; what was read was delivered."""
    read = _later(old.read if old else None, new.read)
    delivered = _later(old.delivered if old else None, new.delivered)
    return Watermark(new.conv, new.user, _later(delivered, read), read)


def _later(one: MessageId | None, other: MessageId | None) -> MessageId | None:
    return max((message for message in (one, other) if message is not None), default=None)
