"""The tables of accounts, devices, keys and contacts, typed; the same on SQLite and on PostgreSQL.

The stores state their queries in these; `migrations/` makes and changes them, and a test compares the two. Times are
UTC milliseconds, ids and keys raw bytes. Whoever changes a table adds a migration and raises `SCHEMA_VERSION`.

    accounts ─┬─ people           settings and last seen: what changes often is not in the wide row
              ├─ devices ─┬─ prekeys         the signed and the last-resort key
              │           ├─ one_time_keys   given out once each, and then
              │           └─ spent_keys      remembered by number: an upload may be repeated
              ├─ pending_devices  announced by LOGIN
              └─ contacts
    registrations    wait for their code          directs    one-to-one conversations
    restores         when the stores were brought back to an earlier point
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Named,
    String,
    Table,
    TypedColumns,
)

from ...ids import ID_BYTES, ConversationId, DeviceId, UserId
from ...protocol.calls import Privacy

SCHEMA_VERSION: Final = 2  # the number of the newest migration

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


class KeyKind(StrEnum):
    """What a one-time key is for."""

    X25519 = "x25519"
    ML_KEM_768 = "ml-kem-768"


def _id(*constraints: ForeignKey, primary_key: bool = False) -> Column[Any]:
    return Column(LargeBinary(ID_BYTES), *constraints, primary_key=primary_key)


def _enum(default: Privacy) -> Column[Any]:
    return Column(String(16), default=default)


class _SchemaVersion(TypedColumns):
    version: Named[int] = Column(primary_key=True, autoincrement=False)


class _Restores(TypedColumns):
    at_ms: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)


class _Registrations(TypedColumns):
    phone: Named[str] = Column(String(16), primary_key=True)
    value: Named[bytes]  # a msgpack Registration: nobody queries inside, and it lives for minutes
    attempts_left: Named[int]
    expires_ms: Named[int] = Column(BigInteger, index=True)


class _Accounts(TypedColumns):
    user: Named[UserId] = _id(primary_key=True)
    username: Named[str] = Column(String(256))
    username_folded: Named[str] = Column(String(256), unique=True)
    phone: Named[str] = Column(String(16), unique=True)
    password_hash: Named[str] = Column(String(256))
    account_key: Named[bytes]
    device_list: Named[bytes]
    list_version: Named[int] = Column(BigInteger)


class _People(TypedColumns):
    user: Named[UserId] = _id(ForeignKey("accounts.user"), primary_key=True)
    online: Named[str] = _enum(Privacy.EVERYONE)
    last_seen: Named[str] = _enum(Privacy.EVERYONE)
    last_seen_ms: Named[int | None] = Column(BigInteger)


class _Devices(TypedColumns):
    device: Named[DeviceId] = _id(primary_key=True)
    user: Named[UserId] = _id(ForeignKey("accounts.user"))
    key: Named[bytes]
    name: Named[str] = Column(String(256))
    linked_ms: Named[int] = Column(BigInteger)
    revoked: Named[bool]


class _PreKeys(TypedColumns):
    device: Named[DeviceId] = _id(ForeignKey("devices.device"), primary_key=True)
    signed_id: Named[int] = Column(BigInteger)
    signed_key: Named[bytes]
    signed_signature: Named[bytes]
    kem_id: Named[int] = Column(BigInteger)
    kem_key: Named[bytes]
    kem_signature: Named[bytes]


class _OneTimeKeys(TypedColumns):
    device: Named[DeviceId] = _id(ForeignKey("devices.device"), primary_key=True)
    kind: Named[str] = Column(String(16), primary_key=True)
    id: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    key: Named[bytes]
    signature: Named[bytes]  # empty for X25519, which has none


class _SpentKeys(TypedColumns):
    device: Named[DeviceId] = _id(ForeignKey("devices.device"), primary_key=True)
    kind: Named[str] = Column(String(16), primary_key=True)
    id: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)


class _PendingDevices(TypedColumns):
    device: Named[DeviceId] = _id(primary_key=True)
    user: Named[UserId] = _id(ForeignKey("accounts.user"))
    key: Named[bytes]
    name: Named[str] = Column(String(256))
    prekeys: Named[bytes]  # msgpack PreKeys, on their way to the table of that name
    expires_ms: Named[int] = Column(BigInteger, index=True)
    sealed: Named[bytes | None]


class _Contacts(TypedColumns):
    owner: Named[UserId] = _id(ForeignKey("accounts.user"), primary_key=True)
    user: Named[UserId] = _id(ForeignKey("accounts.user"), primary_key=True)
    name: Named[str] = Column(String(256))
    phone: Named[str | None] = Column(String(16))


class _Directs(TypedColumns):
    conv: Named[ConversationId] = _id(primary_key=True)
    one: Named[UserId] = _id()
    other: Named[UserId] = _id()


schema_version: Final = Table("schema_version", metadata, _SchemaVersion)
restores: Final = Table("restores", metadata, _Restores)
registrations: Final = Table("registrations", metadata, _Registrations)
accounts: Final = Table("accounts", metadata, _Accounts)
people: Final = Table("people", metadata, _People)
devices: Final = Table("devices", metadata, _Devices)
prekeys: Final = Table("prekeys", metadata, _PreKeys)
one_time_keys: Final = Table("one_time_keys", metadata, _OneTimeKeys)
spent_keys: Final = Table("spent_keys", metadata, _SpentKeys)
pending_devices: Final = Table("pending_devices", metadata, _PendingDevices)
contacts: Final = Table("contacts", metadata, _Contacts)
directs: Final = Table("directs", metadata, _Directs)

Index("ix_devices_user", devices.c.user)
