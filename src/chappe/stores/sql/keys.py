"""The `KeyStore`: prekeys by SQL.

`accounts.py` shares the first two functions: a device comes and goes together with its keys. A one-time key is
taken by one atomic DELETE; on PostgreSQL, a claim that runs into another one takes the next key instead of
waiting, so claims wait for nobody and cannot deadlock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, select

from ...ids import DeviceId, UserId
from ...protocol.calls import Bundle, OneTimeKem, OneTimeKey
from ...protocol.frames import PreKeys
from .engine import Database
from .lanes import Lane
from .schema import KeyKind, devices, one_time_keys, prekeys, spent_keys

_OF_A_DEVICE: Final = (prekeys, one_time_keys, spent_keys)

# Made once: putting a statement together costs as much as sending it.
_SPENT: Final = select(spent_keys.c.id).where(
    spent_keys.c.device == bindparam("device"),
    spent_keys.c.kind == bindparam("kind"),
    spent_keys.c.id.in_(bindparam("numbers", expanding=True)),
)
_OF_KIND: Final = (
    one_time_keys.c.device == bindparam("of_device"),
    one_time_keys.c.kind == bindparam("of_kind"),
)
_TAKE: Final = (
    delete(one_time_keys)
    .where(
        *_OF_KIND,
        one_time_keys.c.id
        == select(one_time_keys.c.id)
        .where(*_OF_KIND)
        .order_by(one_time_keys.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery(),
    )
    .returning(one_time_keys.c.id, one_time_keys.c.key, one_time_keys.c.signature)
)


def set_prekeys(database: Database, connection: Connection, device: DeviceId, new: PreKeys) -> None:
    """Store a device's prekeys, replacing older ones."""
    values = msgspec.structs.asdict(new)
    statement = database.insert(prekeys).values(device=device, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=[prekeys.c.device], set_=values))


def delete_keys(connection: Connection, gone: Iterable[DeviceId]) -> None:
    """Delete every key of these devices."""
    for table in _OF_A_DEVICE:
        connection.execute(delete(table).where(table.c.device.in_(list(gone))))


class SqlKeyStore:
    """Prekeys in a `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def replace_prekeys(self, device: DeviceId, prekeys: PreKeys) -> None:
        """Replace a device's signed prekey and last-resort KEM key."""
        await self._database.write(
            lambda connection: set_prekeys(self._database, connection, device, prekeys), Lane.KEYS
        )

    async def add_one_time(
        self, device: DeviceId, one_time: Sequence[OneTimeKey], kem: Sequence[OneTimeKem]
    ) -> None:
        """Add one-time keys; ids that are there already, or were handed out before, are ignored."""
        rows = {(KeyKind.X25519, k.id): (k.key, b"") for k in one_time}
        rows |= {(KeyKind.ML_KEM_768, k.id): (k.key, k.signature) for k in kem}
        if rows:
            await self._database.write(lambda connection: self._add(connection, device, rows), Lane.KEYS)

    async def count(self, device: DeviceId) -> tuple[int, int]:
        """Return how many one-time keys and KEM keys are left."""
        return await self._database.read(lambda connection: _count(connection, device), Lane.KEYS)

    async def claim(self, user: UserId, wanted: Sequence[DeviceId]) -> list[Bundle]:
        """Take one bundle per device that is the user's and not revoked; each one-time key once, ever."""
        return await self._database.write(lambda connection: _claim(connection, user, wanted), Lane.KEYS)

    def _add(
        self,
        connection: Connection,
        device: DeviceId,
        rows: dict[tuple[KeyKind, int], tuple[bytes, bytes]],
    ) -> None:
        values = [
            {"device": device, "kind": kind, "id": number, "key": key, "signature": signature}
            for (kind, number), (key, signature) in sorted(rows.items())  # one order: uploads cannot deadlock
        ]
        connection.execute(self._database.insert(one_time_keys).on_conflict_do_nothing(), values)
        # After the insert, not before it: a claim may commit in between, and the insert may have waited for one.
        # Two statements, not one with a join: without statistics PostgreSQL compares every key with every spent one.
        for kind in KeyKind:
            numbers = [number for of_kind, number in rows if of_kind is kind]
            spent = (
                connection.execute(_SPENT, {"device": device, "kind": kind, "numbers": numbers})
                .scalars()
                .all()
            )
            if spent:
                again = one_time_keys.c.device == device, one_time_keys.c.kind == kind
                connection.execute(delete(one_time_keys).where(*again, one_time_keys.c.id.in_(spent)))


def _count(connection: Connection, device: DeviceId) -> tuple[int, int]:
    rows = connection.execute(
        select(one_time_keys.c.kind, func.count())
        .where(one_time_keys.c.device == device)
        .group_by(one_time_keys.c.kind)
    ).all()
    counts = dict(rows)
    return counts.get(KeyKind.X25519, 0), counts.get(KeyKind.ML_KEM_768, 0)


def _claim(connection: Connection, user: UserId, wanted: Sequence[DeviceId]) -> list[Bundle]:
    rows = connection.execute(
        select(devices.c.key, prekeys)
        .join(prekeys, prekeys.c.device == devices.c.device)
        .where(devices.c.user == user, devices.c.revoked.is_(False), devices.c.device.in_(wanted))
    )
    found = {row.device: row for row in rows}
    bundles, spent = [], []
    for device in dict.fromkeys(wanted):
        if (row := found.get(device)) is None:
            continue
        last_resort = row.kem_id, row.kem_key, row.kem_signature
        kem = _take(connection, device, KeyKind.ML_KEM_768)
        one_time = _take(connection, device, KeyKind.X25519)
        spent += [
            {"device": device, "kind": kind, "id": taken[0]}
            for kind, taken in ((KeyKind.ML_KEM_768, kem), (KeyKind.X25519, one_time))
            if taken is not None
        ]
        kem_id, kem_key, kem_signature = kem or last_resort
        bundles.append(
            Bundle(
                device,
                row.key,
                row.signed_id,
                row.signed_key,
                row.signed_signature,
                kem_id,
                kem_key,
                kem_signature,
                None if one_time is None else OneTimeKey(one_time[0], one_time[1]),
            )
        )
    if spent:
        connection.execute(insert(spent_keys).values(spent))
    return bundles


def _take(connection: Connection, device: DeviceId, kind: KeyKind) -> tuple[int, bytes, bytes] | None:
    taken = connection.execute(_TAKE, {"of_device": device, "of_kind": kind}).one_or_none()
    return None if taken is None else (taken.id, taken.key, taken.signature)
