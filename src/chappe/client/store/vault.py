"""Sealing of columns: XChaCha20-Poly1305 under a key that Argon2id makes from the passphrase.

The database calls it for every value that is nobody else's business: texts, names, keys, ratchets. The place of a
value (table and row) is its associated data, so rows cannot be swapped. Ids, times and what the server sees anyway
stay plain, for the indexes. Source: libsodium, https://doc.libsodium.org/password_hashing/default_phf.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct
from nacl import bindings, exceptions

from ..errors import StoreDamaged

Random = Callable[[int], bytes]

_NONCE_BYTES: Final = 24


class Kdf(Struct, frozen=True):
    """How the key was made: salt (16 bytes) and libsodium's limits."""

    salt: bytes
    operations: int
    memory_bytes: int


def new_kdf(random: Random) -> Kdf:
    """Choose how a new store's key is made: a tenth of a second and 64 MiB."""
    return Kdf(
        random(16),
        bindings.crypto_pwhash_argon2id_OPSLIMIT_INTERACTIVE,
        bindings.crypto_pwhash_argon2id_MEMLIMIT_INTERACTIVE,
    )


class Vault:
    """Seals and opens values under one key."""

    __slots__ = ("_key", "_random")

    def __init__(self, passphrase: str, kdf: Kdf, random: Random) -> None:
        """Takes the time and memory that `kdf` says: call it in a thread."""
        self._random = random
        self._key: bytes = bindings.crypto_pwhash_alg(
            32,
            passphrase.encode(),
            kdf.salt,
            kdf.operations,
            kdf.memory_bytes,
            bindings.crypto_pwhash_ALG_ARGON2ID13,
        )

    def seal(self, place: bytes, value: bytes) -> bytes:
        """Return nonce and ciphertext."""
        nonce = self._random(_NONCE_BYTES)
        return nonce + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(value, place, nonce, self._key)

    def open(self, place: bytes, sealed: bytes) -> bytes:
        """Return the value. Raises: `StoreDamaged` when it was not sealed for this place under this key."""
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            value: bytes = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
                ciphertext, place, nonce, self._key
            )
        except (exceptions.CryptoError, ValueError) as error:
            raise StoreDamaged(
                "A stored value was changed from outside; restore the folder from a backup."
            ) from error
        return value
