"""The body of a message: encrypted once, however many devices it is for.

The sender seals the content under a fresh random key and wraps that key for each device (`sessions.py`).
Padding hides the length: steps of 160 bytes up to 1 KiB, then Padmé, which costs at most 12 % and leaves few
possible lengths. What the server could move elsewhere (conversation, sender, message name, kind, reference)
is associated data.

XChaCha20-Poly1305 alone lets a sender make one body that opens differently under two keys, so that two
devices see two messages; the body therefore carries a commitment to its key. Sources:
https://lbarman.ch/blog/padme/; Grubbs et al., "Message Franking via Committing AEAD" (2017).
"""

from __future__ import annotations

import hmac
from typing import Final

import msgspec
from msgspec import Struct

from ..ids import Cid, ConversationId, DeviceId, MessageId, UserId
from . import primitives
from .errors import Tampered
from .primitives import KEY_BYTES, NONCE_BYTES, TAG_BYTES, Random

PAD_STEP_BYTES: Final = 160
PADME_FROM_BYTES: Final = 1120
"""The first step past 1 KiB.

From there Padmé's steps take over, and a longer text never gets a shorter body.
"""

_VERSION = b"\x01"
_LABEL = b"chappe envelope 1"
_COMMITMENT_BYTES = 32

OVERHEAD_BYTES: Final = len(_VERSION) + _COMMITMENT_BYTES + NONCE_BYTES + TAG_BYTES


class Context(Struct, frozen=True, array_like=True):
    """What a body belongs to; sender and receiver must give the same."""

    conv: ConversationId
    sender: UserId
    device: DeviceId
    cid: Cid
    kind: int
    ref: MessageId | None = None


def seal(plaintext: bytes, context: Context, random: Random) -> tuple[bytes, bytes]:
    """Pad and encrypt; returns the key (32 bytes, to be wrapped for each device) and the body."""
    key = random(KEY_BYTES)
    commitment, cipher_key = _derive(key)
    padded = (plaintext + b"\x80").ljust(padded_length(len(plaintext) + 1), b"\0")
    return key, _VERSION + commitment + primitives.seal(cipher_key, padded, _associated(context), random)


def open(key: bytes, body: bytes, context: Context) -> bytes:  # noqa: A001 - the other half of `seal`
    """Return the plaintext of a body. Raises: `Tampered`."""
    commitment, cipher_key = _derive(key)
    start = _VERSION + commitment
    if not hmac.compare_digest(body[: len(start)], start):
        raise Tampered("This body is of an unknown version or was sealed with another key; refuse it.")
    plaintext, mark, _ = primitives.unseal(cipher_key, body[len(start) :], _associated(context)).rpartition(
        b"\x80"
    )
    if not mark:
        raise Tampered("This body has no end mark; refuse it.")
    return plaintext


def padded_length(length: int) -> int:
    """Return to how many bytes so many are padded."""
    if length <= PADME_FROM_BYTES:
        return -(-length // PAD_STEP_BYTES) * PAD_STEP_BYTES
    exponent = length.bit_length() - 1
    low_bits = exponent - exponent.bit_length()
    return -(-length >> low_bits) << low_bits


def _derive(key: bytes) -> tuple[bytes, bytes]:
    derived = primitives.hkdf(key, salt=b"", info=_LABEL, length=_COMMITMENT_BYTES + KEY_BYTES)
    return derived[:_COMMITMENT_BYTES], derived[_COMMITMENT_BYTES:]


def _associated(context: Context) -> bytes:
    return msgspec.msgpack.encode((_LABEL, context))
