"""What gateways send each other, to bytes and back.

A frame is a msgpack array with its version first. One that carries nothing is a beat: it tells the stream's last
number. Fields added at the end by a later minor change are skipped; anything else that is not understood is a
`BadFrame`, which the receiver takes for a loss. Format: https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from ..domain.messages import InboxRow, StoredMessage
from ..ids import DeviceId
from ..protocol.frames import ClientId, Conversation, Counter, Device, Kind, Message, User
from .errors import BadFrame
from .numbering import Number
from .values import GATEWAY_BYTES, GatewayId

VERSION: Final = 1
Gateway = Annotated[GatewayId, Meta(min_length=GATEWAY_BYTES, max_length=GATEWAY_BYTES)]
Positive = Annotated[int, Meta(ge=1, lt=2**53)]


class Wake(Struct, frozen=True, gc=False, array_like=True):
    """One message, with the wraps of those devices that are at the receiving gateway."""

    id: Message
    conv: Conversation
    kind: Kind
    sender: User
    device: Device
    cid: ClientId
    ref: Message | None
    body: bytes
    wraps: dict[Device, bytes]
    pos: Message

    def row(self, device: DeviceId) -> InboxRow:
        """Return what this device has to hear."""
        return InboxRow(
            self.id, self.conv, self.kind, self.sender, self.device, self.cid, self.ref,
            self.wraps[device], self.body, self.pos,
        )  # fmt: skip


def wake_of(message: StoredMessage, devices: list[DeviceId]) -> Wake:
    """Return a message as it goes to the gateway where these devices are."""
    wraps = message.wraps
    return Wake(
        message.id, message.conv, message.kind, message.sender, message.device, message.cid, message.ref,
        message.body, {device: wraps[device] for device in devices}, message.pos,
    )  # fmt: skip


class Kick(Struct, frozen=True, gc=False, array_like=True):
    """This session of a device was replaced by a newer one."""

    device: Device
    session: Counter


class Note(Struct, frozen=True, gc=False, array_like=True):
    """An encoded frame for some devices that may be lost: typing, a receipt."""

    devices: list[Device]
    note: bytes


class Changed(Struct, frozen=True, gc=False, array_like=True):
    """An account's device list changed; these devices were revoked."""

    user: User
    revoked: list[Device]


class Seen(Struct, frozen=True, gc=False, array_like=True):
    """An account came or went."""

    user: User
    is_online: bool
    at_ms: Counter


class Direct(Struct, frozen=True, array_like=True):
    """What goes to one gateway."""

    version: Literal[1]
    sender: Gateway
    epoch: Positive
    n: Counter
    wakes: list[Wake] = []
    kicks: list[Kick] = []
    notes: list[Note] = []

    @property
    def is_beat(self) -> bool:
        """Whether it only tells the stream's last number."""
        return not (self.wakes or self.kicks or self.notes)


class Broadcast(Struct, frozen=True, array_like=True):
    """What goes to every gateway. `is_alarm`: anybody may have missed wakes. `is_goodbye`: nothing more will come;
    of `gone` neither, which died.
    """

    version: Literal[1]
    sender: Gateway
    epoch: Positive
    n: Counter
    changes: list[Changed] = []
    seen: list[Seen] = []
    is_alarm: bool = False
    is_goodbye: bool = False
    gone: list[Gateway] = []

    @property
    def is_beat(self) -> bool:
        """Whether it only tells the stream's last number."""
        return not (self.changes or self.seen or self.is_alarm or self.is_goodbye or self.gone)


_encoder: Final = msgspec.msgpack.Encoder()
_direct: Final = msgspec.msgpack.Decoder(Direct)
_broadcast: Final = msgspec.msgpack.Decoder(Broadcast)
_Frame = TypeVar("_Frame", Direct, Broadcast)


def encode(frame: Direct | Broadcast) -> bytes:
    """Return a frame as bytes."""
    return _encoder.encode(frame)


def direct_beat(sender: GatewayId, number: Number) -> bytes:
    """Return what tells a gateway the last number of its stream."""
    return _encoder.encode((VERSION, sender, *number))


def decode_direct(data: bytes) -> Direct:
    """Return what came on a gateway's own channel. Raises: `BadFrame`."""
    return _decode(_direct, data)


def decode_broadcast(data: bytes) -> Broadcast:
    """Return what came on the channel of all. Raises: `BadFrame`."""
    return _decode(_broadcast, data)


def _decode(decoder: msgspec.msgpack.Decoder[_Frame], data: bytes) -> _Frame:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # Its text would quote the frame.
        raise BadFrame(f"A frame of the bus cannot be read ({type(error).__name__}).") from None
