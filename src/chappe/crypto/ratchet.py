"""The Double Ratchet: a fresh key for every message, and healing after a theft of keys.

`sessions.py` calls it; agreeing on the first secret is `handshake.py`. The state is a value: `encrypt` and
`decrypt` return the next one, and a message that does not open has changed nothing. Chains step by
HMAC-SHA-256 with 0x01 and 0x02, roots by HKDF; messages are sealed by XChaCha20-Poly1305 with a random nonce,
so that a state restored from an old backup repeats a message key at worst and never a key with its nonce. The
header (ratchet key, length of the chain before, number) is associated data. Source:
https://signal.org/docs/specifications/doubleratchet/, sections 3 and 7.2.

Keys of messages that did not come (yet) are kept within limits: what a peer can make us compute and store is
bounded.
"""

from __future__ import annotations

import hmac
from struct import Struct as Layout
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from . import primitives
from .errors import BadKey, Replayed, Tampered, TooFarAhead
from .keys import DAY_MS
from .primitives import KEY_BYTES, Random
from .secret import Secret

MAX_SKIP: Final = 1000
MAX_SKIPPED: Final = 2000
MAX_OLD_CHAINS: Final = 5
KEEP_SKIPPED_MS: Final = 30 * DAY_MS

ROOT_INFO: Final = b"chappe ratchet root 1"

_HEADER = Layout(f">{KEY_BYTES}sII")


class Skipped(Secret, frozen=True):
    """The key of a message that has not come yet, and when it was put aside (milliseconds since 1970)."""

    key: bytes
    at_ms: int


class Ratchet(Secret, frozen=True):
    """One side of a ratchet.

    `peer` is the other side's newest ratchet key, `old` the ones before it, oldest first. `receive` is empty
    until the first message came. `skipped` maps ratchet key and number (36 bytes) to keys, oldest first; it
    is never changed in place.
    """

    root: bytes
    own_private: bytes
    own_public: bytes
    peer: bytes
    send: bytes
    send_n: int = 0
    previous_n: int = 0
    receive: bytes = b""
    receive_n: int = 0
    skipped: dict[bytes, Skipped] = field(default_factory=dict)
    old: tuple[bytes, ...] = ()


def begin(secret: bytes, peer: bytes, random: Random) -> Ratchet:
    """Return the state of the side that writes first; `peer` is the other one's signed prekey.

    Raises: `BadKey`.
    """
    private = random(KEY_BYTES)
    root, send = _step_root(secret, primitives.x25519(private, peer))
    return Ratchet(root, private, primitives.x25519_public(private), peer, send)


def accept(secret: bytes, own_private: bytes, own_public: bytes) -> Ratchet:
    """Return the state of the side that hears first. Good for `decrypt` only, which returns the next one."""
    return Ratchet(secret, own_private, own_public, peer=b"", send=b"")


def encrypt(state: Ratchet, plaintext: bytes, ad: bytes, random: Random) -> tuple[Ratchet, bytes]:
    """Return the next state and the message. Store the state before the message leaves."""
    send, key = _step(state.send)
    header = _HEADER.pack(state.own_public, state.previous_n, state.send_n)
    message = header + primitives.seal(key, plaintext, header + ad, random)
    return replace(state, send=send, send_n=state.send_n + 1), message


def decrypt(state: Ratchet, message: bytes, ad: bytes, now_ms: int, random: Random) -> tuple[Ratchet, bytes]:
    """Return the next state and the plaintext.

    Raises: `Replayed`, `TooFarAhead`, `Tampered`; the state stays good in each case.
    """
    incoming = _parse(message, ad)
    skipped = state.skipped.get(incoming.slot)
    if skipped is not None and not _is_old(skipped, now_ms):
        plaintext = incoming.open(skipped.key)
        left = state.skipped.copy()
        del left[incoming.slot]
        return replace(state, skipped=left), plaintext
    if incoming.peer in state.old or (incoming.peer == state.peer and incoming.n < state.receive_n):
        raise Replayed("This message was opened before, or its key was dropped; ignore it.")
    if incoming.peer == state.peer and state.receive:
        return _advance(state, incoming, now_ms)
    return _turn(state, incoming, now_ms, random)


def is_latest(state: Ratchet, message: bytes) -> bool:
    """Return whether a message that this side wrote is of its present chain."""
    return message[:KEY_BYTES] == state.own_public


class _Incoming(Struct, frozen=True):
    """A message taken apart: the header's three fields, what is sealed, and all associated data."""

    peer: bytes
    previous_n: int
    n: int
    sealed: bytes
    ad: bytes

    @property
    def slot(self) -> bytes:
        return _slot(self.peer, self.n)

    def open(self, key: bytes) -> bytes:
        return primitives.unseal(key, self.sealed, self.ad)


