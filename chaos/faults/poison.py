"""Messages that nobody can read, from somebody who is signed in: each is to be taken, told of, and passed over.

Some are sealed as they should be and hold what no client writes; others look like messages and are noise. The server
acknowledges them all, since it can see no difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio
from msgspec import Struct

from chappe.client import Client
from chappe.client.content import MAX_ASKED, Resent, Retry, Text
from chappe.client.store import messages, outbox, people
from chappe.client.store.database import Tx
from chappe.client.store.profile import Own
from chappe.ids import Cid, UserId
from chappe.protocol import calls
from chappe.protocol.frames import MAX_BODY_BYTES, MAX_WRAP_BYTES, Kind, Send

from ..lab import Lab

Noise = Callable[[int], bytes]
PACE_S = 0.05  # slower than a node makes anybody wait

UNREADABLE = 7
"""How many of all the messages to a person each of the person's devices says that it cannot read."""


class _Later(Struct, frozen=True, array_like=True, tag=99):
    """Content of a version that is not written yet."""

    what: Any


async def poison(lab: Lab, mallory: Client) -> None:
    """Send poison of all kinds to everybody, and return when it is on its way."""
    lab.say("mallory sends everybody what nobody can read")
    database, own, connector = mallory._database, mallory._own, mallory._connector
    for victim in lab.people.users:
        await mallory.call("conversations.open", calls.UserRef(victim))
        await database.run(_queue_sealed, own, victim, lab.random.randbytes)
        assert connector.sender is not None
        connector.sender.wake()
        while await database.run(outbox.heads):
            await trio.sleep(PACE_S)
        for frame in await database.run(_noise, own, victim, lab.random.randbytes):
            connector.link.post(frame)
            await trio.sleep(PACE_S)


def _queue_sealed(tx: Tx, own: Own, victim: UserId, noise: Noise) -> None:
    """Queue content of the future, for somebody else, and about messages that never were."""
    text = Text(own.user, "This is not for you.", 0, 1)
    never = [Cid(noise(16)) for _ in range(MAX_ASKED)]
    contents: list[tuple[Kind, Any]] = [
        (Kind.MESSAGE, _Later(noise(2_000))),
        (Kind.MESSAGE, text),
        (Kind.CONTROL, _Later(None)),
        (Kind.CONTROL, Retry(victim, never)),
        (Kind.CONTROL, Resent(victim, never[0], text)),
    ]
    conv = messages.put_conversation(tx, own, victim)
    for kind, content in contents:
        outbox.add(tx, conv, victim, Cid(noise(16)), content, kind=kind)


def _noise(tx: Tx, own: Own, victim: UserId, noise: Noise) -> list[Send]:
    """Return frames for all devices of a victim whose sizes are right, and nothing else."""
    conv = messages.put_conversation(tx, own, victim)
    person = people.get_person(tx, victim)
    assert person is not None
    sizes = [
        (Kind.MESSAGE, 0, 0),
        (Kind.MESSAGE, 1_000, 200),
        (Kind.MESSAGE, MAX_BODY_BYTES, MAX_WRAP_BYTES),
        (Kind.CONTROL, 300, 60),
    ]
    return [
        Send(Cid(noise(16)), conv, kind, noise(body), {device: noise(wrap) for device in person.active})
        for kind, body, wrap in sizes
    ]
