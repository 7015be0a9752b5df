"""That the stores were brought back to an earlier point, as the user store remembers it.

`chappe store restored` calls `note_restore` before the first node starts again; nodes read the time and tell it to
clients, who then give back what the stores have forgotten (docs/adr/0070-restores.md).
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, insert, select

from .schema import one_time_keys, restores


def last_restore_ms(connection: Connection) -> int:
    """Return the time of the last restore (UTC milliseconds), 0 for never."""
    return connection.execute(select(func.coalesce(func.max(restores.c.at_ms), 0))).scalar_one()


def note_restore(connection: Connection, now_ms: int) -> tuple[int, int]:
    """Note a restore, and drop every one-time key; return its time and how many keys that were.

    Some of these keys were handed out after the backup. Whoever got one of them now would write what its receiver,
    who has used the private half up, cannot open. Devices upload new ones at their next sign-in; until then sessions
    start without one.
    """
    at_ms = max(
        now_ms, last_restore_ms(connection) + 1
    )  # clients go by the change, so it is a new one each time
    connection.execute(insert(restores).values(at_ms=at_ms))
    return at_ms, connection.execute(delete(one_time_keys)).rowcount
