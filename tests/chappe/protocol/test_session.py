"""The session's order of frames against a table written by hand, and each of its counts by name."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from chappe.protocol.codes import CloseCode, ErrorCode, ProtocolError
from chappe.protocol.frames import (
    Ack,
    Call,
    Drained,
    Error,
    Frame,
    Limits,
    Link,
    Login,
    Ping,
    Pong,
    PreKeys,
    Presence,
    Receipt,
    Register,
    Result,
    Sent,
    Typing,
    Verify,
)
from chappe.protocol.session import MAX_PINGS, LocalProtocolError, Role, Session, State, frame_name

from .arbitrary import FRAMES
from .dialogue import CHALLENGE, GOAWAY, HELLO, ID, NIL, WELCOME, event, message, pass_on, send, session_at

PREKEYS = PreKeys(1, bytes(32), bytes(64), 2, bytes(1184), bytes(64))


ONE_OF_EACH: dict[str, Frame] = {
    frame_name(type(frame)): frame
    for frame in (
        CHALLENGE,
        HELLO,
        WELCOME,
        GOAWAY,
        Register(1, "ada", "+4930123456", "password", ID, bytes(32), bytes(32), b"list", PREKEYS),
        Verify(1, "+4930123456", "123456"),
        Login(1, "ada", "password", bytes(32), PREKEYS),
        Link(1, ID),
        Call(1, "contacts.list", NIL),
        Result(7, NIL),
        Error(ErrorCode.NOT_FOUND, "It is not there.", 7),
        send(),
        Sent(ID, ID),
        event(1),
        Ack(0),
        Drained(b""),
        Receipt(ID, ID),
        Typing(ID, True),
        Presence(ID, True),
        Ping(1, 0),
        Pong(7, 0),
    )
}
"""Each is right by its numbers in a session made by `session_at`, so that only the order decides."""

SIGNED_IN_CLIENT = "CALL SEND ACK RECEIPT TYPING PING PONG"
SIGNED_IN_SERVER = "RESULT ERROR SENT EVENT DRAINED RECEIPT TYPING PRESENCE PING PONG"
LEGAL = {
    (Role.CLIENT, State.OPENING): "",
    (Role.SERVER, State.OPENING): "CHALLENGE>challenged GOAWAY>closed",
    (Role.CLIENT, State.CHALLENGED): "REGISTER VERIFY LOGIN LINK HELLO>greeted",
    (Role.SERVER, State.CHALLENGED): "RESULT ERROR GOAWAY>closed",
    (Role.CLIENT, State.GREETED): "",
    (Role.SERVER, State.GREETED): "RESULT ERROR WELCOME>ready GOAWAY>closed",
    (Role.CLIENT, State.READY): SIGNED_IN_CLIENT,
    (Role.SERVER, State.READY): SIGNED_IN_SERVER + " GOAWAY>leaving",
    (Role.CLIENT, State.LEAVING): SIGNED_IN_CLIENT,
    (Role.SERVER, State.LEAVING): SIGNED_IN_SERVER,
    (Role.CLIENT, State.CLOSED): "",
    (Role.SERVER, State.CLOSED): "",
}


def pairs() -> Iterator[tuple[Role, State, str, State | None]]:
    for (sender, state), legal in LEGAL.items():
        moves = {name: after for name, _, after in (word.partition(">") for word in legal.split())}
        for name in ONE_OF_EACH:
            after = moves.get(name)
            yield sender, state, name, None if after is None else State(after) if after else state


GRID = pytest.mark.parametrize(
    ("sender", "state", "name", "after"),
    [pytest.param(*pair, id=f"{pair[0].value}-{pair[1].value}-{pair[2]}") for pair in pairs()],
)


def test_the_grid_has_every_frame() -> None:
    assert {type(frame) for frame in ONE_OF_EACH.values()} == set(FRAMES)
    assert {state for _, state in LEGAL} == set(State)


@GRID
def test_receiving(sender: Role, state: State, name: str, after: State | None) -> None:
    session = session_at(sender.peer, state)
    data = message(ONE_OF_EACH[name])
    if state is State.CLOSED:
        assert session.receive(data) == []
    elif after is None:
        with pytest.raises(ProtocolError) as caught:
            session.receive(data)
        signs_in_first = sender is Role.CLIENT and name in SIGNED_IN_CLIENT.split()
        assert caught.value.close is (CloseCode.NOT_AUTHENTICATED if signs_in_first else CloseCode.BAD_FRAME)
        assert name in caught.value.message
        assert session.state is State.CLOSED
    else:
        assert [frame_name(type(frame)) for frame in session.receive(data)] == [name]
        assert session.state is after


@GRID
def test_sending(sender: Role, state: State, name: str, after: State | None) -> None:
    session = session_at(sender, state)
    if after is None:
        with pytest.raises(LocalProtocolError, match=name):
            session.sending(ONE_OF_EACH[name])
        assert session.state is state
    else:
        session.sending(ONE_OF_EACH[name])
        assert session.state is after


@pytest.fixture
def server() -> Session:
    return session_at(Role.SERVER, State.READY, Limits(body_bytes=1000, wraps_bytes=100, calls=3))


@pytest.fixture
def client() -> Session:
    return session_at(Role.CLIENT, State.READY)


def refuses(session: Session, *frames: Frame, close: CloseCode = CloseCode.BAD_FRAME) -> str:
    with pytest.raises(ProtocolError) as caught:
        session.receive(message(*frames))
    assert caught.value.close is close
    assert session.state is State.CLOSED
    return caught.value.message


def test_hello_twice_is_refused_before_and_after_welcome() -> None:
    refuses(session_at(Role.SERVER, State.CHALLENGED), HELLO, HELLO)
    assert "allowed: ACK, CALL" in refuses(session_at(Role.SERVER, State.READY), HELLO)


def test_nothing_may_be_sent_along_with_hello() -> None:
    call = Call(1, "contacts.list", NIL)
    refuses(session_at(Role.SERVER, State.CHALLENGED), HELLO, call, close=CloseCode.NOT_AUTHENTICATED)


def test_after_an_error_everything_is_dropped(server: Session) -> None:
    refuses(server, HELLO)
    assert server.receive(message(send())) == []
    assert server.receive(b"rubbish") == []


def test_one_bad_frame_takes_its_whole_message_along(server: Session) -> None:
    refuses(server, send(), Ack(1))


def test_a_message_over_the_servers_own_limit() -> None:
    server = session_at(Role.SERVER, State.READY, Limits(message_bytes=100))
    refuses(server, send(bytes(200)), close=CloseCode.TOO_BIG)


class TestSizes:
    def test_a_body_too_big_refuses_this_send_only(self, server: Session) -> None:
        fits, too_big = send(bytes(1000)), send(bytes(1001))
        first, second, third = server.receive(message(fits, too_big, fits))
        assert (first, third) == (fits, fits)
        assert isinstance(second, Error)
        assert (second.code, second.cid, second.rid) == (ErrorCode.TOO_BIG, ID, None)
        server.sending(second)

    def test_wraps_count_together(self, server: Session) -> None:
        fits = send(wraps={bytes(16): bytes(50), ID: bytes(50)})
        assert server.receive(message(fits)) == [fits]
        (refused,) = server.receive(message(send(wraps={bytes(16): bytes(50), ID: bytes(51)})))
        assert isinstance(refused, Error)
        assert refused.code is ErrorCode.TOO_BIG
        assert "100" in refused.message

    def test_the_largest_send_of_all_fits_into_a_message(self) -> None:
        server = session_at(Role.SERVER, State.READY)
        limits = server.limits
        largest = send(
            bytes(limits.body_bytes), {bytes([n]) * 16: bytes(limits.wraps_bytes // 8) for n in range(8)}
        )
        assert server.receive(message(largest)) == [largest]

    def test_a_client_takes_the_limits_of_welcome(self) -> None:
        client = session_at(Role.CLIENT, State.GREETED)
        assert client.limits == Limits()
        client.receive(message(msgspec.structs.replace(WELCOME, limits=Limits(calls=2))))
        assert client.limits.calls == 2


class TestRequests:
    def test_a_rid_is_unique_while_it_waits(self, server: Session) -> None:
        call = Call(1, "contacts.list", NIL)
        server.receive(message(call))
        server.sending(Result(1, NIL))
        server.receive(message(call))
        refuses(server, call)

    def test_a_client_does_not_use_a_waiting_rid_again(self, client: Session) -> None:
        client.sending(Call(1, "contacts.list", NIL))
        with pytest.raises(LocalProtocolError, match="rid"):
            client.sending(Call(1, "contacts.list", NIL))
        client.receive(message(Error(ErrorCode.OVERLOADED, "Later.", 1)))
        client.sending(Call(1, "contacts.list", NIL))

    def test_one_call_too_many_is_refused_and_the_connection_goes_on(self, server: Session) -> None:
        calls = [Call(rid, "contacts.list", NIL) for rid in (1, 2, 3)]  # and 7 waits since before HELLO
        *taken, refused = server.receive(message(*calls))
        assert len(taken) == 2
        assert isinstance(refused, Error)
        assert (refused.code, refused.rid) == (ErrorCode.RATE_LIMITED, 3)
        server.sending(refused)
        server.sending(Result(1, NIL))
        assert server.receive(message(calls[2])) == [calls[2]]
        assert server.calls == 3

    def test_a_server_answers_once_and_only_what_was_asked(self, server: Session) -> None:
        server.receive(message(Call(1, "contacts.list", NIL)))
        server.sending(Result(1, NIL))
        for answer in (Result(1, NIL), Result(2, NIL), Error(ErrorCode.NOT_FOUND, "It is not there.", 2)):
            with pytest.raises(LocalProtocolError, match="rid"):
                server.sending(answer)

    @pytest.mark.parametrize("answer", [Result(1, NIL), Error(ErrorCode.NOT_FOUND, "It is not there.", 1)])
    def test_an_answer_that_nobody_asked_for(self, client: Session, answer: Frame) -> None:
        refuses(client, answer)

    def test_an_error_may_belong_to_a_send_or_to_nothing(self, server: Session, client: Session) -> None:
        errors = [Error(ErrorCode.TOO_BIG, "Too big.", cid=ID), Error(ErrorCode.RATE_LIMITED, "Slower.")]
        assert len(pass_on(server, client, *errors)) == 2


class TestEvents:
    def test_numbers_count_up_by_one_from_one(self, client: Session) -> None:
        client.receive(message(event(1), event(2)))
        assert client.events == 2
        refuses(client, event(4))

    @pytest.mark.parametrize("n", [0, 1, 3])
    def test_a_server_cannot_skip_or_repeat_one(self, server: Session, n: int) -> None:
        server.sending(event(1))
        with pytest.raises(LocalProtocolError):
            server.sending(event(n))
        server.sending(event(2))

    def test_an_ack_up_to_the_last_event_and_older_ones(self, server: Session) -> None:
        server.sending(event(1))
        server.sending(event(2))
        assert len(server.receive(message(Ack(2), Ack(0), Ack(1)))) == 3
        refuses(server, Ack(3))

    def test_a_client_cannot_acknowledge_what_did_not_come(self, client: Session) -> None:
        client.receive(message(event(1)))
        client.sending(Ack(1))
        with pytest.raises(LocalProtocolError):
            client.sending(Ack(2))


class TestPings:
    def test_pongs_match_pings_on_both_sides(self, server: Session, client: Session) -> None:
        for one, other in ((server, client), (client, server)):
            pass_on(one, other, Ping(8, 0))
            pass_on(other, one, Pong(8, 0))

    def test_a_pong_without_a_ping(self, server: Session) -> None:
        refuses(server, Pong(9, 0))

    def test_a_pong_counts_once(self, server: Session) -> None:
        refuses(server, Pong(7, 0), Pong(7, 0))

    def test_no_pong_for_a_ping_that_never_came(self, client: Session) -> None:
        with pytest.raises(LocalProtocolError):
            client.sending(Pong(8, 0))

    def test_a_flood_of_pings(self, server: Session) -> None:
        pings = [Ping(n, 0) for n in range(8, 8 + MAX_PINGS)]  # and 7 waits already
        refuses(server, *pings, close=CloseCode.TOO_MANY)
