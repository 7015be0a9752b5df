"""Frames to bytes and back: one WebSocket message is a msgpack array of one or more frames.

Connections, SDK and load generator call it; the session does it for them when they receive. `encode` makes
one frame, `join` puts encoded frames into a message without touching them again, so an event for a thousand
devices is encoded once. What a frame may mean, and when, is the session's; so is a SEND with too big a body
or too big wraps, because that refuses one frame and not the connection. Format:
https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from .codes import CloseCode, ProtocolError
from .frames import MAX_MESSAGE_BYTES, Frame

MAX_FRAMES: Final = 1024
"""Frames in one message. A megabyte of three-byte frames would hold the event loop for too long."""

MAX_HEADER_BYTES: Final = 3
"""What `join` adds at most."""

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[list[Frame]]] = msgspec.msgpack.Decoder(
    Annotated[list[Frame], Meta(min_length=1, max_length=MAX_FRAMES)]
)


def encode(frame: Frame) -> bytes:
    """Return one frame as bytes, ready for `join`.

    Raises: `ValueError` when it would not fit into a message even alone; whoever makes big frames must page
    them.
    """
    data = _encoder.encode(frame)
    if len(data) > MAX_MESSAGE_BYTES - MAX_HEADER_BYTES:
        raise ValueError(
            f"This {type(frame).__name__} has {len(data)} bytes; a message holds {MAX_MESSAGE_BYTES}."
        )
    return data


def join(encoded: Sequence[bytes]) -> bytes:
    """Return one WebSocket message of 1 to `MAX_FRAMES` frames; the caller minds `MAX_MESSAGE_BYTES`."""
    count = len(encoded)
    header = bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
    return header + b"".join(encoded)


def decode(data: bytes, max_bytes: int = MAX_MESSAGE_BYTES) -> list[Frame]:
    """Return the frames of one WebSocket message. Fields that a later minor version added at the end are
    skipped.

    Raises: `ProtocolError`, 4413 for a message over `max_bytes` and 4400 for everything else that is wrong.
    Its text names the place and the expected type and repeats nothing of the input.
    """
    if len(data) > max_bytes:
        raise ProtocolError(CloseCode.TOO_BIG, f"Messages hold at most {max_bytes} bytes; split this one.")
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _bad(_without_values(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _bad("This is not valid msgpack") from None
    except RecursionError:
        raise _bad("This is nested too deeply") from None


def _bad(what: str) -> ProtocolError:
    return ProtocolError(
        CloseCode.BAD_FRAME, f"{what}; a message is a msgpack array of 1 to {MAX_FRAMES} frames."
    )


def _without_values(text: str) -> str:
    """Keep msgspec's "Expected ..." as it is; "Invalid ..." quotes the peer's own bytes, so keep only the
    place.
    """
    if text.startswith("Expected"):
        return text
    return f"Unknown value{text[text.rfind(' - at ') :]}" if " - at " in text else "Unknown value"
