"""All sessions between one own device and one device of a peer: one in use, up to five in the archive.

The client keeps one `PairSessions` per peer device and calls `start`, `wrap` and `unwrap`. When both sides
start at once there are two sessions, and both are kept: whichever last opened a message is the one to write
with, so the two sides settle on one. What cannot be opened is the client's to answer, with a retry request
and a new session.

A wrap is: a byte for version and sort; the session's id (8 bytes), or, until the peer has answered, the whole
handshake header; then the ratchet's message. Everything before the ciphertext is associated data, together
with the handshake's binding and what the caller gives. Source: Signal's Sesame,
https://signal.org/docs/specifications/sesame/, without its server parts.
"""

from __future__ import annotations

import hashlib
from typing import Final

from msgspec.structs import replace

from ..ids import UserId
from ..protocol.calls import Bundle
from . import handshake, keys, ratchet
from .errors import NoSession, Replayed, Tampered, WrongPeer
from .handshake import HEADER_BYTES, Party
from .keys import DAY_MS, DeviceKeys
from .primitives import Random
from .ratchet import Ratchet
from .secret import Secret

MAX_ARCHIVED: Final = 5
KEEP_ARCHIVED_MS: Final = 30 * DAY_MS
MAX_REMEMBERED: Final = 64
"""Ids of sessions the peer started. They refuse a replayed first message that used no one-time key."""

ID_BYTES: Final = 8

_FOLLOWING = b"\x11"
_FIRST = b"\x12"


class Session(Secret, frozen=True):
    """One session. `handshake` is what its messages carry until the peer has answered, empty from then on.

    `archived_ms`: since when it is in the archive (milliseconds since 1970).
    """

    id: bytes
    binding: bytes
    handshake: bytes
    ratchet: Ratchet
    archived_ms: int = 0


class PairSessions(Secret, frozen=True, tag=1):
    """The sessions of a pair of devices. `remembered` holds the ids of the ones that the peer started."""

    own: Party
    peer: Party
    active: Session
    archived: tuple[Session, ...] = ()
    remembered: tuple[bytes, ...] = ()


class Opened(Secret, frozen=True):
    """What `unwrap` returns. Store `pair` and `own` together with the plaintext, before acknowledging."""

    pair: PairSessions
    plaintext: bytes
    own: DeviceKeys


def start(  # noqa: PLR0913 - both ends, by name
    own: DeviceKeys,
    own_user: UserId,
    own_account_public: bytes,
    peer_user: UserId,
    peer_account_public: bytes,
    bundle: Bundle,
    now_ms: int,
    random: Random,
    pair: PairSessions | None = None,
) -> PairSessions:
    """Start a session with the owner of a bundle; the sessions in `pair`, if any, go to the archive.

    `bundle.device` must be in the peer's verified device list: a device id names one key and no other.
    Raises: `BadBundle`, `BadSignature`, `BadKey`, `WrongPeer`.
    """
    me = Party(own_user, own_account_public, own.public)
    peer = Party(peer_user, peer_account_public, bundle.device_key)
    _check_parties(pair, me, peer)
    agreed = handshake.initiate(own, me, peer, bundle, random)
    header = agreed.header.encode()
    state = ratchet.begin(agreed.secret, agreed.signed_public, random)
    session = Session(_session_id(header), agreed.binding, header, state)
    return _activate(pair, me, peer, session, now_ms)


def wrap(pair: PairSessions, plaintext: bytes, ad: bytes, random: Random) -> tuple[PairSessions, bytes]:
    """Encrypt for the peer's device.

    Returns the next state, to be stored before the wrap is sent, and the wrap.
    """
    session = pair.active
    prefix = _FIRST + session.handshake if session.handshake else _FOLLOWING + session.id
    state, message = ratchet.encrypt(session.ratchet, plaintext, session.binding + prefix + ad, random)
    return replace(pair, active=replace(session, ratchet=state)), prefix + message


def is_latest(pair: PairSessions, wrap_bytes: bytes) -> bool:
    """Return whether a wrap of ours is of the session in use and its present chain; the peer may forget all others.

    Raises: `Tampered` for what is no wrap.
    """
    session_id, _, message = _split(wrap_bytes)
    return session_id == pair.active.id and ratchet.is_latest(pair.active.ratchet, message)


