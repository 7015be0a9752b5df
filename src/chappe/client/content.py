"""What is inside the encryption: the content of messages and controls, and what binds a wrapped key to its body.

The sender encodes one `Content`, pads and seals it (`crypto/envelope.py`), and wraps the key per device. Every
content names the account it is for: another own device learns from it whose conversation it is.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from ..crypto.envelope import Context
from ..crypto.errors import Tampered
from ..protocol.frames import ClientId, Counter, Message, User

MAX_TEXT_BYTES: Final = 48 * 1024
"""Of UTF-8. Leaves room in a 64 KiB body for the padding and the rest."""

MAX_ASKED: Final = 50
"""Messages that one retry request can name."""


class Text(Struct, frozen=True, array_like=True, tag=1):
    """A text message.

    `at_ms` is the sender's clock. `number` counts this device's messages in the conversation from 1, without gaps,
    so that the receiver notices when one was withheld.
    """

    to: User
    text: str
    at_ms: Counter
    number: Counter
    reply_to: Message | None = None

    def __repr__(self) -> str:
        return f"<Text {self.number}>"


class Retry(Struct, frozen=True, array_like=True, tag=2):
    """Asks a device to send messages of its own again, which could not be opened."""

    to: User
    cids: Annotated[list[ClientId], Meta(max_length=MAX_ASKED)]


class Resent(Struct, frozen=True, array_like=True, tag=3):
    """A message again, for the device that asked."""

    to: User
    cid: ClientId
    text: Text


Content = Text | Retry | Resent

_decoder: Final = msgspec.msgpack.Decoder(Content)


def encode(content: Content) -> bytes:
    """Return content as bytes."""
    return msgspec.msgpack.encode(content)


def decode(data: bytes) -> Content:
    """Read content. Raises: `Tampered`: nobody with this protocol's keys writes anything else."""
    try:
        content: Content = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Tampered("This content is malformed, or of a later version.") from error
    return content


def binding(context: Context, body: bytes) -> bytes:
    """Return the associated data of a wrap: it fits this body in this place and no other."""
    return hashlib.sha256(msgspec.msgpack.encode((context, body))).digest()
