"""The step of receiving: one WebSocket message of the server becomes one transaction.

Texts, ratchets, used-up one-time keys, watermarks, answers to own messages and the cursor are stored together;
the receiver (`receiver.py`) acknowledges and reports afterwards. Whatever is wrong with one message becomes a row and
an event, never an exception: a message that stopped the queue would stop it for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..crypto import envelope, sessions
from ..crypto.envelope import Context
from ..crypto.errors import CryptoError, NoSession, Tampered
from ..ids import Cid, DeviceId, MessageId, UserId, direct_conversation, millis
from ..protocol import frames
from ..protocol.frames import Drained, Error, Frame, Kind, Pong, Receipt, Sent
from . import content, events, outgoing
from .answers import may_come
from .content import Content, Resent, Retry, Text, binding
from .store import messages, people, profile
from .store.database import Tx
from .store.people import KnownDevice, Person
from .store.profile import Own


class NeedList(Exception):
    """A message came from a device that no list in use names: fetch the list of `user` and run the step again."""

    def __init__(self, user: UserId) -> None:
        super().__init__(user.hex())
        self.user = user


@dataclass(slots=True)
class Taken:
    """What a step did, for the receiver to act on. `early`: answers to what has not come yet."""

    events: list[events.Event] = field(default_factory=list)
    early: set[MessageId] = field(default_factory=set)
    ack: int | None = None
    receipts: dict[bytes, Receipt] = field(default_factory=dict)
    answered: list[Cid] = field(default_factory=list)
    refused: list[Error] = field(default_factory=list)
    is_drained: bool = False
    has_queued: bool = False


def take(tx: Tx, own: Own, batch: Sequence[Frame], asked: frozenset[UserId]) -> Taken:
    """Store a batch. `asked`: users whose device list was fetched for it already.

    Raises: `NeedList`.
    """
    taken = Taken()
    cursor: bytes | None = None
    for frame in batch:
        match frame:
            case frames.Event():
                _event(tx, own, frame, asked, taken)
                taken.ack = frame.n
                cursor = frame.cursor or cursor
            case Sent():
                taken.answered.append(frame.cid)
                if (message := outgoing.accepted(tx, own, frame.cid, frame.id)) is not None:
                    taken.events.append(events.MessageChanged(message))
            case Error():
                _refusal(tx, own, frame, taken)
            case Receipt(user=user) if user is not None:
                changed = messages.advance(tx, own, frame)
                taken.events.extend(events.MessageChanged(message) for message in changed)
            case Drained():
                taken.is_drained = True
                cursor = frame.cursor
            case Pong():
                cursor = frame.cursor or cursor
            case _:
                pass  # the rest is the reader's
    if cursor is not None and cursor != profile.cursor(tx):
        profile.put_cursor(tx, cursor)
    return taken


def _refusal(tx: Tx, own: Own, error: Error, taken: Taken) -> None:
    cid = error.cid
    if cid is None:
        return
    if error.code in outgoing.TRY_AGAIN:
        taken.refused.append(error)
        return
    taken.answered.append(cid)
    if (message := outgoing.failed(tx, own, cid, error.message)) is not None:
        taken.events.append(events.MessageChanged(message))


def _event(tx: Tx, own: Own, event: frames.Event, asked: frozenset[UserId], taken: Taken) -> None:
    profile.saw(tx, event.id)
    if _is_known(tx, event):
        return
    person, device = _sender(tx, event, asked)
    try:
        what = _opened(tx, own, event, person, device)
    except CryptoError as error:
        _unreadable(tx, own, event, error, taken)
        return
    match what:
        case Text():
            _text(tx, own, event, what, taken)
        case Retry():
            _send_again(tx, own, event, what, taken)
        case Resent():
            _resent(tx, own, event, what, taken)


def _is_known(tx: Tx, event: frames.Event) -> bool:
    if event.kind < Kind.CONTROL:
        return messages.has(tx, event)
    return not tx.run("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", event.device, event.cid, event.id)


def _sender(
    tx: Tx, event: frames.Event, asked: frozenset[UserId]
) -> tuple[Person | None, KnownDevice | None]:
    person = people.get_person(tx, event.sender)
    device = person.devices.get(event.device) if person else None
    # One that was gone may be back: after a restore of the server it has to be linked again.
    if (device is None or _is_gone(device, event)) and event.sender not in asked:
        raise NeedList(event.sender)
    return person, device


def _is_gone(device: KnownDevice, event: frames.Event) -> bool:
    return device.until_ms is not None and millis(event.id) > device.until_ms


def _opened(
    tx: Tx, own: Own, event: frames.Event, person: Person | None, device: KnownDevice | None
) -> Content:
    """Decrypt an event and store what that changed. Raises: `CryptoError`; nothing is stored then."""
    if person is None or device is None:
        raise NoSession("The sending device is on no list signed by its account.")
    if _is_gone(device, event):
        raise NoSession("The sending device was revoked before this was sent.")
    context = Context(event.conv, event.sender, event.device, event.cid, event.kind, event.ref)
    keys = profile.device(tx)
    opened = sessions.unwrap(
        people.get_session(tx, event.device), keys, own.user, own.account_public, person.user, person.account_key,
        device.key, event.wrap, binding(context, event.body), tx.now_ms, tx.random,
    )  # fmt: skip
    what = content.decode(envelope.open(opened.plaintext, event.body, context))
    if own.user not in {what.to, event.sender}:
        raise Tampered("This message is for somebody else.")
    if isinstance(what, Text) and event.conv != direct_conversation(event.sender, what.to):
        raise Tampered("This message belongs to another conversation.")
    people.put_session(tx, person.user, event.device, opened.pair)
    if opened.own is not keys:
        profile.put_device(tx, opened.own)
    return what


def _text(tx: Tx, own: Own, event: frames.Event, text: Text, taken: Taken) -> None:
    peer = text.to if event.sender == own.user else event.sender
    messages.put_conversation(tx, own, peer, is_open=True)
    if lost := messages.hole(tx, event, text.number):
        what = f"{lost} earlier messages of device {event.device.hex()} did not come; they may be withheld."
        taken.events.append(events.ServerSuspected(what))
    messages.add_received(tx, own, event, peer, text)
    _delivered(tx, own, event, peer, taken)
    question = text.reply_to
    if question and may_come(question, event.id) and messages.missing(tx, event.conv, [question]):
        taken.early.add(event.id)
    _report(tx, event.device, event.cid, taken)


def _resent(tx: Tx, own: Own, event: frames.Event, resent: Resent, taken: Taken) -> None:
    """Put in what could not be opened, if it is the sending device's own; else ignore it."""
    peer = resent.text.to if event.sender == own.user else event.sender
    if messages.fill(tx, event.device, resent.cid, peer, resent.text):
        messages.put_conversation(tx, own, peer, is_open=True)
        _report(tx, event.device, resent.cid, taken)


