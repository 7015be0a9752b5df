"""The session: which frame may come when, on either side of one connection.

Server, SDK, tests and load generator hold one per WebSocket connection and pass every frame by it, both ways.
It decodes, keeps the order of the conversation (`MOVES`, a table that the tests and the documentation read
too), and counts what must add up: event numbers, acknowledgements, request ids, pongs. It does no I/O, reads
no clock and knows nobody's rights: proofs, conversations and rates are the gateway's. Model: h11,
https://h11.readthedocs.io.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from .codec import decode
from .codes import CloseCode, ErrorCode, ProtocolError
from .frames import (
    Ack,
    Call,
    Challenge,
    Drained,
    Error,
    Event,
    Frame,
    GoAway,
    Hello,
    Limits,
    Link,
    Login,
    Ping,
    Pong,
    Presence,
    Receipt,
    Register,
    Result,
    Send,
    Sent,
    Typing,
    Verify,
    Welcome,
)

MAX_PINGS: Final = 8
"""PINGs a peer may have unanswered. An honest one has one; the rest is room for a server that was busy."""


class Role(Enum):
    """A side of the connection."""

    SERVER = "server"
    CLIENT = "client"

    @property
    def peer(self) -> Role:
        """The other side."""
        return Role.CLIENT if self is Role.SERVER else Role.SERVER


class State(Enum):
    """Where a connection is; both sides go through the same states."""

    OPENING = "opening"
    """The WebSocket is open; the server speaks first."""
    CHALLENGED = "challenged"
    """The client may register, log in, link, or sign in with HELLO."""
    GREETED = "greeted"
    """HELLO is under way; only the server may speak."""
    READY = "ready"
    """Signed in."""
    LEAVING = "leaving"
    """GOAWAY was sent: what was under way is finished, then the server closes."""
    CLOSED = "closed"
    """Nothing is sent any more, and what still arrives is dropped."""


class LocalProtocolError(Exception):
    """This side wanted to send what its peer would refuse: a bug here. Nothing changed; do not send it."""


_BOTH_WAYS: Final = (Receipt, Typing, Ping, Pong)
_FROM_CLIENT: Final = (Call, Send, Ack, *_BOTH_WAYS)
_FROM_SERVER: Final = (Result, Error, Sent, Event, Drained, Presence, *_BOTH_WAYS)
_SIGNED_IN: Final = {Role.CLIENT: _FROM_CLIENT, Role.SERVER: _FROM_SERVER}

MOVES: Final[dict[tuple[Role, State, type[Frame]], State]] = {
    (Role.SERVER, State.OPENING, Challenge): State.CHALLENGED,
    (Role.CLIENT, State.CHALLENGED, Hello): State.GREETED,
    (Role.SERVER, State.GREETED, Welcome): State.READY,
    **{(Role.CLIENT, State.CHALLENGED, kind): State.CHALLENGED for kind in (Register, Verify, Login, Link)},
    **{(Role.SERVER, at, kind): at for at in (State.CHALLENGED, State.GREETED) for kind in (Result, Error)},
    **{
        (sender, at, kind): at
        for at in (State.READY, State.LEAVING)
        for sender, kinds in _SIGNED_IN.items()
        for kind in kinds
    },
    **{(Role.SERVER, at, GoAway): State.CLOSED for at in (State.OPENING, State.CHALLENGED, State.GREETED)},
    (Role.SERVER, State.READY, GoAway): State.LEAVING,
}
"""(who sends, in which state, which frame) -> the state after it. What is not here is not allowed.

