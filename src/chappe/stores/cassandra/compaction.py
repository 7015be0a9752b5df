"""How the chat log is compacted: in windows of time when its rows expire, by size when they are kept for ever.

`chappe migrate` sets it, since it follows a setting (`stores.log_days`) and is no step of the schema. Rows that were
written in one window expire together, and so does their file, which is then deleted unread; by size, old rows would be
rewritten with new ones for years to find out which have expired. Nodes work with either.
Source: https://cassandra.apache.org/doc/5.0/cassandra/managing/operating/compaction/twcs.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import trio

from . import faults
from .migrate import STATEMENT_S
from .session import Where, close, connect

WINDOWS: Final = 30  # of one table; Cassandra's documentation asks for 20 to 30
_BY_TIME: Final = "TimeWindowCompactionStrategy"
_BY_SIZE: Final = "SizeTieredCompactionStrategy"


async def fit(settings: Where, log_days: int) -> str | None:
    """Have the chat log compacted as rows that are kept for so many days (0: for ever) should be.

    Returns what was changed, in words; None when it was so already.
    Raises: `SettingsError`, `StoreUnavailable`.
    """
    return await trio.to_thread.run_sync(_fit, settings, log_days)


def change(now: Mapping[str, str], log_days: int) -> dict[str, str] | None:
    """Return the compaction to set, given the one there is; None for none. An operator's own choice for rows that are
    kept for ever stays.
    """
    is_by_time = now["class"].endswith(_BY_TIME)
    if not log_days:
        return {"class": _BY_SIZE} if is_by_time else None
    window = -(-log_days // WINDOWS)
    wanted = {"compaction_window_unit": "DAYS", "compaction_window_size": str(window)}
    if is_by_time and wanted.items() <= now.items():
        return None
    return {"class": _BY_TIME} | wanted


def _fit(settings: Where, log_days: int) -> str | None:
    session = connect(settings, settings.keyspace)
    try:
        return _changed(session, settings.keyspace, log_days)
    except Exception as error:
        raise faults.translated(error) from error
    finally:
        close(session)


def _changed(session: Any, keyspace: str, log_days: int) -> str | None:
    find = "SELECT compaction FROM system_schema.tables WHERE keyspace_name = %s AND table_name = 'chatlog'"
    wanted = change(session.execute(find, (keyspace,)).one()[0], log_days)
    if wanted is None:
        return None
    session.execute(f"ALTER TABLE chatlog WITH compaction = {wanted}", timeout=STATEMENT_S)
    if not log_days:
        return "chatlog is compacted by size"
    return f"chatlog is compacted in windows of {wanted['compaction_window_size']} days"
