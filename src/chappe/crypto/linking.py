"""Handing the account key to a new device.

The new device shows a code (as text or QR) that a person carries to a device of the account; that one seals
the account key for it, and the blob comes back through the server. The code holds the new device's key, an
ephemeral X25519 key and a secret that the blob must echo: the server, which sees neither code nor secret, can
neither read the blob nor put another one in its place. The blob is a libsodium sealed box. The signed device
list that makes the new device known is `device_list.py`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct
from nacl import bindings
from nacl.exceptions import CryptoError as SodiumError

from ..ids import DeviceId, device_id
from ..protocol.decoders import decoder_of
from . import keys, primitives
from .errors import BadLink
from .keys import AccountKey
from .primitives import KEY_BYTES, NONCE_BYTES, Random
from .secret import Secret

PREFIX: Final = "chappe-link-1:"

_CHECKSUM_BYTES = 4
_Bytes32 = Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]


class LinkSecret(Secret, frozen=True):
    """What the new device keeps until the blob arrives."""

    device_key: bytes
    private: bytes
    echo: bytes


class LinkCode(Secret, frozen=True):
    """What a code says. `device` is the id under which the server must have announced the new device."""

    device_key: bytes
    ephemeral: bytes
    echo: bytes

    @property
    def device(self) -> DeviceId:
        """The id of the new device."""
        return device_id(self.device_key)


class _Handover(Struct, frozen=True, array_like=True):
    label: Literal["chappe link 1"]
    echo: _Bytes32
    device_key: _Bytes32
    seed: _Bytes32


def new_code(device_public: bytes, random: Random) -> tuple[LinkSecret, str]:
    """Return the secret to keep and the code to show, one line of text.

    `device_public`: the new device's Ed25519 key.
    """
    private, echo = random(KEY_BYTES), random(KEY_BYTES)
    code = device_public + primitives.x25519_public(private) + echo
    text = base64.urlsafe_b64encode(code + _checksum(code)).decode()
    return LinkSecret(device_public, private, echo), PREFIX + text


def read_code(text: str) -> LinkCode:
    """Read a code as it was typed or scanned. Raises: `BadLink`."""
    try:
        raw = base64.b64decode(text.strip().removeprefix(PREFIX), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadLink("This is not a link code; copy it again from the new device.") from error
    code, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    if len(code) != 3 * KEY_BYTES or checksum != _checksum(code):
        raise BadLink("This link code is incomplete or mistyped; copy it again from the new device.")
    return LinkCode(*(code[at : at + KEY_BYTES] for at in range(0, len(code), KEY_BYTES)))


def seal(text: str, account: AccountKey, random: Random) -> bytes:
    """Seal the account key for the device that shows this code. Raises: `BadLink`."""
    code = read_code(text)
    handover = msgspec.msgpack.encode(_Handover("chappe link 1", code.echo, code.device_key, account.seed))
    private = random(KEY_BYTES)
    public = primitives.x25519_public(private)
    nonce = hashlib.blake2b(public + code.ephemeral, digest_size=NONCE_BYTES).digest()
    try:
        return public + bindings.crypto_box_easy(handover, nonce, code.ephemeral, private)
    except SodiumError as error:
        raise BadLink("This link code holds a key of small order; do not use it.") from error


def open(secret: LinkSecret, sealed: bytes, account_public: bytes) -> AccountKey:  # noqa: A001 - of `seal`
    """Return the account key from a blob.

    Raises: `BadLink` unless it is for this code, device and account.
    """
    try:
        opened = bindings.crypto_box_seal_open(
            sealed, primitives.x25519_public(secret.private), secret.private
        )
        handover = decoder_of(_Handover).decode(opened)
    except (SodiumError, ValueError, RecursionError) as error:
        raise BadLink("The account key cannot be opened with this code; start the linking again.") from error
    if not hmac.compare_digest(handover.echo + handover.device_key, secret.echo + secret.device_key):
        raise BadLink("The account key was sealed for another code; start the linking again.")
    account = keys.account_key(handover.seed)
    if account.public != account_public:
        raise BadLink("This is the key of another account; start the linking again.")
    return account


def _checksum(code: bytes) -> bytes:
    return hashlib.sha256(code).digest()[:_CHECKSUM_BYTES]
