"""The library calls, in one place: lengths checked, errors ours, randomness handed in.

Everything else in this package is built from these functions. X25519 (RFC 7748), Ed25519 (RFC 8032) and
XChaCha20-Poly1305 come from libsodium through PyNaCl, ML-KEM-768 (FIPS 203) from `cryptography`, HKDF-SHA-256
(RFC 5869) from the standard library's HMAC. Signatures are verified by libsodium only: other verifiers accept
keys of small order and signatures that it refuses.

`random` is any function that returns so many random bytes; `os.urandom` at the rim, a seeded one in tests.
The one exception is the ML-KEM encapsulation, whose randomness OpenSSL draws itself and offers no way to hand
in.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from nacl import bindings
from nacl.exceptions import CryptoError as SodiumError

from .errors import BadKey, Tampered

Random = Callable[[int], bytes]

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
NONCE_BYTES: Final = 24
TAG_BYTES: Final = 16
KEM_SEED_BYTES: Final = 64
KEM_KEY_BYTES: Final = 1184
KEM_CIPHERTEXT_BYTES: Final = 1088

_HASH_BYTES = 32


def hkdf(key: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    """Derive `length` bytes (up to 8,160) from `key` by HKDF-SHA-256."""
    extracted = hmac.digest(salt, key, "sha256")
    block, output = b"", b""
    for n in range(1, -(-length // _HASH_BYTES) + 1):
        block = hmac.digest(extracted, block + info + bytes((n,)), "sha256")
        output += block
    return output[:length]


def seal(key: bytes, plaintext: bytes, ad: bytes, random: Random) -> bytes:
    """Encrypt under a 32-byte key with a random nonce.

    The nonce (24 bytes) comes first in what is returned.
    """
    nonce = random(NONCE_BYTES)
    return nonce + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, ad, nonce, key)


def unseal(key: bytes, sealed: bytes, ad: bytes) -> bytes:
    """Reverse `seal`. Raises: `Tampered`."""
    if len(sealed) < NONCE_BYTES + TAG_BYTES:
        raise Tampered("The ciphertext is too short; refuse it.")
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            sealed[NONCE_BYTES:], ad, sealed[:NONCE_BYTES], key
        )
    except SodiumError as error:
        raise Tampered("The ciphertext or what it is bound to was changed; refuse it.") from error


def x25519_public(private: bytes) -> bytes:
    """Return the X25519 public key of 32 private bytes."""
    _check_length(private)
    return bindings.crypto_scalarmult_base(private)


def x25519(private: bytes, public: bytes) -> bytes:
    """Return the shared secret of two X25519 keys. Raises: `BadKey` when `public` is of small order."""
    _check_length(private)
    _check_length(public)
    try:
        return bindings.crypto_scalarmult(private, public)
    except SodiumError as error:
        raise BadKey("This X25519 key is of small order; refuse it.") from error


def ed25519_public(seed: bytes) -> bytes:
    """Return the Ed25519 public key of a 32-byte seed."""
    _check_length(seed)
    return bindings.crypto_sign_seed_keypair(seed)[0]


def ed25519_public_to_x25519(public: bytes) -> bytes:
    """Return the X25519 form of an Ed25519 public key.

    Raises: `BadKey` when it is no good key, or of small order.
    """
    _check_length(public)
    try:
        return bindings.crypto_sign_ed25519_pk_to_curve25519(public)
    except SodiumError as error:
        raise BadKey("This Ed25519 key is not a point of the prime-order group; refuse it.") from error


def ed25519_seed_to_x25519(seed: bytes) -> bytes:
    """Return the X25519 private key that belongs to an Ed25519 seed."""
    _check_length(seed)
    return bindings.crypto_sign_ed25519_sk_to_curve25519(bindings.crypto_sign_seed_keypair(seed)[1])


def sign(seed: bytes, message: bytes) -> bytes:
    """Sign with the Ed25519 key of a seed; returns 64 bytes."""
    _check_length(seed)
    return bindings.crypto_sign(message, bindings.crypto_sign_seed_keypair(seed)[1])[:SIGNATURE_BYTES]


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether an Ed25519 signature fits.

    A key or a signature of the wrong length is a no, not an error.
    """
    if len(public) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        bindings.crypto_sign_open(signature + message, public)
    except SodiumError:
        return False
    return True


def kem_public(seed: bytes) -> bytes:
    """Return the ML-KEM-768 public key (1,184 bytes) of a 64-byte seed."""
    return MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()


def kem_encapsulate(public: bytes) -> tuple[bytes, bytes]:
    """Make a shared secret for the owner of `public`; returns (secret, ciphertext). Raises: `BadKey`."""
    try:
        return MLKEM768PublicKey.from_public_bytes(public).encapsulate()
    except ValueError as error:
        raise BadKey("This ML-KEM-768 key is malformed; refuse it.") from error


def kem_decapsulate(seed: bytes, ciphertext: bytes) -> bytes:
    """Return the shared secret in a ciphertext of 1,088 bytes.

    A forged one gives a secret that nobody knows.
    """
    return MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(ciphertext)


def _check_length(key: bytes) -> None:
    # The bindings hand the pointer on as it is: a short key would be read past its end.
    if len(key) != KEY_BYTES:
        raise BadKey("This key is not 32 bytes long; refuse it.")
