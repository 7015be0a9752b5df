"""Sessions under arbitrary input, and two honest ones wired back to back.

The first half holds the promise that no input raises anything but a protocol error. The second half lets a
model choose what server and client say while messages are still under way, and checks that neither ever
faults the other.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chappe.protocol.codec import encode
from chappe.protocol.codes import ErrorCode, ProtocolError
from chappe.protocol.frames import (
    Ack,
    Call,
    Error,
    Event,
    Frame,
    Limits,
    Link,
    Ping,
    Pong,
    Result,
    Send,
    Sent,
)
from chappe.protocol.session import MAX_PINGS, LocalProtocolError, Role, Session, State

from .arbitrary import frame, mutated
from .arbitrary import message as any_message
from .dialogue import CHALLENGE, GOAWAY, HELLO, ID, NIL, WELCOME, event, message, send, session_at

randoms = st.randoms(use_true_random=False)


@pytest.mark.parametrize("role", Role)
@given(random=randoms)
def test_arbitrary_frames_in_any_order_raise_nothing_but_a_protocol_error(role: Role, random: Random) -> None:
    session = Session(role)
    for _ in range(6):
        one = frame(random)
        try:
            session.receive(message(one))
        except ProtocolError:
            assert session.state is State.CLOSED
            session = session_at(role, random.choice(list(State)))
        with suppress(LocalProtocolError):
            session.sending(frame(random))


@pytest.mark.parametrize("role", Role)
@given(random=randoms)
def test_a_signed_in_session_under_mutated_messages(role: Role, random: Random) -> None:
    session = session_at(role, State.READY)
    try:
        for _ in range(5):
            session.receive(mutated(random, any_message(random)))
    except ProtocolError:
        assert session.state is State.CLOSED


class BackToBack(RuleBasedStateMachine):
    """A server and a client that keep the rules, with up to any number of messages under way between them."""

    def __init__(self) -> None:
        super().__init__()
        self.server = Session(Role.SERVER, Limits(calls=3))
        self.client = Session(Role.CLIENT)
        self.to_client: deque[list[Frame]] = deque()
        self.to_server: deque[list[Frame]] = deque()
        self.rid = 0
        self.asked: list[int] = []  # came to the server, unanswered
        self.waiting = 0  # requests that the client has no answer for
        self.pinged: dict[Role, list[int]] = {Role.SERVER: [], Role.CLIENT: []}
        self.pings_out = {Role.SERVER: 0, Role.CLIENT: 0}
        self.events = 0
        self.seen = 0
        self.sends = 0
        self.sends_seen = 0

    @initialize(signed_in=st.sampled_from([True, True, True, False]))
    def start(self, signed_in: bool) -> None:
        if signed_in:
            self.challenge()
            self.client_reads()
            self.before_sign_in(hello=True)
            self.server_reads()
            self.welcome()

    def say(self, role: Role, *frames: Frame) -> None:
        session, way = (self.server, self.to_client) if role is Role.SERVER else (self.client, self.to_server)
        for one in frames:
            session.sending(one)
        way.append(list(frames))

    @precondition(lambda self: self.server.state is State.OPENING)
    @rule()
    def challenge(self) -> None:
        self.say(Role.SERVER, CHALLENGE)

    @precondition(lambda self: self.client.state is State.CHALLENGED)
    @rule(hello=st.booleans())
    def before_sign_in(self, hello: bool) -> None:
        if hello:
            self.say(Role.CLIENT, HELLO)
        else:
            self.request(Link(self.next_rid(), ID))

    @precondition(lambda self: self.server.state is State.GREETED)
    @rule()
    def welcome(self) -> None:
        self.say(Role.SERVER, WELCOME)

    @precondition(lambda self: self.client.state in {State.READY, State.LEAVING})
    @rule(count=st.integers(1, 5))
    def calls(self, count: int) -> None:
        self.request(*(Call(self.next_rid(), "contacts.list", NIL) for _ in range(count)))

    @precondition(lambda self: self.client.state in {State.READY, State.LEAVING})
    @rule()
    def send(self) -> None:
        self.sends += 1
        self.say(Role.CLIENT, send())

    @precondition(lambda self: self.client.state in {State.READY, State.LEAVING})
    @rule(back=st.integers(0, 3))
    def ack(self, back: int) -> None:
        self.say(Role.CLIENT, Ack(max(0, self.seen - back)))

    @precondition(lambda self: self.server.state in {State.READY, State.LEAVING})
    @rule(count=st.integers(1, 3))
    def deliver(self, count: int) -> None:
        numbers = range(self.events + 1, self.events + count + 1)
        self.events += count
        self.say(Role.SERVER, *(event(n) for n in numbers), Sent(ID, ID))

    @precondition(lambda self: self.asked and self.server.state is not State.CLOSED)
    @rule(which=st.integers(0, 99), well=st.booleans())
    def answer(self, which: int, well: bool) -> None:
        rid = self.asked.pop(which % len(self.asked))
        self.say(
            Role.SERVER, Result(rid, NIL) if well else Error(ErrorCode.NOT_FOUND, "It is not there.", rid)
        )

    @rule(role=st.sampled_from(Role))
    def ping(self, role: Role) -> None:
        session = self.server if role is Role.SERVER else self.client
        if session.state in {State.READY, State.LEAVING} and self.pings_out[role] < MAX_PINGS:
            self.pings_out[role] += 1
            self.rid += 1
            self.say(role, Ping(self.rid, 0))

    @rule(role=st.sampled_from(Role))
    def pong(self, role: Role) -> None:
        session = self.server if role is Role.SERVER else self.client
        if self.pinged[role] and session.state is not State.CLOSED:
            self.say(role, Pong(self.pinged[role].pop(), 0))

    @precondition(lambda self: self.server.state not in {State.LEAVING, State.CLOSED})
    @rule(really=st.sampled_from([False] * 9 + [True]))
    def go_away(self, really: bool) -> None:
        if really:
            self.say(Role.SERVER, GOAWAY)

    @precondition(lambda self: self.to_client)
    @rule()
    def client_reads(self) -> None:
        sent = self.to_client.popleft()
        got = self.client.receive(message(*sent))
        assert list(map(encode, got)) == list(map(encode, sent))
        for one in got:
            match one:
                case Event():
                    self.seen += 1
                    assert one.n == self.seen
                case Result() | Error():
                    self.waiting -= 1
                case Ping():
                    self.pinged[Role.CLIENT].append(one.n)
                case Pong():
                    self.pings_out[Role.CLIENT] -= 1
                case _:
                    pass

    @precondition(lambda self: self.to_server)
    @rule()
    def server_reads(self) -> None:
        closed = self.server.state is State.CLOSED
        sent = self.to_server.popleft()
        got = self.server.receive(message(*sent))
        assert len(got) == (0 if closed else len(sent))
        for one in got:
            match one:
                case Error():
                    assert len(self.asked) >= 3
                    assert one.code is ErrorCode.RATE_LIMITED
                    self.say(Role.SERVER, one)
                case Call() | Link():
                    self.asked.append(one.rid)
                    assert len(self.asked) <= 3
                case Send():
                    self.sends_seen += 1
                case Ping():
                    self.pinged[Role.SERVER].append(one.n)
                case Pong():
                    self.pings_out[Role.SERVER] -= 1
                case _:
                    pass

    def next_rid(self) -> int:
        self.rid += 1
        return self.rid

    def request(self, *frames: Frame) -> None:
        self.waiting += len(frames)
        self.say(Role.CLIENT, *frames)

    @invariant()
    def both_count_the_same(self) -> None:
        assert self.server.calls == len(self.asked)
        assert self.client.calls == self.waiting
        assert self.server.events == self.events
        assert self.client.events == self.seen
        if not self.to_client and not self.to_server:
            assert self.client.state is self.server.state
            if self.server.state is not State.CLOSED:
                assert self.waiting == len(self.asked)
                assert self.sends_seen == self.sends
                assert self.seen == self.events


BackToBack.TestCase.settings = settings(stateful_step_count=40)
test_two_honest_sessions = BackToBack.TestCase
