"""How events and messages look: as JSON objects for programs, as lines for people.

`listen`, `send`, `history`, `chat` and the demo share it. The JSON keys are the interface of `--json` and are
listed in docs/cli.md; ids are hex, times ISO 8601 in UTC.
"""

from __future__ import annotations

from typing import Final

from ..client import (
    ConnectionChanged,
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
from ..ids import UserId
from .output import clock, iso, visible
from .session import name_of

Names = dict[UserId, str]

TICKS: Final = {
    DeliveryState.FAILED: "✗ ",
    DeliveryState.QUEUED: "… ",
    DeliveryState.SENT: "✓ ",
    DeliveryState.DELIVERED: "✓✓",
    DeliveryState.READ: "✔✔",
}
NO_TICKS: Final = "  "
READ_STYLE: Final = "1;36"  # heavy in a pipe, blue on a terminal: the convention that everybody knows


def message_json(message: Message, names: Names) -> dict[str, object]:
    """Return a message as programs get it."""
    return {
        "id": message.id.hex() if message.id else None,
        "cid": message.cid.hex(),
        "conversation": message.conv.hex(),
        "peer": message.peer.hex(),
        "peer_name": names.get(message.peer),
        "sender": message.sender.hex(),
        "sender_name": names.get(message.sender),
        "mine": message.mine,
        "text": message.text,
        "reply_to": message.reply_to.hex() if message.reply_to else None,
        "at": iso(message.at_ms),
        "state": message.state.name.lower(),
        "reason": message.reason or None,
    }


def event_json(event: Event, names: Names) -> dict[str, object]:  # noqa: PLR0911  one return an event reads as a table
    """Return an event as programs get it; `event` names its kind."""
    match event:
        case MessageReceived(message):
            return {"event": "message", **message_json(message, names)}
        case MessageChanged(message):
            return {"event": "state", **message_json(message, names)}
        case PresenceChanged(user, online, last_seen):
            return {"event": "presence", **_user(user, names), "online": online, "last_seen": iso(last_seen)}
        case TypingChanged(conv, user, active):
            return {"event": "typing", **_user(user, names), "conversation": conv.hex(), "active": active}
        case ConnectionChanged(state, reason):
            return {"event": "connection", "state": state.value, "reason": reason or None}
        case IdentityChanged(user):
            return {"event": "identity", **_user(user, names)}
        case Undecryptable():
            return {
                "event": "undecryptable",
                **_user(event.sender, names),
                "id": event.id.hex(),
                "conversation": event.conv.hex(),
                "reason": event.reason,
            }
        case ServerSuspected(what):
            return {"event": "suspected", "reason": what}
        case EventsLost(count):
            return {"event": "lost", "count": count}


def _user(user: UserId, names: Names) -> dict[str, object]:
    return {"user": user.hex(), "name": names.get(user)}


def message_line(message: Message, names: Names, *, day: bool = False) -> str:
    """Return a message as one line (more when its text has line ends): time, ticks, who, text."""
    ticks = TICKS[message.state] if message.mine else NO_TICKS
    who = "you" if message.mine else name_of(names, message.sender)
    text = "(cannot be decrypted)" if message.text is None else visible(message.text, indent=" " * 9)
    failure = f"  (not sent: {visible(message.reason)})" if message.state is DeliveryState.FAILED else ""
    return f"{clock(message.at_ms, day=day)} {ticks} {who}: {text}{failure}"


def event_line(event: Event, names: Names) -> str:
    """Return an event as people get it, on one line."""
    match event:
        case MessageReceived(message):
            line = message_line(message, names)
        case MessageChanged(message):
            line = f"{message.state.name.lower()}: {message_line(message, names)}"
        case PresenceChanged(user, online, last_seen):
            line = f"{name_of(names, user)} is {presence_words(online, last_seen)}"
        case TypingChanged(_, user, active):
            line = f"{name_of(names, user)} {'is typing' if active else 'stopped typing'}"
        case ConnectionChanged(state, reason):
            line = f"{state.value}{': ' + visible(reason) if reason else ''}"
        case IdentityChanged(user):
            line = (
                f"The key of {name_of(names, user)} has changed: compare safety numbers, "
                "then run `chappe safety-number WHO --trust`"
            )
        case Undecryptable():
            line = f"A message of {name_of(names, event.sender)} cannot be decrypted: {visible(event.reason)}"
        case ServerSuspected(what):
            line = f"The server did something that an honest one never does: {visible(what)}"
        case EventsLost(count):
            line = f"({count} events were too fast to be shown; `chappe history` has every message)"
    return line


def presence_words(online: bool | None, last_seen: int | None) -> str:
    """Return presence in words."""
    if online:
        return "online"
    if online is None and last_seen is None:
        return "hidden"
    return "offline" if last_seen is None else f"offline, last seen {clock(last_seen, day=True)}"
