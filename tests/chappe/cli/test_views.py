"""Every event has a JSON form with documented keys and a line that is safe to print."""

from __future__ import annotations

import dataclasses
import re
import typing
from pathlib import Path

import pytest

from chappe.cli.views import event_json, event_line, message_line, presence_words
from chappe.client import (
    ConnectionChanged,
    ConnectionState,
    DeliveryState,
    Event,
    EventsLost,
    IdentityChanged,
    Message,
    MessageChanged,
    MessageReceived,
    PresenceChanged,
    ServerSuspected,
    TypingChanged,
    Undecryptable,
)
from chappe.ids import Cid, ConversationId, DeviceId, MessageId, UserId

BEN, STRANGER = UserId(b"\xbe" * 16), UserId(b"\x57" * 16)
CONV, DEVICE, CID, ID = (kind(bytes(16)) for kind in (ConversationId, DeviceId, Cid, MessageId))
NAMES = {BEN: "Ben\x1b[31m"}
PAGE = (Path(__file__).parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")


def message(**changes: typing.Any) -> Message:
    one = Message(CID, CONV, BEN, BEN, DEVICE, False, ID, "hi\x07", None, 0, DeliveryState.DELIVERED)
    return dataclasses.replace(one, **changes)


EVENTS: dict[str, Event] = {
    "message": MessageReceived(message()),
    "state": MessageChanged(message(mine=True, state=DeliveryState.READ)),
    "presence": PresenceChanged(BEN, False, 0),
    "typing": TypingChanged(CONV, BEN, True),
    "connection": ConnectionChanged(ConnectionState.OFFLINE, "The server\x9b is away."),
    "identity": IdentityChanged(BEN),
    "undecryptable": Undecryptable(CONV, BEN, DEVICE, CID, ID, "No session\n."),
    "suspected": ServerSuspected("An older list\x00."),
    "lost": EventsLost(3),
}


def test_there_is_one_of_each() -> None:
    assert {type(event) for event in EVENTS.values()} == set(typing.get_args(Event))


@pytest.mark.parametrize("kind", EVENTS)
def test_the_keys_are_the_documented_ones(kind: str) -> None:
    value = event_json(EVENTS[kind], NAMES)
    assert value.pop("event") == kind
    documented = documented_keys("event")[kind]
    assert set(value) == (
        documented or {key for row in documented_keys("key of a message") for key in words(row)}
    )


def words(cell: str) -> set[str]:
    return set(re.findall(r"\w+", cell))


def documented_keys(heading: str) -> dict[str, set[str]]:
    """Return the table under a heading: the words in its first column, and the code words in its second."""
    table = re.search(rf"^\| `?{heading}`? \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table is not None
    rows = [row.split("|")[1:3] for row in table[1].splitlines()]
    return {first.replace("`", "").strip(): set(re.findall(r"`(\w+)`", second)) for first, second in rows}


@pytest.mark.parametrize("kind", EVENTS)
def test_a_line_is_one_line_and_safe_to_print(kind: str) -> None:
    line = event_line(EVENTS[kind], NAMES)
    assert line
    assert line.isprintable()


@pytest.mark.parametrize(
    ("state", "mark"),
    [
        (DeliveryState.QUEUED, "… "),
        (DeliveryState.SENT, "✓ "),
        (DeliveryState.DELIVERED, "✓✓"),
        (DeliveryState.READ, "✔✔"),
        (DeliveryState.FAILED, "✗ "),
    ],
)
def test_ticks_of_own_messages(state: DeliveryState, mark: str) -> None:
    line = message_line(message(mine=True, state=state, text="hello", reason="why"), NAMES)
    assert re.fullmatch(rf"\d\d:\d\d {mark} you: hello(  \(not sent: why\))?", line)
    assert ("not sent" in line) == (state is DeliveryState.FAILED)


def test_a_strangers_message_and_one_that_cannot_be_read() -> None:
    line = message_line(message(sender=STRANGER, text=None), NAMES)
    assert line.endswith("    57575757: (cannot be decrypted)")


def test_presence_in_words() -> None:
    assert presence_words(True, None) == "online"
    assert presence_words(None, None) == "hidden"
    assert presence_words(False, None) == "offline"
    assert presence_words(False, 0).startswith("offline, last seen 19")
