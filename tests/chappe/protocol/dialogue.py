"""Ready-made frames, and sessions walked to where a test wants them."""

from __future__ import annotations

import msgspec

from chappe.protocol.codec import encode, join
from chappe.protocol.frames import (
    Challenge,
    Event,
    Frame,
    GoAway,
    Hello,
    Kind,
    Limits,
    Link,
    Ping,
    Send,
    Welcome,
)
from chappe.protocol.session import Role, Session, State

ID = b"0123456789abcdef"
NIL = msgspec.Raw(b"\xc0")


def event(n: int) -> Event:
    return Event(n, ID, ID, Kind.MESSAGE, ID, ID, ID, b"wrap", b"body")


def send(body: bytes = b"body", wraps: dict[bytes, bytes] | None = None) -> Send:
    return Send(ID, ID, Kind.MESSAGE, body, {ID: b"wrap"} if wraps is None else wraps)


CHALLENGE = Challenge(bytes(32), "chappe.example", [1])
HELLO = Hello(1, ID, bytes(64))
WELCOME = Welcome(ID, ID, b"", 25.0, Limits(), 0)
GOAWAY = GoAway("draining", 0, 1000)


def message(*frames: Frame) -> bytes:
    return join([encode(frame) for frame in frames])


def pass_on(sender: Session, receiver: Session, *frames: Frame) -> list[Frame]:
    for frame in frames:
        sender.sending(frame)
    return receiver.receive(message(*frames))


def session_at(role: Role, state: State, limits: Limits | None = None) -> Session:
    """Return one side of a connection, walked to `state`; there and on the other side 7 is a request and a
    PING.
    """
    session = Session(role, limits)
    server_says = session.sending if role is Role.SERVER else lambda frame: session.receive(message(frame))
    client_says = session.sending if role is Role.CLIENT else lambda frame: session.receive(message(frame))
    if state is State.OPENING:
        return session
    server_says(CHALLENGE)
    if state is not State.CLOSED:
        client_says(Link(7, ID))
    if state in {State.GREETED, State.READY, State.LEAVING}:
        client_says(HELLO)
    if state in {State.READY, State.LEAVING}:
        server_says(WELCOME)
        server_says(Ping(7, 0))
        client_says(Ping(7, 0))
    if state is State.LEAVING:
        server_says(GOAWAY)
    if state is State.CLOSED:
        session.close()
    assert session.state is state
    return session
