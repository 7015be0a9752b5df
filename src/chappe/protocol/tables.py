"""The tables and the diagram of `docs/protocol.md`, drawn from the schema: `python -m chappe.protocol.tables
FILE`.

The page holds pairs of markers, `<!-- begin NAME -->` and `<!-- end NAME -->`; what is between them belongs
to this module. A test compares, so the page cannot drift from the code. Nothing at run time needs this.
"""

from __future__ import annotations

import enum
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, NewType, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from ..ids import Cid, DeviceId, MessageId
from . import calls, frames
from .calls import CALLS, Nothing, UserRef
from .codec import encode, join
from .codes import RETRYABLE, CloseCode, ErrorCode
from .session import MOVES, Role, State, frame_name

ERRORS: Final = {
    ErrorCode.BAD_REQUEST: "The arguments are wrong; the message says which. Fix the client.",
    ErrorCode.TOO_BIG: "A body or the sum of wraps is over the limits of WELCOME. Send less.",
    ErrorCode.RATE_LIMITED: "Too many of these. Wait `retry_after_ms`; if absent, for an answer.",
    ErrorCode.OVERLOADED: "The server is too busy now. Wait, longer each time.",
    ErrorCode.STORE_UNAVAILABLE: "The store is away or full. A SEND may be stored all the same.",
    ErrorCode.WRITE_LATE: "The write took too long to be acknowledged; it may be stored.",
    ErrorCode.NOT_AUTHENTICATED: "Not signed in.",
    ErrorCode.FORBIDDEN: "Not allowed, or something is full; the message says which.",
    ErrorCode.NOT_FOUND: "No such account, or no such announced device.",
    ErrorCode.UNKNOWN_CALL: "This server does not know that call.",
    ErrorCode.UNKNOWN_CONVERSATION: "Call `conversations.open` first.",
    ErrorCode.MISMATCHED_DEVICES: "Nothing was stored. `detail` is MismatchedDevices; see Sending.",
    ErrorCode.CID_CONFLICT: "This cid named another message. A fault of the client.",
    ErrorCode.USERNAME_TAKEN: "Choose another user name.",
    ErrorCode.PHONE_TAKEN: "This phone number has an account; log in instead.",
    ErrorCode.BAD_PHONE: "Not a valid number; write it in E.164.",
    ErrorCode.BAD_CODE: "Wrong or expired verification code; after too many, register again.",
    ErrorCode.BAD_CREDENTIALS: "Wrong user name or password.",
    ErrorCode.BAD_SIGNATURE: "A device list or prekey is not signed by whom it should be.",
    ErrorCode.STALE_DEVICE_LIST: "Another device was faster. Fetch the list, sign the version after it.",
    ErrorCode.LINK_PENDING: "Not linked yet; ask again.",
    ErrorCode.INTERNAL: "A fault of the server, which has been logged.",
}

CLOSES: Final = {
    CloseCode.NORMAL: "Either side was done.",
    CloseCode.GOING_AWAY: "The server stops. Reconnect as its GOAWAY said.",
    CloseCode.INTERNAL: "A fault of the server. Reconnect with backoff.",
    CloseCode.BAD_FRAME: "A frame was malformed or out of order; the reason says which. Fix the client.",
    CloseCode.NOT_AUTHENTICATED: "Unknown device, wrong proof, or HELLO missing. Do not retry.",
    CloseCode.FORBIDDEN: "This device was revoked. Do not retry.",
    CloseCode.TOO_SLOW: "No ACK or PONG in time, or too much waited. Reconnect; the cursor is good.",
    CloseCode.REPLACED: "This device connected anew elsewhere. Do not retry.",
    CloseCode.TOO_BIG: "A WebSocket message was over `message_bytes`. Split it.",
    CloseCode.TOO_MANY: "Too many connections or PINGs. Reconnect with backoff.",
    CloseCode.OVERLOADED: "Too busy. Reconnect with backoff.",
}


