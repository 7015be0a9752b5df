"""The steps of sending, each one transaction: write, encrypt, take in the server's answer.

The sender (`sender.py`) runs them. `encrypt` does not fetch anything: it says what it needs (`Needs`), and is called
again when that is there. Ratchets and the exact frame are stored together before the frame may be sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from ..crypto import envelope, sessions
from ..crypto.envelope import Context
from ..crypto.errors import CryptoError
from ..crypto.sessions import PairSessions
from ..ids import Cid, DeviceId, MessageId, UserId
from ..protocol.calls import Bundle
from ..protocol.codes import RETRYABLE, ErrorCode
from ..protocol.frames import Kind, Send
from .content import MAX_ASKED, MAX_TEXT_BYTES, Content, Retry, Text, binding
from .errors import ClientError, IdentityNotTrusted, ServerLied
from .store import messages, outbox, people, profile
from .store.database import Tx
from .store.outbox import Queued
from .store.people import Person
from .store.profile import Own
from .values import Message

TRY_AGAIN: Final = RETRYABLE | {ErrorCode.MISMATCHED_DEVICES, ErrorCode.UNKNOWN_CONVERSATION}
"""Answers to SEND after which the same message can still be accepted."""

ASK_EVERY_MS: Final = 60_000
MAX_ASKS: Final = 3
"""Retry requests per message, and messages sent again per request: enough for a lost session, too few for a flood."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What must be fetched before a row can be encrypted: device lists, or a prekey bundle for each device."""

    lists: tuple[UserId, ...] = ()
    bundles: Mapping[UserId, tuple[DeviceId, ...]] = field(default_factory=dict)


def write(tx: Tx, own: Own, peer: UserId, text: str, reply_to: MessageId | None) -> Message:
    """Store a message and queue it; encrypt it at once when nothing is missing and nothing waits before it.

    Raises: `ClientError` for a text that is too long.
    """
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise ClientError(f"A message holds at most {MAX_TEXT_BYTES} bytes of text; split this one.")
    conv = messages.put_conversation(tx, own, peer)
    is_first = not outbox.is_waiting(tx, conv)
    cid = Cid(tx.random(16))
    content = Text(peer, text, tx.now_ms, messages.next_number(tx, conv, own.device), reply_to)
    messages.add_own(tx, own, conv, cid, content)
    outbox.add(tx, conv, peer, cid, content)
    if is_first and (row := outbox.get(tx, cid)) is not None:
        with suppress(IdentityNotTrusted):  # then it waits in the queue until somebody trusts the new key
            encrypt(tx, own, row)
    return _own_message(tx, own, cid)


def encrypt(tx: Tx, own: Own, row: Queued, bundles: Mapping[DeviceId, Bundle] | None = None) -> Send | Needs:
    """Encrypt a row for every device it is for, and store ratchets and frame; or say what is missing.

    Wraps of a former frame are kept for devices that are still right, unless they are of the past. `bundles` are those
    claimed for this, or None before; a device without session and bundle is left out then, and the server decides
    whether that matters.
    Raises: `IdentityNotTrusted`, `ServerLied`.
    """
    targets = _targets(tx, own, row)
    if isinstance(targets, Needs):
        return targets
    context = Context(row.conv, own.user, own.device, row.cid, row.kind)
    if row.key is None or row.frame is None:
        key, body = envelope.seal(row.content, context, tx.random)
        wraps: dict[DeviceId, bytes] = {}
    else:
        key, body = row.key, row.frame.body
        wraps = {device: wrap for device, wrap in _latest(tx, row.frame).items() if device in targets}
    unwrapped = [device for device in targets if device not in wraps]
    if bundles is None:
        claim: dict[UserId, tuple[DeviceId, ...]] = {}
        for device in unwrapped:
            if device == row.renew or people.get_session(tx, device) is None:
                user = targets[device].user
                claim[user] = (*claim.get(user, ()), device)
        if claim:
            return Needs(bundles=claim)
    ad = binding(context, body)
    for device in unwrapped:
        pair = _session(tx, own, targets[device], device, (bundles or {}).get(device))
        if pair is not None:
            wraps[device] = _wrap(tx, device, pair, key, ad)
    frame = Send(row.cid, row.conv, row.kind, body, wraps)
    outbox.encrypted(tx, row, key, frame)
    return frame


