"""A gateway's part over real sockets, played by hand: a test says how it answers, and sees what the client sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

from chappe.ids import UserId
from chappe.protocol import calls, codec
from chappe.protocol.frames import (
    SUBPROTOCOL,
    Call,
    Challenge,
    Drained,
    Frame,
    Hello,
    Limits,
    Ping,
    Pong,
    Result,
    Send,
    Sent,
    Welcome,
)
from chappe.protocol.session import Role, Session

from .post import Post

Answer = Callable[[Frame], Sequence[Frame] | bytes | int | None]
"""What a test makes of a frame: frames or raw bytes to answer, a close code, or None for the usual answer."""


class HandServer:
    """Answers as an honest gateway would, unless `answer` says otherwise."""

    def __init__(self, post: Post, user: UserId) -> None:
        self.post = post
        self.user = user
        self.answer: Answer = lambda _frame: None
        self.heartbeat_s = 25.0
        self.received: list[Frame] = []
        self.port = 0

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def sends(self) -> list[Send]:
        return [frame for frame in self.received if isinstance(frame, Send)]

    def count(self, kind: type[Frame]) -> int:
        return sum(isinstance(frame, kind) for frame in self.received)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve_websocket, self._handle, "127.0.0.1", 0, None)
            self.port = server.port
            task_status.started()

    async def _handle(self, request: WebSocketRequest) -> None:
        socket = await request.accept(subprotocol=SUBPROTOCOL)
        session = Session(Role.SERVER)
        try:
            await self._send(socket, session, [Challenge(bytes(32), "hand", [1])])
            while True:
                for frame in session.receive(await socket.get_message()):
                    self.received.append(frame)
                    answer = self.answer(frame)
                    if isinstance(answer, int):
                        await socket.aclose(answer)
                        return
                    if isinstance(answer, bytes):
                        await socket.send_message(answer)
                        continue
                    await self._send(socket, session, self._usual(frame) if answer is None else answer)
        except ConnectionClosed:
            return
        finally:
            await trio.aclose_forcefully(socket._stream)

    async def _send(self, socket: WebSocketConnection, session: Session, frames: Sequence[Frame]) -> None:
        for frame in frames:
            session.sending(frame)
        if frames:
            await socket.send_message(codec.join([codec.encode(frame) for frame in frames]))

    def _usual(self, frame: Frame) -> Sequence[Frame]:
        match frame:
            case Hello():
                welcome = Welcome(bytes(16), self.user, b"", self.heartbeat_s, Limits(), self.post.clock.ms)
                return [welcome, Drained(b"drained")]
            case Call():
                return [Result(frame.rid, msgspec.Raw(msgspec.msgpack.encode(self._result(frame))))]
            case Send():
                return [Sent(frame.cid, self.post.ids.next())]
            case Ping():
                return [Pong(frame.n, 0)]
            case _:
                return []

    def _result(self, call: Call) -> msgspec.Struct:
        args = msgspec.msgpack.decode(call.args, type=calls.CALLS[call.name][0])
        match args:
            case calls.UserRef() if call.name == "devices.get":
                return self.post.lists[args.user]
            case calls.ClaimKeys():
                return calls.Bundles([self.post.claim(device) for device in args.devices])
            case calls.UserRef():
                return calls.OpenedConversation(bytes(16))
            case calls.PublishKeys():
                return calls.KeyCount(100, 100)
            case calls.GetReceipts():
                return calls.Receipts([])
            case _:
                return calls.KeyCount(100, 100) if call.name == "keys.count" else calls.Contacts([])
