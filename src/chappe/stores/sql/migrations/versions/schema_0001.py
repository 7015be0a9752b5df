"""The first tables: accounts, devices, keys and contacts.

Exactly what releases made at first start before there were migrations; such databases begin here.
"""

from __future__ import annotations

from typing import Final

from alembic.operations import Operations
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    UniqueConstraint,
)

revision: Final = "0001"
down_revision: Final = None
PHASE: Final = "expand"


def upgrade(op: Operations) -> None:
    """Make all tables."""
    _accounts(op)
    _devices(op)
    _keys(op)
    version = op.create_table(
        "schema_version",
        Column("version", Integer, nullable=False, autoincrement=False),
        PrimaryKeyConstraint("version", name="pk_schema_version"),
    )
    op.bulk_insert(version, [{"version": 1}])


def _accounts(op: Operations) -> None:
    op.create_table(
        "registrations",
        Column("phone", String(16), nullable=False),
        Column("value", LargeBinary, nullable=False),
        Column("attempts_left", Integer, nullable=False),
        Column("expires_ms", BigInteger, nullable=False),
        PrimaryKeyConstraint("phone", name="pk_registrations"),
    )
    op.create_index("ix_registrations_expires_ms", "registrations", ["expires_ms"])
    op.create_table(
        "accounts",
        _id("user"),
        Column("username", String(256), nullable=False),
        Column("username_folded", String(256), nullable=False),
        Column("phone", String(16), nullable=False),
        Column("password_hash", String(256), nullable=False),
        Column("account_key", LargeBinary, nullable=False),
        Column("device_list", LargeBinary, nullable=False),
        Column("list_version", BigInteger, nullable=False),
        PrimaryKeyConstraint("user", name="pk_accounts"),
        UniqueConstraint("username_folded", name="uq_accounts_username_folded"),
        UniqueConstraint("phone", name="uq_accounts_phone"),
    )
    op.create_table(
        "people",
        _id("user"),
        Column("online", String(16), nullable=False),
        Column("last_seen", String(16), nullable=False),
        Column("last_seen_ms", BigInteger),
        PrimaryKeyConstraint("user", name="pk_people"),
        _of_account("people", "user"),
    )
    op.create_table(
        "contacts",
        _id("owner"),
        _id("user"),
        Column("name", String(256), nullable=False),
        Column("phone", String(16)),
        PrimaryKeyConstraint("owner", "user", name="pk_contacts"),
        _of_account("contacts", "owner"),
        _of_account("contacts", "user"),
    )
    op.create_table(
        "directs", _id("conv"), _id("one"), _id("other"), PrimaryKeyConstraint("conv", name="pk_directs")
    )


def _devices(op: Operations) -> None:
    op.create_table(
        "devices",
        _id("device"),
        _id("user"),
        Column("key", LargeBinary, nullable=False),
        Column("name", String(256), nullable=False),
        Column("linked_ms", BigInteger, nullable=False),
        Column("revoked", Boolean, nullable=False),
        PrimaryKeyConstraint("device", name="pk_devices"),
        _of_account("devices", "user"),
    )
    op.create_index("ix_devices_user", "devices", ["user"])
    op.create_table(
        "pending_devices",
        _id("device"),
        _id("user"),
        Column("key", LargeBinary, nullable=False),
        Column("name", String(256), nullable=False),
        Column("prekeys", LargeBinary, nullable=False),
        Column("expires_ms", BigInteger, nullable=False),
        Column("sealed", LargeBinary),
        PrimaryKeyConstraint("device", name="pk_pending_devices"),
        _of_account("pending_devices", "user"),
    )
    op.create_index("ix_pending_devices_expires_ms", "pending_devices", ["expires_ms"])


def _keys(op: Operations) -> None:
    op.create_table(
        "prekeys",
        _id("device"),
        Column("signed_id", BigInteger, nullable=False),
        Column("signed_key", LargeBinary, nullable=False),
        Column("signed_signature", LargeBinary, nullable=False),
        Column("kem_id", BigInteger, nullable=False),
        Column("kem_key", LargeBinary, nullable=False),
        Column("kem_signature", LargeBinary, nullable=False),
        PrimaryKeyConstraint("device", name="pk_prekeys"),
        _of_device("prekeys"),
    )
    op.create_table(
        "one_time_keys",
        _id("device"),
        Column("kind", String(16), nullable=False),
        Column("id", BigInteger, nullable=False, autoincrement=False),
        Column("key", LargeBinary, nullable=False),
        Column("signature", LargeBinary, nullable=False),
        PrimaryKeyConstraint("device", "kind", "id", name="pk_one_time_keys"),
        _of_device("one_time_keys"),
    )
    op.create_table(
        "spent_keys",
        _id("device"),
        Column("kind", String(16), nullable=False),
        Column("id", BigInteger, nullable=False, autoincrement=False),
        PrimaryKeyConstraint("device", "kind", "id", name="pk_spent_keys"),
        _of_device("spent_keys"),
    )


def _id(name: str) -> Column[bytes]:
    return Column(name, LargeBinary(16), nullable=False)


def _of_account(table: str, column: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint([column], ["accounts.user"], name=f"fk_{table}_{column}")


def _of_device(table: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["device"], ["devices.device"], name=f"fk_{table}_device")
