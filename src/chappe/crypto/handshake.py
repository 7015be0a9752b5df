"""How two devices that never met agree on a secret, while one of them is offline.

Shaped like Signal's PQXDH: three or four X25519 agreements and one ML-KEM-768 secret go into one HKDF, so
that the start of a session holds against whoever breaks only one of the two. `sessions.py` calls `initiate`
on the side that writes first and `respond` on the other; what happens to the secret afterwards is
`ratchet.py`.

Unlike PQXDH, who speaks to whom with which prekeys is one transcript, and its hash (the binding) goes into
the key derivation and into the associated data of every message: a server that swaps any of it makes two
sides that cannot read each other. Source: https://signal.org/docs/specifications/pqxdh/, section 3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from struct import Struct as Layout
from typing import Final

import msgspec
from msgspec import Struct

from ..ids import UserId, device_id
from ..protocol.calls import Bundle
from . import keys, primitives
from .errors import BadBundle, BadKey, BadSignature, NoSession, Tampered
from .keys import DeviceKeys, PreKey
from .primitives import KEM_CIPHERTEXT_BYTES, KEY_BYTES, Random
from .secret import Secret

_HEADER = Layout(f">{KEY_BYTES}sQQQ{KEM_CIPHERTEXT_BYTES}s")
HEADER_BYTES: Final = _HEADER.size

_LABEL = b"chappe pqxdh 1"


class Party(Struct, frozen=True, array_like=True):
    """One end of a session: an account, its Ed25519 key, and the Ed25519 key of one of its devices."""

    user: UserId
    account_key: bytes
    device_key: bytes


class Header(Struct, frozen=True):
    """What the responder needs: the initiator's ephemeral key, which prekeys were used, the KEM ciphertext.

    `one_time_id` is 0 when there was no one-time key. On the wire it has a fixed layout of `HEADER_BYTES`, so
    that one header has one encoding.
    """

    ephemeral: bytes
    signed_id: int
    kem_id: int
    one_time_id: int
    kem_ciphertext: bytes

    def encode(self) -> bytes:
        """Return the wire form."""
        return _HEADER.pack(
            self.ephemeral, self.signed_id, self.kem_id, self.one_time_id, self.kem_ciphertext
        )


class Agreed(Secret, frozen=True):
    """What both sides now have: the secret (32 bytes) and the binding (32 bytes).

    `header` is what the responder is told; `signed_private` and `signed_public` are the responder's signed
    prekey, the first ratchet key; the private half is empty on the initiator's side.
    """

    secret: bytes
    binding: bytes
    header: Header
    signed_public: bytes
    signed_private: bytes = b""


def decode_header(encoded: bytes) -> Header:
    """Read a header of exactly `HEADER_BYTES`."""
    return Header(*_HEADER.unpack(encoded))


def initiate(
    own: DeviceKeys,
    initiator: Party,
    responder: Party,
    bundle: Bundle,
    random: Random,
    *,
    encapsulate: Callable[[bytes], tuple[bytes, bytes]] = primitives.kem_encapsulate,
) -> Agreed:
    """Agree with the owner of a bundle. `responder.device_key` must come from a verified device list.

    `encapsulate` is replaced to make reproducible vectors only. Raises: `BadBundle`, `BadSignature`,
    `BadKey`.
    """
    _check(bundle, responder.device_key)
    ephemeral = random(KEY_BYTES)
    kem_secret, kem_ciphertext = encapsulate(bundle.kem_key)
    one_time = bundle.one_time
    agreements = [
        primitives.x25519(primitives.ed25519_seed_to_x25519(own.seed), bundle.signed_key),
        primitives.x25519(ephemeral, primitives.ed25519_public_to_x25519(bundle.device_key)),
        primitives.x25519(ephemeral, bundle.signed_key),
        *([primitives.x25519(ephemeral, one_time.key)] if one_time else ()),
    ]
    header = Header(
        primitives.x25519_public(ephemeral),
        bundle.signed_id,
        bundle.kem_id,
        one_time.id if one_time else 0,
        kem_ciphertext,
    )
    binding = _binding(
        initiator, responder, header, (bundle.signed_key, bundle.kem_key, one_time.key if one_time else b"")
    )
    return Agreed(derive(agreements, kem_secret, _LABEL + binding), binding, header, bundle.signed_key)


def respond(own: DeviceKeys, initiator: Party, responder: Party, header: Header) -> Agreed:
    """Agree with whoever sent a header; `own` is not changed: keep its one-time keys until a message was
    opened.

    Raises: `NoSession` when a prekey it names is gone, `Tampered` when its ephemeral key is of small order.
    """
    signed = _find(own.signed, header.signed_id)
    kem_seed = own.one_time_kem.get(header.kem_id) or _find(own.kem, header.kem_id).private
    one_time = b""
    if header.one_time_id:
        one_time = own.one_time.get(header.one_time_id, b"")
        if not one_time:
            raise NoSession("The one-time key of this first message was used before; ask for a new session.")
    try:
        agreements = [
            primitives.x25519(signed.private, primitives.ed25519_public_to_x25519(initiator.device_key)),
            primitives.x25519(primitives.ed25519_seed_to_x25519(own.seed), header.ephemeral),
            primitives.x25519(signed.private, header.ephemeral),
            *([primitives.x25519(one_time, header.ephemeral)] if one_time else ()),
        ]
    except BadKey as error:
        raise Tampered("The first message carries a key of small order; refuse it.") from error
    kem_secret = primitives.kem_decapsulate(kem_seed, header.kem_ciphertext)
    signed_public = primitives.x25519_public(signed.private)
    publics = (
        signed_public,
        primitives.kem_public(kem_seed),
        primitives.x25519_public(one_time) if one_time else b"",
    )
    binding = _binding(initiator, responder, header, publics)
    secret = derive(agreements, kem_secret, _LABEL + binding)
    return Agreed(secret, binding, header, signed_public, signed.private)


def derive(agreements: Sequence[bytes], kem_secret: bytes, info: bytes) -> bytes:
    """Return the session's secret. The 32 bytes of 0xFF keep it apart from XEdDSA, as in X3DH and PQXDH."""
    material = b"\xff" * KEY_BYTES + b"".join(agreements) + kem_secret
    return primitives.hkdf(material, salt=bytes(KEY_BYTES), info=info, length=KEY_BYTES)


