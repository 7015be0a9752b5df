"""The frames of protocol version 1, as msgspec Structs: this file is the schema.

A frame is a msgpack array whose first item is its type. One WebSocket message carries an array of one or more frames.
The codec turns them into bytes and back, the session decides which may come when; `docs/protocol.md` prints its
tables from here, so the page cannot drift. Lengths that the types can state are stated in the types and refused
while decoding, before any work is done.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from ..ids import Cid, ConversationId, DeviceId, MessageId, UserId
from .codes import ErrorCode

VERSION: Final = 1
SUBPROTOCOL: Final = "chappe.v1"

MAX_BODY_BYTES: Final = 64 * 1024
MAX_WRAPS_BYTES: Final = 32 * 1024
MAX_WRAP_BYTES: Final = 8 * 1024
MAX_MESSAGE_BYTES: Final = 1024 * 1024
MAX_ARGS_BYTES: Final = 512 * 1024

_ID = Meta(min_length=16, max_length=16)
User = Annotated[UserId, _ID]
Device = Annotated[DeviceId, _ID]
Conversation = Annotated[ConversationId, _ID]
Message = Annotated[MessageId, _ID]
ClientId = Annotated[Cid, _ID]
Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
KemKey = Annotated[bytes, Meta(min_length=1184, max_length=1184)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
Cursor = Annotated[bytes, Meta(max_length=64)]
Text = Annotated[str, Meta(max_length=256)]
Counter = Annotated[int, Meta(ge=0, lt=2**53)]
Blob = Annotated[bytes, Meta(max_length=MAX_BODY_BYTES)]


class Kind(IntEnum):
    """What a durable event is. The chat log keeps what is below 64; the rest only passes through inboxes."""

    MESSAGE = 1
    CONTROL = 64


class Challenge(Struct, frozen=True, array_like=True, tag=1):
    """The server's first frame; the client answers within 10 s."""

    nonce: Key
    server: Text
    versions: Annotated[list[int], Meta(max_length=16)]


class Hello(Struct, frozen=True, array_like=True, tag=2):
    """Signs a device in: `proof` is its Ed25519 signature over nonce, server name and version (`hello_transcript`).

    `newest` is the greatest message id that the device has seen: what it sends next sorts after that, on any gateway.
    """

    version: Counter
    device: Device
    proof: Signature
    cursor: Cursor | None = None
    window: Annotated[int, Meta(ge=1, le=256)] = 256
    newest: Message | None = None


class PreKeys(Struct, frozen=True, array_like=True):
    """The prekeys that every device must have: the signed one, and the last-resort KEM key; both are replaceable."""

    signed_id: Counter
    signed_key: Key
    signed_signature: Signature
    kem_id: Counter
    kem_key: KemKey
    kem_signature: Signature


class Register(Struct, frozen=True, array_like=True, tag=3):
    """Asks for an account; a verification code goes to `phone`, and nothing exists until VERIFY brings it back."""

    rid: Counter
    username: Text
    phone: Text
    password: Annotated[str, Meta(max_length=1024)]
    user: User
    account_key: Key
    device_key: Key
    device_list: Blob
    prekeys: PreKeys


class Verify(Struct, frozen=True, array_like=True, tag=4):
    """Brings the verification code back; the account and its first device exist from here on."""

    rid: Counter
    phone: Text
    code: Annotated[str, Meta(max_length=16)]


class Login(Struct, frozen=True, array_like=True, tag=5):
    """Announces a further device of an account. It waits until one of the account's devices links it."""

    rid: Counter
    username: Text
    password: Annotated[str, Meta(max_length=1024)]
    device_key: Key
    prekeys: PreKeys
    name: Text = ""


class Link(Struct, frozen=True, array_like=True, tag=6):
    """Asks whether the announced device was linked: RESULT with the sealed account key, or ERROR `link_pending`."""

    rid: Counter
    device: Device


class Limits(Struct, frozen=True, array_like=True):
    """What the server will enforce on this connection."""

    message_bytes: int = MAX_MESSAGE_BYTES
    body_bytes: int = MAX_BODY_BYTES
    wraps_bytes: int = MAX_WRAPS_BYTES
    calls: int = 100
    window_events: int = 256
    window_bytes: int = 1024 * 1024


class Welcome(Struct, frozen=True, array_like=True, tag=7):
    """The device is signed in. `now` is the server's clock in milliseconds since 1970 (UTC).

    A SEND that got no answer on an earlier connection is sent again `resend_ms` after that one ended, not sooner:
    another gateway may still be writing it. `restored_ms` changes when the server's stores were brought back to an
    earlier point: then the client gives back what it holds.
    """

    session: Annotated[bytes, _ID]
    user: User
    cursor: Cursor
    heartbeat_s: Annotated[float, Meta(gt=0, le=3600)]
    limits: Limits
    now: Counter
    resend_ms: Counter = 0
    restored_ms: Counter = 0


