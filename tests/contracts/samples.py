"""Values to store: small, random and valid."""

from __future__ import annotations

import os
from itertools import count

from chappe.domain.accounts import Account, Device, PendingDevice, Registration
from chappe.domain.messages import InboxRow, LogRow, StoredMessage
from chappe.ids import Cid, ConversationId, DeviceId, HybridClock, MessageId, UserId
from chappe.protocol.calls import OneTimeKem, OneTimeKey
from chappe.protocol.frames import Kind, PreKeys

_numbers = count(1)
_clock = HybridClock(lambda: 1_700_000_000_000, node=7)


def new_id() -> bytes:
    return os.urandom(16)


def next_id() -> MessageId:
    return _clock.next()


def random_id() -> MessageId:
    return MessageId(os.urandom(16))


def prekeys() -> PreKeys:
    return PreKeys(1, os.urandom(32), os.urandom(64), 2**53 - 1, os.urandom(1184), os.urandom(64))


def registration(username: str | None = None, phone: str | None = None) -> Registration:
    number = next(_numbers)
    user = UserId(new_id())
    phone = phone or f"+4930{number:08}"
    account = Account(user, username or f"Person{number}", phone, "$argon2id$x", os.urandom(32), b"list 1", 1)
    device = Device(DeviceId(new_id()), user, os.urandom(32), "phone", 1_700_000_000_000)
    return Registration(phone, account, device, prekeys(), os.urandom(32), 3, 1_700_000_600_000)


def pending(user: UserId, expires_ms: int = 1_700_000_600_000) -> PendingDevice:
    return PendingDevice(DeviceId(new_id()), user, os.urandom(32), "laptop", prekeys(), expires_ms)


def one_time(*numbers: int) -> list[OneTimeKey]:
    return [OneTimeKey(number, os.urandom(32)) for number in numbers]


def one_time_kem(*numbers: int) -> list[OneTimeKem]:
    return [OneTimeKem(number, os.urandom(1184), os.urandom(64)) for number in numbers]


def message(
    conv: ConversationId,
    *devices: DeviceId,
    kind: Kind = Kind.MESSAGE,
    body: bytes = b"ciphertext",
    ref: MessageId | None = None,
    at: MessageId | None = None,
) -> StoredMessage:
    return StoredMessage(
        at or next_id(),
        conv,
        kind,
        UserId(new_id()),
        DeviceId(new_id()),
        Cid(new_id()),
        ref,
        body,
        {device: os.urandom(40) for device in devices},
    )


def log_row(m: StoredMessage) -> LogRow:
    return LogRow(m.id, m.conv, m.kind, m.sender, m.device, m.cid, m.ref, m.body)


def inbox_row(m: StoredMessage, device: DeviceId) -> InboxRow:
    return InboxRow(m.id, m.conv, m.kind, m.sender, m.device, m.cid, m.ref, m.wraps[device], m.body, m.pos)
