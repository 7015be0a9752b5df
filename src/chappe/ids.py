"""Identifiers, and the clock that makes message ids.

Every id is 16 raw bytes; the type says what it names. A message id is a UUID version 7 (RFC 9562) made by a hybrid
logical clock, so that ids alone are the order of a conversation: no sequencer, no lease. Gateways make message ids,
clients make everything else; nobody here reads a wall clock, the caller passes the time in.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Final, NewType

UserId = NewType("UserId", bytes)
DeviceId = NewType("DeviceId", bytes)
ConversationId = NewType("ConversationId", bytes)
MessageId = NewType("MessageId", bytes)
Cid = NewType("Cid", bytes)

ID_BYTES: Final = 16
FIRST_ID: Final = MessageId(bytes(ID_BYTES))

_NODE_BITS = 48
_COUNTER_BITS = 26
_LOW_COUNTER_BITS = 14
_LOW_COUNTER = (1 << _LOW_COUNTER_BITS) - 1
_VERSION_7 = 7 << 12
_VARIANT = 2 << 62
_pack = struct.Struct(">QQ").pack
_unpack = struct.Struct(">QQ").unpack


def device_id(device_key: bytes) -> DeviceId:
    """Name a device after its Ed25519 public key (32 bytes), so that nobody can pass one key off as another."""
    return DeviceId(hashlib.blake2b(device_key, digest_size=ID_BYTES, person=b"chappe device").digest())


def direct_conversation(one: UserId, other: UserId) -> ConversationId:
    """Name the conversation of two accounts, the same from either side."""
    low, high = sorted((one, other))
    return ConversationId(hashlib.blake2b(low + high, digest_size=ID_BYTES, person=b"chappe direct").digest())


def millis(message: MessageId) -> int:
    """Return when a message was accepted, in milliseconds since 1970 (UTC)."""
    return int.from_bytes(message[:6], "big")


def floor_id(at_ms: int) -> MessageId:
    """Return an id that sorts before every id made in the millisecond `at_ms` or later."""
    return MessageId(max(0, at_ms).to_bytes(6, "big") + bytes(10))


def before(message: MessageId) -> MessageId:
    """Return the greatest id that is smaller than `message`."""
    return MessageId((int.from_bytes(message, "big") - 1).to_bytes(ID_BYTES, "big"))


class HybridClock:
    """Makes message ids that never run backwards, whatever the wall clock does.

    `now_ms` is a wall clock in milliseconds; `node` (48 bits) tells gateways apart. A clock that was set back keeps
    counting in the last millisecond it has seen: 2**26 ids fit in one, after that it runs ahead by a millisecond.
    Source: Kulkarni et al., "Logical Physical Clocks" (2014).
    """

    __slots__ = ("_counter", "_ms", "_newest", "_node", "_now_ms")

    def __init__(self, now_ms: Callable[[], int], node: int) -> None:
        self._now_ms = now_ms
        self._node = node & ((1 << _NODE_BITS) - 1)
        self._ms = 0
        self._counter = 0
        self._newest = FIRST_ID

    @property
    def newest(self) -> MessageId:
        """The greatest id that this clock has made or observed, whichever gateway's; 16 zero bytes before the first."""
        return self._newest

    def next(self) -> MessageId:
        """Return an id greater than every id this clock has made or observed."""
        now = self._now_ms()
        if now > self._ms:
            self._ms, self._counter = now, 0
        else:
            self._counter += 1
            if self._counter >> _COUNTER_BITS:
                self._ms, self._counter = self._ms + 1, 0
        self._newest = self._id(self._ms, self._counter)
        return self._newest

    def _id(self, ms: int, counter: int) -> MessageId:
        high = (ms << 16) | _VERSION_7 | (counter >> _LOW_COUNTER_BITS)
        low = _VARIANT | ((counter & _LOW_COUNTER) << _NODE_BITS) | self._node
        return MessageId(_pack(high, low))

    def observe(self, message: MessageId) -> None:
        """Make every later id greater than `message`: call it with what a restart finds in the store."""
        high, low = _unpack(message)
        ms = high >> 16
        counter = ((high & 0xFFF) << _LOW_COUNTER_BITS) | ((low >> _NODE_BITS) & _LOW_COUNTER)
        self._ms, self._counter = max((ms, counter), (self._ms, self._counter))
        self._newest = max(message, self._newest)

    def ahead_ms(self) -> int:
        """Return by how much the newest id is ahead of the wall clock: more than zero after it was set back."""
        return max(0, self._ms - self._now_ms())