def unwrap(  # noqa: PLR0913 - both ends, by name
    pair: PairSessions | None,
    own: DeviceKeys,
    own_user: UserId,
    own_account_public: bytes,
    peer_user: UserId,
    peer_account_public: bytes,
    peer_device_key: bytes,
    wrap_bytes: bytes,
    ad: bytes,
    now_ms: int,
    random: Random,
) -> Opened:
    """Open a wrap. `ad` must be what the sender gave; the peer's keys must come from verified lists.

    Raises: `DecryptError` (`NoSession`, `Replayed`, `Tampered`, `TooFarAhead`, `WrongPeer`); nothing has
    changed then.
    """
    me = Party(own_user, own_account_public, own.public)
    peer = Party(peer_user, peer_account_public, peer_device_key)
    _check_parties(pair, me, peer)
    session_id, prefix, message = _split(wrap_bytes)
    session = _find(pair, session_id)
    if session is not None:
        state, plaintext = ratchet.decrypt(
            session.ratchet, message, session.binding + prefix + ad, now_ms, random
        )
        session = replace(session, ratchet=state, handshake=b"")
        return Opened(_activate(pair, me, peer, session, now_ms), plaintext, own)
    if prefix[:1] != _FIRST:
        raise NoSession("There is no such session; ask the sender to start a new one.")
    if pair is not None and session_id in pair.remembered:
        raise Replayed("This first message is of a session that is over; ignore it.")
    header = handshake.decode_header(prefix[1:])
    agreed = handshake.respond(own, peer, me, header)
    fresh = ratchet.accept(agreed.secret, agreed.signed_private, agreed.signed_public)
    state, plaintext = ratchet.decrypt(fresh, message, agreed.binding + prefix + ad, now_ms, random)
    session = Session(session_id, agreed.binding, b"", state)
    accepted = _activate(pair, me, peer, session, now_ms)
    accepted = replace(accepted, remembered=(*accepted.remembered, session_id)[-MAX_REMEMBERED:])
    return Opened(accepted, plaintext, keys.without_one_time(own, header.one_time_id, header.kem_id))


def _split(wrap_bytes: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the id of a wrap's session, what precedes the ratchet's message, and that message."""
    sort = wrap_bytes[:1]
    if sort not in {_FOLLOWING, _FIRST}:
        raise Tampered("This wrap is of an unknown version or sort; refuse it.")
    is_first = sort == _FIRST
    prefix_bytes = 1 + (HEADER_BYTES if is_first else ID_BYTES)
    if len(wrap_bytes) < prefix_bytes:
        raise Tampered("This wrap is too short; refuse it.")
    prefix = wrap_bytes[:prefix_bytes]
    return _session_id(prefix[1:]) if is_first else prefix[1:], prefix, wrap_bytes[prefix_bytes:]


def _session_id(header: bytes) -> bytes:
    return hashlib.sha256(header).digest()[:ID_BYTES]


def _find(pair: PairSessions | None, session_id: bytes) -> Session | None:
    if pair is None:
        return None
    if pair.active.id == session_id:
        return pair.active
    return next((session for session in pair.archived if session.id == session_id), None)


def _check_parties(pair: PairSessions | None, own: Party, peer: Party) -> None:
    if pair is not None and (pair.own, pair.peer) != (own, peer):
        raise WrongPeer("These sessions are with other keys; check the peer's device list.")


def _activate(
    pair: PairSessions | None, own: Party, peer: Party, session: Session, now_ms: int
) -> PairSessions:
    """Put a session in use; another one that was goes to the front of the archive."""
    if pair is None:
        return PairSessions(own, peer, session)
    others = (replace(pair.active, archived_ms=now_ms), *pair.archived)
    archived = tuple(
        other for other in others if other.id != session.id and now_ms - other.archived_ms < KEEP_ARCHIVED_MS
    )
    return replace(pair, active=session, archived=archived[:MAX_ARCHIVED])
