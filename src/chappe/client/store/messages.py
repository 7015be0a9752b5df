"""Messages, conversations and watermarks, as rows.

A message's ticks are not stored: they follow from the peer's watermark, which only grows, so they cannot go back and
a receipt that covers a thousand messages writes one row. Own rows get their id with SENT; the order of a conversation
is by id, with what has none at the end.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from ...ids import Cid, ConversationId, DeviceId, MessageId, UserId, direct_conversation, millis
from ...protocol.decoders import decoder_of
from ...protocol.frames import Event, Receipt
from ..content import Text
from ..values import DeliveryState, Message
from .database import Tx
from .profile import Own


class _Body(Struct, frozen=True, array_like=True):
    """The sealed column: what the reader sees. The sender's clock is kept for what the server's says nothing about."""

    text: str
    reply_to: MessageId | None

    def __repr__(self) -> str:
        return "<_Body>"


_SELECT: Final = """
SELECT m.cid, m.conv, m.peer, m.sender, m.device, m.mine, m.id, m.at_ms, m.state, m.content, m.reason,
  p.delivered, p.read, c.read
FROM messages m LEFT JOIN marks p ON p.conv = m.conv AND p.user = m.peer
LEFT JOIN conversations c ON c.conv = m.conv
"""


def _message(tx: Tx, row: Any) -> Message:
    cid, conv, peer, sender, device, mine, id_, at_ms, state, sealed, reason, delivered, read, own_read = row
    body = None
    if sealed is not None:
        body = decoder_of(_Body).decode(tx.open("messages", device + cid, sealed))
    if state == DeliveryState.SENT:
        state = _ticks(id_, delivered, read) if mine else _ticks(id_, id_, own_read)
    return Message(
        cid=Cid(cid),
        conv=ConversationId(conv),
        peer=UserId(peer),
        sender=UserId(sender),
        device=DeviceId(device),
        mine=bool(mine),
        id=id_,
        text=None if body is None else body.text,
        reply_to=None if body is None else body.reply_to,
        at_ms=millis(id_) if id_ else at_ms,
        state=DeliveryState(state),
        reason=reason,
    )


def _ticks(message: bytes, delivered: bytes | None, read: bytes | None) -> DeliveryState:
    if read is not None and message <= read:
        return DeliveryState.READ
    if delivered is not None and message <= delivered:
        return DeliveryState.DELIVERED
    return DeliveryState.SENT


def _seal(tx: Tx, device: DeviceId, cid: Cid, text: Text) -> bytes:
    body = _Body(text.text, text.reply_to)
    return tx.seal("messages", device + cid, msgspec.msgpack.encode(body))


def add_own(tx: Tx, own: Own, conv: ConversationId, cid: Cid, text: Text) -> None:
    """Add a message that was written here, QUEUED."""
    tx.run(
        "INSERT INTO messages (conv, peer, cid, sender, device, mine, at_ms, state, number, content)"
        " VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?)",
        *(conv, text.to, cid, own.user, own.device, text.at_ms, DeliveryState.QUEUED, text.number),
        _seal(tx, own.device, cid, text),
    )


def add_received(tx: Tx, own: Own, event: Event, peer: UserId, text: Text | None) -> None:
    """Add a message that came from the server; `text` is None when it could not be opened."""
    tx.run(
        "INSERT INTO messages (conv, peer, id, cid, sender, device, mine, at_ms, state, number, content)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(event.conv, peer, event.id, event.cid, event.sender, event.device, event.sender == own.user),
        *(tx.now_ms, DeliveryState.SENT, None if text is None else text.number),
        _seal(tx, event.device, event.cid, text) if text else None,
    )


def fill(tx: Tx, device: DeviceId, cid: Cid, peer: UserId, text: Text) -> bool:
    """Put in what could not be opened before; return whether there was such a message."""
    return bool(
        tx.run(
            "UPDATE messages SET content = ?, number = ?, peer = ?"
            " WHERE device = ? AND cid = ? AND content IS NULL",
            *(_seal(tx, device, cid, text), text.number, peer, device, cid),
        )
    )


def has(tx: Tx, event: Event) -> bool:
    """Return whether a message is here already, by id or by (device, cid)."""
    return (
        tx.one("SELECT 1 FROM messages WHERE conv = ? AND id = ?", event.conv, event.id) is not None
        or tx.one("SELECT 1 FROM messages WHERE device = ? AND cid = ?", event.device, event.cid) is not None
    )


def next_number(tx: Tx, conv: ConversationId, device: DeviceId) -> int:
    """Return the number after the greatest one known of a device in a conversation."""
    row = tx.one("SELECT max(number) FROM messages WHERE conv = ? AND device = ?", conv, device)
    return int(row[0] or 0) + 1


def hole(tx: Tx, event: Event, number: int) -> int:
    """Return how many messages of this device are missing before `number`, beyond those that could not be opened."""
    greatest, blind = tx.one(
        "SELECT max(number), sum(number IS NULL) FROM messages WHERE conv = ? AND device = ?",
        *(event.conv, event.device),
    )
    return 0 if greatest is None else max(0, number - int(greatest) - 1 - int(blind))


def get(tx: Tx, device: DeviceId, cid: Cid) -> Message | None:
    """Return a message."""
    row = tx.one(_SELECT + "WHERE m.device = ? AND m.cid = ?", device, cid)
    return None if row is None else _message(tx, row)


def accepted(tx: Tx, device: DeviceId, cid: Cid, message: MessageId) -> bool:
    """Give an own message its id; return whether it had none."""
    return bool(
        tx.run(
            "UPDATE messages SET id = ?, state = ? WHERE device = ? AND cid = ? AND id IS NULL",
            *(message, DeliveryState.SENT, device, cid),
        )
    )


def failed(tx: Tx, device: DeviceId, cid: Cid, reason: str) -> bool:
    """Note that an own message can never be sent; return whether it was waiting. Its number is free again."""
    return bool(
        tx.run(
            "UPDATE messages SET state = ?, reason = ?, number = NULL WHERE device = ? AND cid = ? AND state = ?",
            *(DeliveryState.FAILED, reason, device, cid, DeliveryState.QUEUED),
        )
    )


def page(tx: Tx, conv: ConversationId, before: MessageId | None, limit: int) -> list[Message]:
    """Return up to `limit` messages before `before`, oldest first, those without an id last."""
    rows = tx.all(
        _SELECT + "WHERE m.conv = ?1 AND (?2 IS NULL OR m.id < ?2)"
        " ORDER BY m.id IS NULL DESC, m.id DESC, m.seq DESC LIMIT ?3",
        *(conv, before, limit),
    )
    return [_message(tx, row) for row in reversed(rows)]


def missing(tx: Tx, conv: ConversationId, ids: list[MessageId]) -> list[MessageId]:
    """Return those ids that are not here."""
    return [
        message
        for message in ids
        if tx.one("SELECT 1 FROM messages WHERE conv = ? AND id = ?", conv, message) is None
    ]


def unreadable(tx: Tx, device: DeviceId, most_asks: int, limit: int) -> list[Cid]:
    """Return messages of a device that could not be opened and may be asked for again."""
    rows = tx.all(
        "SELECT cid FROM messages WHERE device = ? AND content IS NULL AND asked < ? ORDER BY seq LIMIT ?",
        *(device, most_asks, limit),
    )
    return [Cid(cid) for (cid,) in rows]


def count_ask(tx: Tx, device: DeviceId, cids: list[Cid]) -> None:
    """Note that a device is asked now to send these again."""
    tx.run("INSERT OR REPLACE INTO asks VALUES (?, ?)", device, tx.now_ms)
    for cid in cids:
        tx.run("UPDATE messages SET asked = asked + 1 WHERE device = ? AND cid = ?", device, cid)


def own_text(tx: Tx, device: DeviceId, cid: Cid) -> Text | None:
    """Return a message as its content was, or None when it is not here or was not opened."""
    row = tx.one(
        "SELECT peer, at_ms, number, content FROM messages WHERE device = ? AND cid = ? AND content IS NOT NULL",
        *(device, cid),
    )
    if row is None:
        return None
    peer, at_ms, number, sealed = row
    body = decoder_of(_Body).decode(tx.open("messages", device + cid, sealed))
    return Text(peer, body.text, at_ms, number, body.reply_to)


def put_conversation(tx: Tx, own: Own, peer: UserId, *, is_open: bool = False) -> ConversationId:
    """Make sure that the conversation with somebody has a row; return its id. `is_open`: the server knows it."""
    conv = direct_conversation(own.user, peer)
    tx.run("INSERT OR IGNORE INTO conversations (conv, peer) VALUES (?, ?)", conv, peer)
    if is_open:
        tx.run("UPDATE conversations SET opened = 1 WHERE conv = ?", conv)
    return conv


def close(tx: Tx, conv: ConversationId) -> None:
    """Note that the server does not know a conversation."""
    tx.run("UPDATE conversations SET opened = 0 WHERE conv = ?", conv)


def opened(tx: Tx) -> list[tuple[UserId, Receipt]]:
    """Return the peers of the conversations that the server knew, and the own watermarks in each."""
    rows = tx.all("SELECT peer, conv, delivered, read FROM conversations WHERE opened")
    return [(UserId(peer), Receipt(conv, delivered, read)) for peer, conv, delivered, read in rows]


def is_open(tx: Tx, conv: ConversationId) -> bool:
    """Return whether the server knows a conversation."""
    return tx.one("SELECT 1 FROM conversations WHERE conv = ? AND opened", conv) is not None


def peer(tx: Tx, conv: ConversationId) -> UserId | None:
    """Return the other one of a conversation."""
    row = tx.one("SELECT peer FROM conversations WHERE conv = ?", conv)
    return None if row is None else UserId(row[0])


def advance_own(
    tx: Tx, conv: ConversationId, *, delivered: MessageId | None = None, read: MessageId | None = None
) -> Receipt | None:
    """Move the own watermarks forward; return the receipt to send, or None when they were there already."""
    row = tx.one("SELECT delivered, read FROM conversations WHERE conv = ?", conv)
    if row is None:
        return None
    newer = (_later(row[0], _later(delivered, read)), _later(row[1], read))
    if newer == tuple(row):
        return None
    tx.run(
        "UPDATE conversations SET delivered = ?, read = ?, moved_ms = ? WHERE conv = ?",
        *(*newer, tx.now_ms, conv),
    )
    return Receipt(conv, newer[0], newer[1])


def recent_receipts(tx: Tx, since_ms: int) -> list[Receipt]:
    """Return the own watermarks that moved since then."""
    rows = tx.all(
        "SELECT conv, delivered, read FROM conversations WHERE moved_ms >= ? AND delivered IS NOT NULL",
        since_ms,
    )
    return [Receipt(conv, delivered, read) for conv, delivered, read in rows]


def advance(tx: Tx, own: Own, receipt: Receipt) -> list[Message]:
    """Take in a watermark of somebody; return the own messages whose ticks changed by it."""
    user, conv = receipt.user, receipt.conv
    row = tx.one("SELECT delivered, read FROM marks WHERE conv = ? AND user = ?", conv, user) or (None, None)
    delivered = _later(row[0], _later(receipt.delivered, receipt.read))
    read = _later(row[1], receipt.read)
    if (delivered, read) == tuple(row):
        return []
    tx.run("INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?)", conv, user, delivered, read)
    if user == own.user:
        advance_own(tx, conv, delivered=receipt.delivered, read=receipt.read)
    rows = tx.all(
        _SELECT + "WHERE m.conv = ?1 AND m.mine AND m.peer = ?2"
        " AND ((m.id > ?3 AND m.id <= ?4) OR (m.id > ?5 AND m.id <= ?6)) ORDER BY m.id",
        *(conv, user, row[0] or b"", delivered or b"", row[1] or b"", read or b""),
    )
    return [_message(tx, row) for row in rows]


def waiting_for_ticks(tx: Tx, limit: int) -> list[ConversationId]:
    """Return conversations whose newest own message is not known to be read, the newest first.

    Not those that the server does not know: asked for one of them, it would refuse all.
    """
    rows = tx.all(
        "SELECT m.conv FROM messages m JOIN conversations c ON c.conv = m.conv AND c.opened"
        " LEFT JOIN marks p ON p.conv = m.conv AND p.user = m.peer"
        " WHERE m.mine AND m.id IS NOT NULL"
        " GROUP BY m.conv HAVING max(m.id) > coalesce(max(p.read), x'') ORDER BY max(m.id) DESC LIMIT ?",
        limit,
    )
    return [ConversationId(conv) for (conv,) in rows]


def overview(tx: Tx) -> list[tuple[ConversationId, UserId, int, Message | None]]:
    """Return every conversation with its peer, how many messages are unread, and the last message."""
    found = []
    for conv, peer, read in tx.all("SELECT conv, peer, read FROM conversations"):
        unread = tx.one(
            "SELECT count(*) FROM messages WHERE conv = ? AND NOT mine AND id > ?", conv, read or b""
        )
        newest = page(tx, conv, None, 1)
        found.append((ConversationId(conv), UserId(peer), int(unread[0]), newest[0] if newest else None))
    return sorted(found, key=lambda each: each[3].at_ms if each[3] else 0, reverse=True)


def _later(one: bytes | None, other: bytes | None) -> MessageId | None:
    return MessageId(max(one or b"", other or b"")) or None