LEAVING still takes everything from the client, because its frames may have crossed the GOAWAY. Before sign-in
there is nothing to finish, so there a GOAWAY ends the session at once.
"""

_NEXT: Final = {
    sender: {
        at: {kind: after for (who, was, kind), after in MOVES.items() if who is sender and was is at}
        for at in State
    }
    for sender in Role
}


class Session:
    """One connection's protocol state. About a microsecond a frame.

    On the server, `limits` are what it enforces on the client; a client learns them from WELCOME.
    """

    __slots__ = (
        "_calls",
        "_events",
        "_limits",
        "_moves_in",
        "_moves_out",
        "_pinged",
        "_pings",
        "_role",
        "_state",
    )

    def __init__(self, role: Role, limits: Limits | None = None) -> None:
        self._role = role
        self._limits = limits or Limits()
        self._calls: set[int] = set()
        self._events = 0
        self._pings: list[int] = []  # numbers of this side's own, unanswered
        self._pinged: list[int] = []  # numbers of the peer's, unanswered
        self._enter(State.OPENING)

    @property
    def state(self) -> State:
        """Where the connection is."""
        return self._state

    @property
    def limits(self) -> Limits:
        """What the server enforces; on the client the defaults until WELCOME came."""
        return self._limits

    @property
    def calls(self) -> int:
        """How many requests wait for their RESULT or ERROR."""
        return len(self._calls)

    @property
    def events(self) -> int:
        """The number of the last EVENT of this connection, 0 before the first."""
        return self._events

    def receive(self, data: bytes) -> list[Frame]:
        """Return the frames of one WebSocket message from the peer, in order, after checking them.

        On the server an `Error` among them stands for a frame that was refused: a SEND over the size limits
        (`too_big`) or one CALL too many (`rate_limited`). Send it back as it is; the connection goes on. When
        CLOSED the answer is empty.

        Raises: `ProtocolError` and nothing else. The session is CLOSED then: send the close code and hang up.
        """
        if self._state is State.CLOSED:
            return []
        try:
            limit = self._limits.message_bytes if self._role is Role.SERVER else Limits().message_bytes
            frames = decode(data, limit)
            checks = _RECEIVE[self._role]
            for i, frame in enumerate(frames):
                kind = type(frame)
                after = self._moves_in.get(kind)
                if after is None:
                    raise self._unexpected(kind)
                if (check := checks.get(kind)) is not None and (refusal := check(self, frame)) is not None:
                    frames[i] = refusal
                if after is not self._state:
                    self._enter(after)
        except ProtocolError:
            self.close()
            raise
        return frames

    def sending(self, frame: Frame) -> None:
        """Check a frame that is about to be sent, and move on. Call it in the order in which frames are sent.

        Raises: `LocalProtocolError` when it may not be sent; the session is as before.
        """
        kind = type(frame)
        after = self._moves_out.get(kind)
        if after is None:
            raise LocalProtocolError(
                f"{frame_name(kind)} cannot be sent by the {self._role.value} when {self._state.value}."
            )
        if (check := _SENDING[self._role].get(kind)) is not None:
            check(self, frame)
        if after is not self._state:
            self._enter(after)

    def close(self) -> None:
        """Note that the connection is over. Doing so twice is no error."""
        self._enter(State.CLOSED)

    def _enter(self, state: State) -> None:
        self._state = state
        self._moves_in = _NEXT[self._role.peer][state]
        self._moves_out = _NEXT[self._role][state]

    def _unexpected(self, kind: type[Frame]) -> ProtocolError:
        if self._role is Role.SERVER and kind in _FROM_CLIENT and State.READY is not self._state:
            return ProtocolError(
                CloseCode.NOT_AUTHENTICATED,
                f"{frame_name(kind)} came before WELCOME; sign in with HELLO first.",
            )
        allowed = ", ".join(sorted(map(frame_name, self._moves_in))) or "nothing"
        return _bad(f"{frame_name(kind)} is not allowed when {self._state.value}; allowed: {allowed}.")


def frame_name(kind: type[Frame]) -> str:
    """Return a frame's name as the documentation writes it."""
    return kind.__name__.upper()


def _bad(message: str) -> ProtocolError:
    return ProtocolError(CloseCode.BAD_FRAME, message)


def _open_request(session: Session, frame: Call | Register | Verify | Login | Link) -> Error | None:
    """A rid may be used again once it was answered. One refused for the limit waits for its ERROR like any
    other.
    """
    calls = session._calls
    if frame.rid in calls:
        raise _bad("This rid still waits for its answer; use a new one.")
    refused = len(calls) >= session._limits.calls
    calls.add(frame.rid)
    if not refused:
        return None
    return Error(
        ErrorCode.RATE_LIMITED, f"{session._limits.calls} requests wait for answers; wait too.", frame.rid
    )


