"""The `UserStore`: accounts, devices, contacts, one-to-one conversations and last seen by SQL.

The gateway's handlers call it through `ports.py`, which says what each method promises. Who may do what is
theirs. Its two halves are in `accounts.py` and `people.py`; here is what concerns both.
"""

from __future__ import annotations

from sqlalchemy import Connection, DateTime, delete, func, select

from .accounts import SqlAccounts
from .lanes import Lane
from .people import SqlPeople
from .restores import last_restore_ms
from .schema import pending_devices, registrations


class SqlUserStore(SqlAccounts, SqlPeople):
    """Accounts and what hangs on them, in a `Database`."""

    async def ping(self) -> None:
        """Return if the store would answer."""
        await self._database.read(lambda connection: connection.execute(select(1)).close(), Lane.ADMIN)

    async def now_ms(self) -> int | None:
        """Return the time by the server's clock (UTC milliseconds); None for SQLite, which is no server."""
        return await self._database.read(_now_ms, Lane.ADMIN)

    async def restored_ms(self) -> int:
        """Return when the stores were last brought back to an earlier point (UTC milliseconds), 0 for never."""
        return await self._database.read(last_restore_ms, Lane.ADMIN)

    async def expire(self, now_ms: int) -> None:
        """Drop registrations and announced devices whose time is over."""

        def work(connection: Connection) -> None:
            connection.execute(delete(registrations).where(registrations.c.expires_ms <= now_ms))
            connection.execute(delete(pending_devices).where(pending_devices.c.expires_ms <= now_ms))

        await self._database.write(work, Lane.ADMIN)


def _now_ms(connection: Connection) -> int | None:
    if connection.dialect.name == "sqlite":
        return None
    # Not now(): that is when the transaction began.
    now = connection.execute(select(func.clock_timestamp(type_=DateTime(timezone=True)))).scalar_one()
    return int(now.timestamp() * 1000)