def again(tx: Tx, own: Own, row: Queued) -> Send:
    """Return the frame of a row that was posted before, with new wraps where the ratchet has turned since then.

    Other conversations go on while this message is refused, and what is sealed by a chain of long ago cannot be read
    any more. Should the first try have been stored after all, its wraps are as good, and whoever gets both drops one.
    """
    assert row.frame is not None
    assert row.key is not None
    wraps = _latest(tx, row.frame)
    if len(wraps) == len(row.frame.wraps):
        return row.frame
    context = Context(row.conv, own.user, own.device, row.cid, row.kind)
    ad = binding(context, row.frame.body)
    for device in row.frame.wraps.keys() - wraps.keys():
        pair = people.get_session(tx, device)
        assert pair is not None, "else its wrap would have been kept"
        wraps[device] = _wrap(tx, device, pair, row.key, ad)
    frame = replace(row.frame, wraps=wraps)
    outbox.encrypted(tx, row, row.key, frame)
    return frame


def _wrap(tx: Tx, device: DeviceId, pair: PairSessions, key: bytes, ad: bytes) -> bytes:
    pair, wrap = sessions.wrap(pair, key, ad, tx.random)
    people.put_session(tx, pair.peer.user, device, pair)
    return wrap


def _latest(tx: Tx, frame: Send) -> dict[DeviceId, bytes]:
    """Return the wraps of a frame but for those that a chain or session of the past has sealed."""

    def is_latest(device: DeviceId, wrap: bytes) -> bool:
        pair = people.get_session(tx, device)
        return pair is None or sessions.is_latest(pair, wrap)

    return {device: wrap for device, wrap in frame.wraps.items() if is_latest(device, wrap)}


def _targets(tx: Tx, own: Own, row: Queued) -> dict[DeviceId, Person] | Needs:
    """Return every device of both accounts but this one, each with its owner."""
    known = {user: people.get_person(tx, user) for user in (row.peer, own.user)}
    if lists := tuple(user for user, person in known.items() if person is None):
        return Needs(lists=lists)
    owners = [person for person in known.values() if person is not None]
    if not all(person.is_trusted for person in owners):
        raise IdentityNotTrusted(
            "This person's account key has changed; compare safety numbers and trust it."
        )
    return {device: person for person in owners for device in person.active if device != own.device}


def _session(
    tx: Tx, own: Own, person: Person, device: DeviceId, bundle: Bundle | None
) -> PairSessions | None:
    """Return the sessions to write to a device with: a new one when there is a bundle. Raises: `ServerLied`."""
    pair = people.get_session(tx, device)
    if bundle is None:
        return pair
    try:
        return sessions.start(
            profile.device(tx), own.user, own.account_public, person.user, person.account_key, bundle,
            tx.now_ms, tx.random, pair,
        )  # fmt: skip
    except CryptoError as error:
        raise ServerLied(f"The server gave a prekey bundle that does not verify: {error}") from error


def accepted(tx: Tx, own: Own, cid: Cid, message: MessageId) -> Message | None:
    """Take in SENT; return the message if it changed."""
    outbox.remove(tx, cid)
    profile.saw(tx, message)
    return _own_message(tx, own, cid) if messages.accepted(tx, own.device, cid, message) else None


def failed(tx: Tx, own: Own, cid: Cid, reason: str) -> Message | None:
    """Take in a final refusal; return the message if it changed."""
    outbox.remove(tx, cid)
    return _own_message(tx, own, cid) if messages.failed(tx, own.device, cid, reason) else None


def ask_again(tx: Tx, own: Own) -> bool:
    """Queue retry requests for what could not be opened, at most one a minute and device; return whether any."""
    waiting = tx.all(
        "SELECT m.device, m.sender, min(m.peer) FROM messages m LEFT JOIN asks a ON a.device = m.device"
        " WHERE m.content IS NULL AND m.asked < ? AND coalesce(a.at_ms, 0) <= ? AND m.device != ?"
        " GROUP BY m.device, m.sender",
        *(MAX_ASKS, tx.now_ms - ASK_EVERY_MS, own.device),
    )
    has_asked = False
    for device, sender, peer in waiting:
        person = people.get_person(tx, sender)
        if person is None or device not in person.active or not person.is_trusted:
            continue
        cids = messages.unreadable(tx, device, MAX_ASKS, MAX_ASKED)
        messages.count_ask(tx, device, cids)
        queue_control(tx, own, UserId(peer), Retry(UserId(peer), cids), DeviceId(device))
        has_asked = True
    return has_asked


def queue_control(tx: Tx, own: Own, peer: UserId, what: Content, renew: DeviceId | None = None) -> None:
    """Queue a control for a conversation; with the device `renew` it starts a new session.

    Every device of both accounts hears it, as the server demands of all messages; those that it does not concern
    have nothing to do.
    """
    conv = messages.put_conversation(tx, own, peer)
    outbox.add(tx, conv, peer, Cid(tx.random(16)), what, kind=Kind.CONTROL, renew=renew)


def _own_message(tx: Tx, own: Own, cid: Cid) -> Message:
    found = messages.get(tx, own.device, cid)
    assert found is not None, "the row was written in this step"
    return found