def render(page: str) -> str:
    """Return the page with everything between its markers drawn anew.

    Raises: `KeyError` for a marker that names no table here.
    """

    def drawn(found: re.Match[str]) -> str:
        return f"{found[1]}\n{TABLES[found[2]]()}\n{found[3]}"

    return re.sub(r"(<!-- begin (\w+) -->)\n.*?(<!-- end \2 -->)", drawn, page, flags=re.DOTALL)


def frames_table() -> str:
    """Return every frame: type, name, direction, fields, meaning."""
    kinds = sorted(get_args(frames.Frame), key=lambda kind: kind.__struct_config__.tag)
    rows = [
        (
            str(kind.__struct_config__.tag),
            f"**{frame_name(kind)}**",
            _direction(kind),
            fields(kind),
            meaning(kind),
        )
        for kind in kinds
    ]
    return _table(("type", "frame", "from", "fields", "meaning"), rows)


def calls_table() -> str:
    """Return every call: name, arguments, result."""
    plain = {Nothing, UserRef}  # they say nothing about the call

    def row(name: str, args: type[Struct], result: type[Struct]) -> tuple[str, ...]:
        telling = next((kind for kind in (args, result) if kind not in plain), None)
        return f"`{name}`", fields(args), f"**{result.__name__}**", meaning(telling) if telling else ""

    rows = [row(name, *pair) for name, pair in CALLS.items()]
    return _table(("call", "arguments", "result", "meaning"), rows)


def parts_table() -> str:
    """Return the arrays inside frames and calls that have a name of their own."""
    results = {result for _, result in CALLS.values()}
    shown = {*get_args(frames.Frame), *(args for args, _ in CALLS.values() if args not in results)}
    parts = [
        kind
        for module in (frames, calls)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Struct) and kind.__module__ == module.__name__
        if kind not in shown
    ]
    rows = [(f"**{kind.__name__}**", fields(kind), meaning(kind)) for kind in parts]
    return _table(("array", "fields", "meaning"), rows)


def enums_table() -> str:
    """Return the closed sets of values."""
    kinds: tuple[type[enum.Enum], ...] = (frames.Kind, calls.Privacy)
    rows = [
        (
            f"**{kind.__name__}**",
            ", ".join(f"`{item.value}` {item.name.lower()}" for item in kind),
            meaning(kind),
        )
        for kind in kinds
    ]
    return _table(("name", "values", "meaning"), rows)


def errors_table() -> str:
    """Return every error code and what a client does about it."""
    rows = [(f"`{code.value}`", "yes" if code in RETRYABLE else "no", ERRORS[code]) for code in ErrorCode]
    return _table(("code", "same frame again?", "meaning, and what to do"), rows)


def closes_table() -> str:
    """Return every close code."""
    rows = [(str(code.value), code.name.lower(), CLOSES[code]) for code in CloseCode]
    return _table(("code", "name", "meaning, and what to do"), rows)


def order_table() -> str:
    """Return who may send what in which state."""
    rows = [(state.value, _may_send(Role.SERVER, state), _may_send(Role.CLIENT, state)) for state in State]
    return _table(("state", "the server may send", "the client may send"), rows)


def diagram() -> str:
    """Return the moves between states as a mermaid diagram."""
    lines = [
        f"    {state.value} --> {after.value}: {frame_name(kind)} ({sender.value})"
        for (sender, state, kind), after in MOVES.items()
        if after is not state
    ]
    ends = [f"    {state.value} --> [*]" for state in State if state is State.CLOSED]
    return "\n".join(
        ["```mermaid", "stateDiagram-v2", f"    [*] --> {State.OPENING.value}", *lines, *ends, "```"]
    )


