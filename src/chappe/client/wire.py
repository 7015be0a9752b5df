"""What is said on one WebSocket connection, up to and including the sign-in.

The connector and the enrolment talk through here. The sans-IO session checks every frame both ways; what
trio-websocket raises becomes the SDK's own errors, once. Connecting is `dial.py`'s, the frames after the sign-in are
`link.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

import msgspec
import trio
from msgspec import Struct
from trio_websocket import ConnectionClosed, WebSocketConnection

from ..crypto import keys
from ..crypto.keys import DeviceKeys
from ..ids import MessageId
from ..protocol import codec
from ..protocol.codes import CloseCode, ProtocolError, RequestError
from ..protocol.decoders import decoder_of
from ..protocol.frames import (
    VERSION,
    Challenge,
    Error,
    Frame,
    Hello,
    Link,
    Login,
    Register,
    Result,
    Verify,
    Welcome,
    hello_transcript,
)
from ..protocol.session import Role, Session
from .errors import Refused, ServerLied, Unreachable

R = TypeVar("R", bound=Struct)

ANSWER_S: Final = 30.0
CLOSE_S: Final = 2.0

_FINAL: Final[dict[int, str]] = {
    CloseCode.NOT_AUTHENTICATED: (
        "The server does not know this device: log in again, or register again if it does not know the account "
        "either; what is stored here stays."
    ),
    CloseCode.FORBIDDEN: "This device was signed out by another device of the account; log in again.",
    CloseCode.REPLACED: "Another connection of this same device took over; use one program per folder.",
}


class Wire:
    """The connection. One task may send and one may receive."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self._socket = socket
        self._breach: Unreachable | None = None
        self.session = Session(Role.CLIENT)

    async def receive(self) -> list[Frame]:
        """Return the frames of the next WebSocket message.

        Raises: `Refused` when the server closed for good, `Unreachable` when the connection is over for now.
        """
        try:
            data = await self._socket.get_message()
        except ConnectionClosed as error:
            raise _closed(error) from None
        try:
            return self.session.receive(data if isinstance(data, bytes) else data.encode())
        except ProtocolError as error:
            # Kept before the goodbye: who sends meanwhile is told 1000 by trio-websocket, as if all were well.
            self._breach = Unreachable(f"The server broke the protocol: {error.message}")
            await self.close(error.close, error.message)
            raise self._breach from error

    async def send_bytes(self, data: bytes) -> None:
        """Send one WebSocket message of frames that passed the session. Raises: `Refused`, `Unreachable`."""
        try:
            await self._socket.send_message(data)
        except ConnectionClosed as error:
            raise self._breach or _closed(error) from None

    async def send(self, frame: Frame) -> None:
        """Send one frame. Raises: `Refused`, `Unreachable`."""
        self.session.sending(frame)
        await self.send_bytes(codec.join([codec.encode(frame)]))

    async def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Say goodbye, for at most `CLOSE_S`."""
        self.session.close()
        with trio.move_on_after(CLOSE_S):
            await self._socket.aclose(code, reason)

    async def ask(self, frame: Register | Verify | Login | Link, answer: type[R]) -> R:
        """Make one of the requests that are allowed before the sign-in.

        Raises: `RequestError`, `Refused`, `Unreachable`, `ServerLied`.
        """
        await self.send(frame)
        with _patience():
            while True:
                for received in await self.receive():
                    match received:
                        case Result(rid=frame.rid):
                            return decoded(received.value, answer)
                        case Error():
                            raise refusal(received)
                        case _:
                            pass

    async def challenge(self) -> Challenge:
        """Return the server's first frame. Raises: `Refused`, `Unreachable`."""
        with _patience():
            frames = await self.receive()
        match frames[0]:
            case Challenge() as challenge:
                return challenge
            case _:
                raise Unreachable("The server is about to stop; try again.")

    async def sign_in(
        self, device: DeviceKeys, cursor: bytes | None, newest: MessageId | None = None
    ) -> tuple[Welcome, Sequence[Frame]]:
        """Prove who this device is; return the welcome, and the frames that came in one message with it.

        `cursor` is where to go on, `newest` the greatest message id it has seen.

        Raises: `Refused`, `Unreachable`.
        """
        challenge = await self.challenge()
        proof = keys.sign_hello(device, hello_transcript(challenge.nonce, challenge.server, VERSION))
        await self.send(Hello(VERSION, device.device_id, proof, cursor, newest=newest))
        with _patience():
            frames = await self.receive()
        match frames[0]:
            case Welcome() as welcome:
                return welcome, frames[1:]
            case _:
                raise Unreachable("The server did not take this device in; try again.")


def decoded(value: msgspec.Raw, answer: type[R]) -> R:
    """Return a result as its type. Raises: `ServerLied`."""
    try:
        return decoder_of(answer).decode(value)
    except (ValueError, RecursionError) as error:  # msgspec's errors, and text that is no UTF-8
        raise ServerLied("The server gave an answer of the wrong form; it was not used.") from error


def refusal(error: Error) -> RequestError:
    """Return an ERROR as the exception."""
    return RequestError(
        error.code, error.message, retry_after_ms=error.retry_after_ms, detail=bytes(error.detail)
    )


def _closed(error: ConnectionClosed) -> Refused | Unreachable:
    code, reason = (error.reason.code, error.reason.reason) if error.reason else (1006, None)
    if (text := _FINAL.get(code)) is not None:
        return Refused(text, code)
    return Unreachable(f"The connection ended ({code}{': ' + reason if reason else ''}).")


@contextmanager
def _patience() -> Iterator[None]:
    try:
        with trio.fail_after(ANSWER_S):
            yield
    except trio.TooSlowError as error:
        raise Unreachable("The server did not answer in time; try again.") from error
