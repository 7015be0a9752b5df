"""Accounts, devices and contacts as the server knows them: the values that the user and key stores keep.

The gateway's handlers make them, the stores keep them. Rules about who may do what are in the handlers' modules;
here is only what is true of the values themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ids import ConversationId, DeviceId, UserId
from ..protocol.calls import Settings
from ..protocol.frames import PreKeys


@dataclass(frozen=True, slots=True)
class Account:
    """A registered person. `password_hash` is an Argon2id string; `device_list` is signed by `account_key`."""

    user: UserId
    username: str
    phone: str
    password_hash: str
    account_key: bytes
    device_list: bytes
    list_version: int


@dataclass(frozen=True, slots=True)
class Device:
    """A signed-in (or once signed-in) device. `linked_ms` is where its inbox begins, UTC milliseconds."""

    device: DeviceId
    user: UserId
    key: bytes
    name: str
    linked_ms: int
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Registration:
    """A REGISTER that waits for its code. The code itself is not kept, only its hash."""

    phone: str
    account: Account
    device: Device
    prekeys: PreKeys
    code_hash: bytes
    attempts_left: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class PendingDevice:
    """A LOGIN that waits for one of the account's devices to link it. `sealed` is set once that happened."""

    device: DeviceId
    user: UserId
    key: bytes
    name: str
    prekeys: PreKeys
    expires_ms: int
    sealed: bytes | None = None


@dataclass(frozen=True, slots=True)
class ContactRow:
    """One entry of somebody's contact list."""

    owner: UserId
    user: UserId
    username: str
    name: str
    phone: str | None


@dataclass(frozen=True, slots=True)
class Person:
    """What presence needs of an account: its settings, and when it was last seen (UTC milliseconds)."""

    user: UserId
    settings: Settings
    last_seen_ms: int | None


@dataclass(frozen=True, slots=True)
class Direct:
    """A one-to-one conversation and its two accounts."""

    conv: ConversationId
    members: tuple[UserId, UserId]