def examples() -> str:
    """Return a few messages as bytes, to check an encoder and a decoder against."""
    nonce, device, proof, cid = bytes(range(32)), bytes(range(16)), bytes(64), b"\xc1" * 16
    shown = [
        ("One ACK, `n` = 7", join([encode(frames.Ack(7))])),
        ("ACK 7 and PING 1 at time 0", join([encode(frames.Ack(7)), encode(frames.Ping(1, 0))])),
        ("SENT, not a duplicate", join([encode(frames.Sent(Cid(cid), MessageId(bytes(16))))])),
        ("CALL 5 of `contacts.list`", join([encode(frames.Call(5, "contacts.list", msgspec.Raw(b"\x90")))])),
        (
            "HELLO without cursor, window 64, proof all zero",
            join([encode(frames.Hello(1, DeviceId(device), proof, None, 64))]),
        ),
        (
            "What HELLO's proof signs: nonce 00 to 1f, server `chappe.example`, version 1",
            frames.hello_transcript(nonce, "chappe.example", 1),
        ),
    ]
    return "\n".join(f"* {what}:\n  `{data.hex(' ')}`" for what, data in shown)


TABLES: Final[dict[str, Callable[[], str]]] = {
    "frames": frames_table,
    "calls": calls_table,
    "parts": parts_table,
    "enums": enums_table,
    "errors": errors_table,
    "closes": closes_table,
    "order": order_table,
    "diagram": diagram,
    "examples": examples,
}


def fields(kind: type[Struct]) -> str:
    """Return a Struct's fields in order, with their types; `?` marks what may be nil, `=` a default."""
    hints = get_type_hints(kind, include_extras=True)
    shown = []
    for field in msgspec.structs.fields(kind):
        default = "" if field.required or field.default is None else f" = {_default(field.default)}"
        shown.append(f"`{field.name}` {_type(hints[field.name])}{default}")
    return "<br>".join(shown) or "none"


def meaning(kind: type) -> str:
    """Return a class's docstring as one line."""
    return " ".join((inspect.getdoc(kind) or "").split())


def _default(value: Any) -> str:
    if isinstance(value, msgspec.Raw):
        return "nil"
    if value in {"", b""}:
        return "empty"
    return str(value.value if isinstance(value, enum.Enum) else value).lower()


def _type(hint: Any, bounds: msgspec.Meta | None = None) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _type(args[0], next(arg for arg in args[1:] if isinstance(arg, msgspec.Meta)))
    if origin in {Union, types.UnionType}:
        return _type(next(arg for arg in args if arg is not type(None))) + "?"
    if origin is list:
        return f"[{_type(args[0])}]{_bounds(bounds)}"
    if origin is dict:
        return f"{{{_type(args[0])}: {_type(args[1])}}}{_bounds(bounds)}"
    if isinstance(hint, NewType):
        return hint.__name__
    name = {str: "text", msgspec.Raw: "any"}.get(hint, hint.__name__)
    return f"{name}{_bounds(bounds)}"


def _bounds(bounds: msgspec.Meta | None) -> str:
    if bounds is None:
        return ""
    low = next((b for b in (bounds.min_length, bounds.ge, bounds.gt) if b is not None), 0)
    high = next((b for b in (bounds.max_length, bounds.le) if b is not None), None)
    if high is None:
        return ""  # numbers below 2**53: the page says so once
    return f"({high})" if low == high else f"({low}..{high})"


def _direction(kind: type[frames.Frame]) -> str:
    senders = {sender for sender, _, of in MOVES if of is kind}
    return "both" if len(senders) == len(Role) else senders.pop().value


def _may_send(sender: Role, state: State) -> str:
    names = (frame_name(kind) for who, at, kind in MOVES if who is sender and at is state)
    return ", ".join(sorted(names)) or "nothing"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    def lines() -> Iterator[str]:
        yield "| " + " | ".join(head) + " |"
        yield "|---" * len(head) + "|"
        for row in rows:
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"

    return "\n".join(lines())


def main(path: Path) -> None:
    """Draw the page at `path` anew."""
    path.write_text(render(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