def _check_size(session: Session, frame: Send) -> Error | None:
    limits = session._limits
    if len(frame.body) > limits.body_bytes:
        return Error(ErrorCode.TOO_BIG, f"A body holds at most {limits.body_bytes} bytes.", cid=frame.cid)
    if sum(map(len, frame.wraps.values())) > limits.wraps_bytes:
        return Error(
            ErrorCode.TOO_BIG, f"All wraps together hold at most {limits.wraps_bytes} bytes.", cid=frame.cid
        )
    return None


def _check_ack(session: Session, frame: Ack) -> None:
    if frame.n > session._events:
        raise _bad("ACK is ahead of the events; acknowledge only what came.")


def _count_event(session: Session, frame: Event) -> None:
    if frame.n != session._events + 1:
        raise _bad("EVENT numbers must count up by one; reconnect with the last cursor.")
    session._events = frame.n


def _close_request(session: Session, frame: Result | Error) -> None:
    if frame.rid is None:
        return
    if frame.rid not in session._calls:
        raise _bad("The answered rid was never asked, or was answered before.")
    session._calls.remove(frame.rid)


def _take_limits(session: Session, frame: Welcome) -> None:
    session._limits = frame.limits


def _note_ping(session: Session, frame: Ping) -> None:
    if len(session._pinged) >= MAX_PINGS:
        raise ProtocolError(CloseCode.TOO_MANY, "Too many PINGs without waiting for PONG.")
    session._pinged.append(frame.n)


def _match_pong(session: Session, frame: Pong) -> None:
    if frame.n not in session._pings:
        raise _bad("PONG answers no PING.")
    session._pings.remove(frame.n)


def _send_request(session: Session, frame: Call | Register | Verify | Login | Link) -> None:
    if frame.rid in session._calls:
        raise LocalProtocolError("This rid still waits for its answer; use a new one.")
    session._calls.add(frame.rid)


def _send_answer(session: Session, frame: Result | Error) -> None:
    if frame.rid is None:
        return
    if frame.rid not in session._calls:
        raise LocalProtocolError("This rid was never asked, or was answered before.")
    session._calls.remove(frame.rid)


def _send_event(session: Session, frame: Event) -> None:
    if frame.n != session._events + 1:
        raise LocalProtocolError(f"EVENT {frame.n} cannot follow EVENT {session._events}.")
    session._events = frame.n


def _send_ack(session: Session, frame: Ack) -> None:
    if frame.n > session._events:
        raise LocalProtocolError(f"ACK {frame.n} is ahead of EVENT {session._events}.")


def _send_ping(session: Session, frame: Ping) -> None:
    session._pings.append(frame.n)


def _send_pong(session: Session, frame: Pong) -> None:
    if frame.n not in session._pinged:
        raise LocalProtocolError(f"PONG {frame.n} answers no PING.")
    session._pinged.remove(frame.n)


_Checks = dict[Role, dict[type[Frame], Callable[[Session, Any], Error | None]]]

_REQUESTS: Final = (Call, Register, Verify, Login, Link)

_RECEIVE: Final[_Checks] = {
    Role.SERVER: {
        **dict.fromkeys(_REQUESTS, _open_request),
        Send: _check_size,
        Ack: _check_ack,
        Ping: _note_ping,
        Pong: _match_pong,
    },
    Role.CLIENT: {
        **dict.fromkeys((Result, Error), _close_request),
        Event: _count_event,
        Welcome: _take_limits,
        Ping: _note_ping,
        Pong: _match_pong,
    },
}

_SENDING: Final[_Checks] = {
    Role.CLIENT: {
        **dict.fromkeys(_REQUESTS, _send_request),
        Ack: _send_ack,
        Ping: _send_ping,
        Pong: _send_pong,
    },
    Role.SERVER: {
        **dict.fromkeys((Result, Error), _send_answer),
        Event: _send_event,
        Ping: _send_ping,
        Pong: _send_pong,
    },
}
