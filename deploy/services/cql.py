"""As much of Cassandra's native protocol (version 4) as it takes to ask a node whether it can do its work.

`cassandra` asks every node while it waits. A driver would do it too, and bring threads, a control connection and a
second dependency to this one question. Source: native_protocol_v4.spec of Apache Cassandra.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

VERSION: Final = 4
HEADER: Final = struct.Struct("!BBhBI")
ERROR, STARTUP, READY, QUERY, RESULT = 0x00, 0x01, 0x02, 0x07, 0x08
ONE, QUORUM, ALL = 0x0001, 0x0004, 0x0005


def query(host: str, port: int, statement: str, consistency: int, timeout_s: float = 5.0) -> bytes:
    """Run a statement; return the body of its result, rows included, as the protocol has it.

    Raises: `OSError` when the node cannot be talked to or refuses, with its reason.
    """
    text = statement.encode()
    with socket.create_connection((host, port), timeout_s) as connection:
        options = struct.pack("!H", 1) + _string("CQL_VERSION") + _string("3.0.0")
        opcode, body = _call(connection, STARTUP, options)
        if opcode == READY:
            words = struct.pack(f"!I{len(text)}sHB", len(text), text, consistency, 0)
            opcode, body = _call(connection, QUERY, words)
    if opcode == RESULT:
        return body
    raise ConnectionError(
        body[6:].decode(errors="replace") if opcode == ERROR else f"it answered with opcode {opcode}"
    )


def ask(host: str, port: int, statement: str, consistency: int) -> str | None:
    """Return None when the node runs the statement, else why not."""
    try:
        query(host, port, statement, consistency)
    except OSError as error:
        return str(error)
    return None


def _string(text: str) -> bytes:
    return struct.pack("!H", len(text)) + text.encode()


def _call(connection: socket.socket, opcode: int, body: bytes) -> tuple[int, bytes]:
    connection.sendall(HEADER.pack(VERSION, 0, 0, opcode, len(body)) + body)
    *_, answer, length = HEADER.unpack(_exactly(connection, HEADER.size))
    return answer, _exactly(connection, length)


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise ConnectionError("it hung up")
        data += more
    return data
