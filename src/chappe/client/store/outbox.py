"""What the server has not accepted yet, in the order in which it was written.

A row is born with its content; encrypting it adds body key and frame, and stores the ratchets in the same step. From
then on the body of this cid never changes. Wraps are replaced when the server says that the devices were wrong, and
on a resend when they have become too old to be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ...ids import Cid, ConversationId, DeviceId, MessageId, UserId
from ...protocol.decoders import decoder_of
from ...protocol.frames import Kind, Send
from .. import content
from ..content import Content
from . import profile
from .database import Tx


@dataclass(frozen=True, slots=True)
class Queued:
    """One row. `key` and `frame` are None until it is encrypted. `renew`: a device that needs a new session, or None.

    `is_open` says whether the server knows the conversation.
    """

    cid: Cid
    conv: ConversationId
    peer: UserId
    kind: Kind
    renew: DeviceId | None
    is_open: bool
    content: bytes
    key: bytes | None
    frame: Send | None
    after: MessageId

    def __repr__(self) -> str:
        return f"<Queued {self.cid.hex()}>"


_SELECT: Final = """
SELECT cid, o.conv, o.peer, kind, renew, c.opened, content, key, frame, after
FROM outbox o JOIN conversations c ON c.conv = o.conv
"""


def _queued(tx: Tx, row: Any) -> Queued:
    cid, conv, peer, kind, renew, opened, sealed, key, frame, after = row
    return Queued(
        cid,
        conv,
        peer,
        Kind(kind),
        renew,
        bool(opened),
        tx.open("outbox", cid, sealed),
        None if key is None else tx.open("outbox", cid + b"key", key),
        None if frame is None else decoder_of(Send).decode(frame),
        MessageId(after),
    )


def add(  # noqa: PLR0913 - a row, by name
    tx: Tx,
    conv: ConversationId,
    peer: UserId,
    cid: Cid,
    what: Content,
    *,
    kind: Kind = Kind.MESSAGE,
    renew: DeviceId | None = None,
) -> None:
    """Queue content for a conversation that has its row."""
    tx.run(
        "INSERT INTO outbox (cid, conv, peer, kind, renew, content, after) VALUES (?, ?, ?, ?, ?, ?, ?)",
        *(cid, conv, peer, kind, renew),
        *(tx.seal("outbox", cid, content.encode(what)), profile.newest(tx)),
    )


def encrypted(tx: Tx, row: Queued, key: bytes, frame: Send) -> None:
    """Store the frame of a row. `after` moves up to now: it cannot have been sent before."""
    after = profile.newest(tx) if row.frame is None else row.after
    tx.run(
        "UPDATE outbox SET key = ?, frame = ?, after = ? WHERE cid = ?",
        *(tx.seal("outbox", row.cid + b"key", key), msgspec.msgpack.encode(frame), after, row.cid),
    )


def get(tx: Tx, cid: Cid) -> Queued | None:
    """Return a row."""
    row = tx.one(_SELECT + "WHERE cid = ?", cid)
    return None if row is None else _queued(tx, row)


def heads(tx: Tx) -> list[Queued]:
    """Return the first row of every conversation, oldest first."""
    first = "WHERE seq IN (SELECT min(seq) FROM outbox GROUP BY conv) ORDER BY seq"
    rows = tx.all(_SELECT + first)
    return [_queued(tx, row) for row in rows]


def is_waiting(tx: Tx, conv: ConversationId) -> bool:
    """Return whether a conversation has anything queued."""
    return tx.one("SELECT 1 FROM outbox WHERE conv = ?", conv) is not None


def remove(tx: Tx, cid: Cid) -> bool:
    """Drop a row: it was accepted, or never will be."""
    return bool(tx.run("DELETE FROM outbox WHERE cid = ?", cid))