def _parse(message: bytes, ad: bytes) -> _Incoming:
    header, sealed = message[: _HEADER.size], message[_HEADER.size :]
    if len(header) < _HEADER.size:
        raise Tampered("The message is too short; refuse it.")
    peer, previous_n, n = _HEADER.unpack(header)
    return _Incoming(peer, previous_n, n, sealed, header + ad)


def _advance(state: Ratchet, incoming: _Incoming, now_ms: int) -> tuple[Ratchet, bytes]:
    """Open a message of the current receiving chain."""
    chain, passed = _skip(state.receive, state.peer, state.receive_n, incoming.n, now_ms)
    chain, key = _step(chain)
    plaintext = incoming.open(key)
    skipped = state.skipped
    if passed or (skipped and _is_old(next(iter(skipped.values())), now_ms)):
        skipped = _keep(skipped, passed, (*state.old, state.peer), now_ms)
    return replace(state, receive=chain, receive_n=incoming.n + 1, skipped=skipped), plaintext


def _turn(state: Ratchet, incoming: _Incoming, now_ms: int, random: Random) -> tuple[Ratchet, bytes]:
    """Open the first message that came of a new receiving chain, then begin a new sending chain."""
    missing = incoming.previous_n - state.receive_n if state.receive else 0
    if max(incoming.n, missing) > MAX_SKIP:
        raise _too_far()
    try:
        root, chain = _step_root(state.root, primitives.x25519(state.own_private, incoming.peer))
    except BadKey as error:
        raise Tampered("The message carries a key of small order; refuse it.") from error
    chain, passed = _skip(chain, incoming.peer, 0, incoming.n, now_ms)
    chain, key = _step(chain)
    plaintext = incoming.open(key)
    old = state.old
    if state.receive:
        # Only now that the header is known to be the peer's: a forged one is not worth the work.
        _, left = _skip(state.receive, state.peer, state.receive_n, incoming.previous_n, now_ms)
        passed = left | passed
        old = (*old, state.peer)[-MAX_OLD_CHAINS:]
    own_private = random(KEY_BYTES)
    root, send = _step_root(root, primitives.x25519(own_private, incoming.peer))
    turned = Ratchet(
        root=root,
        own_private=own_private,
        own_public=primitives.x25519_public(own_private),
        peer=incoming.peer,
        send=send,
        previous_n=state.send_n,
        receive=chain,
        receive_n=incoming.n + 1,
        skipped=_keep(state.skipped, passed, (*old, incoming.peer), now_ms),
        old=old,
    )
    return turned, plaintext


def _step(chain: bytes) -> tuple[bytes, bytes]:
    """Return a chain's next key, and the message key of this place in it."""
    return hmac.digest(chain, b"\x02", "sha256"), hmac.digest(chain, b"\x01", "sha256")


def _step_root(root: bytes, shared: bytes) -> tuple[bytes, bytes]:
    """Return the next root key, and the first key of a new chain."""
    derived = primitives.hkdf(shared, salt=root, info=ROOT_INFO, length=2 * KEY_BYTES)
    return derived[:KEY_BYTES], derived[KEY_BYTES:]


def _skip(chain: bytes, peer: bytes, at_n: int, to_n: int, now_ms: int) -> tuple[bytes, dict[bytes, Skipped]]:
    """Walk a chain from message `at_n` to `to_n`; returns the chain there and the keys passed on the way."""
    if to_n - at_n > MAX_SKIP:
        raise _too_far()
    passed = {}
    for n in range(at_n, to_n):
        chain, key = _step(chain)
        passed[_slot(peer, n)] = Skipped(key, now_ms)
    return chain, passed


def _keep(
    skipped: dict[bytes, Skipped], passed: dict[bytes, Skipped], chains: tuple[bytes, ...], now_ms: int
) -> dict[bytes, Skipped]:
    """Return both together, without what is too old, of a forgotten chain, or too much.

    The oldest go first.
    """
    kept = [
        (slot, key)
        for slot, key in (skipped | passed).items()
        if not _is_old(key, now_ms) and slot[:KEY_BYTES] in chains
    ]
    return dict(kept[-MAX_SKIPPED:])


def _is_old(skipped: Skipped, now_ms: int) -> bool:
    return now_ms - skipped.at_ms >= KEEP_SKIPPED_MS


def _slot(peer: bytes, n: int) -> bytes:
    return peer + n.to_bytes(4, "big")


def _too_far() -> TooFarAhead:
    return TooFarAhead(f"More than {MAX_SKIP} messages are missing before this one; ask for a new session.")
