"""A server of sixty lines that speaks just enough of the protocol, with one planted fault.

The benchmark must notice each: a check that has never failed has not been seen to work. Run as
`python standin.py FAULT serve ...`; the port comes by environment, as it does for the real server.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

from chappe.ids import HybridClock, device_id, direct_conversation
from chappe.protocol import frames
from chappe.protocol.calls import OpenedConversation, UserRef
from chappe.protocol.codes import ErrorCode

FAULTY = {50, 100, 150}
"""Which messages have the fault: few enough that a pair's slots do not all end in lost messages."""

FAULT = sys.argv[1]
decode = msgspec.msgpack.Decoder(list[frames.Frame]).decode
encode = msgspec.msgpack.encode
accepted = itertools.count(1)
clock = HybridClock(itertools.count(1).__next__, node=1)
users: dict[bytes, bytes] = {}
signed_in: dict[bytes, Client] = {}
writers: dict[bytes, Client] = {}


class Client(WSListener):
    """One connection."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.device = b""
        self.events = 0
        self.put(frames.Challenge(os.urandom(32), "stand-in", [1]))

    def put(self, *several: frames.Frame) -> None:
        self.transport.send(WSMsgType.BINARY, encode(several))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is not WSMsgType.BINARY:
            transport.disconnect()
            return
        for received in decode(frame.get_payload_as_bytes()):
            match received:
                case frames.Register():
                    users[device_id(received.device_key)] = received.user
                    print(f"verification code for {received.phone}: 123456", flush=True)
                    self.put(frames.Result(received.rid, msgspec.Raw(b"\x90")))
                case frames.Verify():
                    self.put(frames.Result(received.rid, msgspec.Raw(b"\x90")))
                case frames.Hello():
                    self.device = received.device
                    signed_in[self.device] = self
                    self.put(
                        frames.Welcome(bytes(16), users[self.device], b"", 25.0, frames.Limits(), 1),
                        frames.Drained(b""),
                    )
                case frames.Call():
                    other = msgspec.msgpack.decode(received.args, type=UserRef).user
                    conv = direct_conversation(users[self.device], other)
                    self.put(frames.Result(received.rid, msgspec.Raw(encode(OpenedConversation(conv)))))
                case frames.Send():
                    self.accept(received)
                case frames.Receipt():
                    writers[received.conv].put(received)
                case _:
                    pass

    def accept(self, message: frames.Send) -> None:
        writers[message.conv] = self
        name = clock.next()
        is_faulty = next(accepted) in FAULTY
        if is_faulty and FAULT == "refuse":
            self.put(frames.Error(ErrorCode.OVERLOADED, "Too much.", cid=message.cid))
        if is_faulty and FAULT == "close":
            self.transport.send_close(4503, b"too much")
        self.put(frames.Sent(message.cid, name))
        ((device, wrap),) = message.wraps.items()
        for _ in range({"lose": 0, "twice": 2}.get(FAULT, 1) if is_faulty else 1):
            reader = signed_in[device]
            reader.events += 2 if is_faulty and FAULT == "gap" else 1
            body = bytes(len(message.body)) if is_faulty and FAULT == "alter" else message.body
            told = clock.next() if is_faulty and FAULT == "rename" else name
            reader.put(
                frames.Event(
                    reader.events, told, message.conv, message.kind, users[self.device], self.device,
                    message.cid, wrap, body,
                )
            )  # fmt: skip


async def main() -> None:
    await ws_create_server(
        lambda _request: Client(), "127.0.0.1", int(os.environ["CHAPPE_NODE_GATEWAY__PORT"])
    )
    gone = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, gone.set)
    await gone.wait()
    os._exit(3 if FAULT == "code" else 0)  # clients may still be connected: nothing to wait for


asyncio.run(main())