class Call(Struct, frozen=True, array_like=True, tag=8):
    """A request by name (see `calls.py`); answered by RESULT or ERROR with the same `rid`."""

    rid: Counter
    name: Text
    args: msgspec.Raw


class Result(Struct, frozen=True, array_like=True, tag=9):
    """The answer to CALL, REGISTER, VERIFY, LOGIN or LINK."""

    rid: Counter
    value: msgspec.Raw


class Send(Struct, frozen=True, array_like=True, gc=False, tag=10):
    """A message for a conversation: the body once, its key wrapped for every other device of both accounts.

    `cid` names the message for its sender, across retries. `after` is set on a resend only: the first try may have
    been accepted under an id greater than `after`, so look before storing it again. Too big a body or sum of wraps
    is refused by the session with `too_big`: closing the connection would make the client resend it forever.
    """

    cid: ClientId
    conv: Conversation
    kind: Kind
    body: bytes
    wraps: Annotated[dict[Device, Annotated[bytes, Meta(max_length=MAX_WRAP_BYTES)]], Meta(max_length=2048)]
    ref: Message | None = None
    after: Message | None = None


class Sent(Struct, frozen=True, array_like=True, gc=False, tag=11):
    """The message is durable under `id`. The same cid gets the same answer, with `duplicate` set."""

    cid: ClientId
    id: Message
    duplicate: bool = False


class Event(Struct, frozen=True, array_like=True, gc=False, tag=12):
    """A durable event. `n` counts up by one within a connection, from 1; `cursor`, if any, is safe to resume from."""

    n: Counter
    id: Message
    conv: Conversation
    kind: Kind
    sender: User
    device: Device
    cid: ClientId
    wrap: bytes
    body: bytes
    ref: Message | None = None
    cursor: Cursor | None = None


class Ack(Struct, frozen=True, array_like=True, gc=False, tag=13):
    """Everything up to event `n` is stored by the client."""

    n: Counter


class Drained(Struct, frozen=True, array_like=True, tag=14):
    """The offline queue is empty."""

    cursor: Cursor


class Receipt(Struct, frozen=True, array_like=True, gc=False, tag=15):
    """Watermarks of `user` in a conversation: everything up to these ids was delivered, or read. They only grow.

    Client to server: the client's own (`user` is left out). Server to client: somebody else's, or another own device's.
    """

    conv: Conversation
    delivered: Message | None = None
    read: Message | None = None
    user: User | None = None


class Typing(Struct, frozen=True, array_like=True, tag=16):
    """Somebody is typing in a conversation, or stopped. A note: no number, coalesced, first to be dropped."""

    conv: Conversation
    active: bool
    user: User | None = None


class Presence(Struct, frozen=True, array_like=True, tag=17):
    """Somebody went online or offline. `last_seen` in milliseconds since 1970; None where privacy hides it. A note."""

    user: User
    online: bool | None
    last_seen: Counter | None = None


class Ping(Struct, frozen=True, array_like=True, tag=18):
    """Are you there? To be answered within 10 s by a PONG of the same `n`."""

    n: Counter
    now: Counter


class Pong(Struct, frozen=True, array_like=True, tag=19):
    """Yes. From the server it carries the newest safe cursor."""

    n: Counter
    now: Counter
    cursor: Cursor | None = None


class GoAway(Struct, frozen=True, array_like=True, tag=20):
    """The server is going: reconnect after a random wait between the two, in milliseconds."""

    reason: Text
    wait_min_ms: Counter
    wait_max_ms: Counter


class Error(Struct, frozen=True, array_like=True, tag=21):
    """A frame was refused; `rid` or `cid` says which. `detail` is a msgpack value for codes that have one."""

    code: ErrorCode
    message: str
    rid: Counter | None = None
    cid: ClientId | None = None
    retry_after_ms: Counter | None = None
    detail: msgspec.Raw = msgspec.Raw(b"\xc0")


class MismatchedDevices(Struct, frozen=True, array_like=True):
    """The detail of `mismatched_devices`: wraps that are missing, and wraps for devices not here (any more)."""

    missing: list[Device]
    extra: list[Device]


Frame = (
    Challenge
    | Hello
    | Register
    | Verify
    | Login
    | Link
    | Welcome
    | Call
    | Result
    | Send
    | Sent
    | Event
    | Ack
    | Drained
    | Receipt
    | Typing
    | Presence
    | Ping
    | Pong
    | GoAway
    | Error
)


def hello_transcript(nonce: bytes, server: str, version: int) -> bytes:
    """Return the bytes that HELLO's proof signs. The label keeps the signature from meaning anything elsewhere."""
    return msgspec.msgpack.encode(("chappe hello", nonce, server, version))
