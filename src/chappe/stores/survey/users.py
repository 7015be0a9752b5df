"""The user store, for `check.py` and `stats.py`: what it knows of devices and conversations, and how much it holds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Select, case, func, select, text

from ...ids import ConversationId, DeviceId
from ..sql.engine import open_for_reading
from ..sql.schema import accounts, devices, directs, metadata, one_time_keys
from .rules import Standing
from .spread import Spread

AT_ONCE: Final = 500  # ids in one question: SQLite takes no more than a thousand or so

T = TypeVar("T")
Ask = Callable[[Callable[[Connection], T]], T]


class UserSurvey:
    """A `Users`, on a database that may have nodes on it."""

    def __init__(self, ask: Ask[Any]) -> None:
        self._ask = ask

    def standings(self, wanted: Collection[DeviceId]) -> dict[DeviceId, Standing]:
        """Return what is known of each of these devices."""
        found = dict.fromkeys(wanted, Standing.UNKNOWN)
        for some in _some(wanted):
            for device, revoked in self._rows(
                select(devices.c.device, devices.c.revoked).where(devices.c.device.in_(some))
            ):
                found[DeviceId(bytes(device))] = Standing.REVOKED if revoked else Standing.LINKED
        return found

    def conversations(self, wanted: Collection[ConversationId]) -> set[ConversationId]:
        """Return which of these conversations there are."""
        return {
            ConversationId(bytes(row[0]))
            for some in _some(wanted)
            for row in self._rows(select(directs.c.conv).where(directs.c.conv.in_(some)))
        }

    def keys_of_revoked(self) -> Iterator[tuple[DeviceId, int]]:
        """Yield the revoked devices that have one-time prekeys, and how many."""
        for device, count in self._rows(
            select(devices.c.device, func.count())
            .join(one_time_keys, one_time_keys.c.device == devices.c.device)
            .where(devices.c.revoked)
            .group_by(devices.c.device)
        ):
            yield DeviceId(bytes(device)), count

    def stats(self) -> dict[str, object]:
        """Return rows and bytes of every table, and how many people, devices and keys there are."""
        ((linked, revoked),) = self._rows(
            select(
                func.sum(case((devices.c.revoked, 0), else_=1)),
                func.sum(case((devices.c.revoked, 1), else_=0)),
            )
        )
        return {
            "tables": self._ask(_tables),
            "accounts": self._rows(select(func.count()).select_from(accounts))[0][0],
            "devices": linked or 0,
            "devices_revoked": revoked or 0,
            "conversations": self._rows(select(func.count()).select_from(directs))[0][0],
            "prekeys_left_per_device": self._prekeys_left().to_dict(),
        }

    def _prekeys_left(self) -> Spread:
        each = (
            select(func.count(one_time_keys.c.id).label("left"))
            .select_from(devices.outerjoin(one_time_keys, one_time_keys.c.device == devices.c.device))
            .where(~devices.c.revoked)
            .group_by(devices.c.device)
            .subquery()
        )
        spread = Spread()
        for left, count in self._rows(select(each.c.left, func.count()).group_by(each.c.left)):
            spread.add(left, count)
        return spread

    def _rows(self, query: Select[*tuple[Any, ...]]) -> list[Any]:
        rows: list[Any] = self._ask(lambda connection: connection.execute(query).all())
        return rows


@contextmanager
def open_users(url: str) -> Iterator[UserSurvey]:
    """Open the database; see `open_for_reading` for what it raises."""
    with open_for_reading(url) as ask:
        yield UserSurvey(ask)


def _some(ids: Collection[T]) -> Iterator[list[T]]:
    every = list(ids)
    for n in range(0, len(every), AT_ONCE):
        yield every[n : n + AT_ONCE]


def _tables(connection: Connection) -> list[dict[str, object]]:
    """Return rows and bytes on disk, indexes included, of each table."""
    found: list[dict[str, object]] = []
    for table in metadata.sorted_tables:
        rows = connection.execute(select(func.count()).select_from(table)).scalar_one()
        found.append({"table": table.name, "rows": rows, "bytes": _bytes(connection, table.name)})
    return found


def _bytes(connection: Connection, table: str) -> int | None:
    if connection.dialect.name == "postgresql":
        size: int = connection.execute(select(func.pg_total_relation_size(table))).scalar_one()
        return size
    options = connection.execute(text("PRAGMA compile_options")).scalars()
    if "ENABLE_DBSTAT_VTAB" not in options:
        return None  # this SQLite was built without its table of pages
    pages = "SELECT sum(pgsize) FROM dbstat WHERE name IN (SELECT name FROM sqlite_schema WHERE tbl_name = :table)"
    total: int | None = connection.execute(text(pages), {"table": table}).scalar_one()
    return total
