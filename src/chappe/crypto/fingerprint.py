"""The safety number: sixty digits that two people compare to know that nobody sits between them.

Signal's numeric fingerprint over both account keys, so linking or revoking a device does not change it. 5,200
rounds of SHA-512 make it dear to search for a key with a similar number. Source: libsignal,
rust/protocol/src/fingerprint.rs.
"""

from __future__ import annotations

import hashlib
from typing import Final

from ..ids import UserId

ROUNDS: Final = 5200

_VERSION = b"\0\0"
_CHUNKS = 6
_CHUNK_BYTES = 5


def safety_number(
    own_user: UserId, own_account_public: bytes, peer_user: UserId, peer_account_public: bytes
) -> str:
    """Return 60 digits, the same from either side. Takes some ten milliseconds of CPU."""
    return "".join(sorted((half(own_user, own_account_public), half(peer_user, peer_account_public))))


def half(identifier: bytes, key: bytes) -> str:
    """Return one side's 30 digits."""
    digest = _VERSION + key + identifier
    for _ in range(ROUNDS):
        digest = hashlib.sha512(digest + key).digest()
    chunks = (digest[at : at + _CHUNK_BYTES] for at in range(0, _CHUNKS * _CHUNK_BYTES, _CHUNK_BYTES))
    return "".join(f"{int.from_bytes(chunk, 'big') % 100_000:05}" for chunk in chunks)