def _report(tx: Tx, device: DeviceId, cid: Cid, taken: Taken) -> None:
    if (message := messages.get(tx, device, cid)) is not None:
        taken.events.append(events.MessageReceived(message))


def _delivered(tx: Tx, own: Own, event: frames.Event, peer: UserId, taken: Taken) -> None:
    """Own messages from other own devices are not reported as delivered, but in the conversation with oneself."""
    if event.sender == own.user != peer:
        return
    if (receipt := messages.advance_own(tx, event.conv, delivered=MessageId(event.id))) is not None:
        taken.receipts[event.conv] = receipt


def _unreadable(tx: Tx, own: Own, event: frames.Event, error: CryptoError, taken: Taken) -> None:
    if event.kind < Kind.CONTROL:
        peer = messages.peer(tx, event.conv) or event.sender
        messages.add_received(tx, own, event, peer, None)
        _delivered(tx, own, event, peer, taken)
        taken.has_queued |= outgoing.ask_again(tx, own)
    taken.events.append(
        events.Undecryptable(event.conv, event.sender, event.device, event.cid, event.id, str(error))
    )


def _send_again(tx: Tx, own: Own, event: frames.Event, retry: Retry, taken: Taken) -> None:
    """Queue own messages again for the one device that asks, if they were for its account in the first place."""
    for cid in retry.cids:
        found = messages.own_text(tx, own.device, cid)
        times = tx.one("SELECT times FROM resent WHERE device = ? AND cid = ?", event.device, cid) or (0,)
        if found is None or event.sender not in {own.user, found.to} or times[0] >= outgoing.MAX_ASKS:
            continue
        tx.run("INSERT OR REPLACE INTO resent VALUES (?, ?, ?)", event.device, cid, times[0] + 1)
        outgoing.queue_control(tx, own, found.to, Resent(found.to, cid, found))
        taken.has_queued = True