def _check(bundle: Bundle, device_key: bytes) -> None:
    if bundle.device_key != device_key or bundle.device != device_id(device_key):
        raise BadBundle("This bundle is not of the device it was asked for; do not use it.")
    if bundle.one_time is not None and not bundle.one_time.id:
        raise BadBundle("This bundle has a one-time key with the id 0; do not use it.")
    signed = keys.signed_transcript(bundle.signed_id, bundle.signed_key)
    kem = keys.kem_transcript(bundle.kem_id, bundle.kem_key)
    if not primitives.is_signed(device_key, signed, bundle.signed_signature):
        raise BadSignature("The signed prekey is not signed by its device; do not use it.")
    if not primitives.is_signed(device_key, kem, bundle.kem_signature):
        raise BadSignature("The KEM key is not signed by its device; do not use it.")


def _find(prekeys: tuple[PreKey, ...], prekey_id: int) -> PreKey:
    for prekey in prekeys:
        if prekey.id == prekey_id:
            return prekey
    raise NoSession("The prekey of this first message is gone; ask for a new session.")


def _binding(
    initiator: Party, responder: Party, header: Header, publics: tuple[bytes, bytes, bytes]
) -> bytes:
    transcript = msgspec.msgpack.encode((_LABEL, initiator, responder, header.encode(), publics))
    return hashlib.sha256(transcript).digest()
