"""What `chappe migrate` sees of the stores: which schema one has, and what was or would be applied.

The command knows no engine; each store that has migrations gives it one of these reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from ..errors import MissingExtra
from .folder import open_data_folder
from .sql.engine import default_url, migrate_database, state_of_database
from .sql.migrate import Migration, migrations

if TYPE_CHECKING:  # these need an extra
    from .cassandra.migrate import Migration as Step
    from .cassandra.session import Where

__all__ = ["Migration", "Report", "migrate_messages", "migrate_users"]


@dataclass(frozen=True, slots=True)
class Report:
    """A store by name and engine, the number of its schema, and the migrations just applied and still missing.

    `adjusted` is what else was set, in words, because the settings ask for it.
    """

    store: str
    engine: str
    schema: int
    applied: list[Migration]
    missing: list[Migration]
    adjusted: list[str] = field(default_factory=list)


def migrate_users(url: str | None, data: Path, to: int | None, *, check: bool) -> Report:
    """Bring the database of accounts and keys forward to schema `to` or to the newest; with `check`, only look.

    Without a URL it is the file in the data folder. Of SQLite, the folder is held meanwhile. Blocks.

    Raises: `SettingsError`, `StoreUnavailable`, `DataFolderInUse`.
    """
    url = url or default_url(data)
    engine = url.partition(":")[0].partition("+")[0]
    applied: list[Migration] = []
    if not check:
        with open_data_folder(data) if engine == "sqlite" else nullcontext():
            _, applied = migrate_database(url, to)
    found = state_of_database(url).found
    missing = [one for one in migrations()[found:] if to is None or one.number <= to]
    return Report("users", engine, found, applied, missing)


def migrate_messages(where: Where, log_days: int, *, check: bool) -> Report:
    """Bring a keyspace on Cassandra forward to the newest schema, making it if need be, and have its chat log compacted
    as `log_days` asks for; with `check`, only look.

    Blocks, and runs trio.
    Raises: `SettingsError`, `StoreUnavailable`.
    """
    try:
        from .cassandra import compaction, migrate  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingExtra('stores.messages = "cassandra"', "cassandra") from None
    done = [] if check else trio.run(migrate.migrate, where)
    changed = None if check else trio.run(compaction.fit, where, log_days)
    found, missing = trio.run(migrate.missing, where)
    applied = [one for one in migrate.known() if one.name in done]
    adjusted = [] if changed is None else [changed]
    return Report("messages", "cassandra", found, _described(applied), _described(missing), adjusted)


def _described(migrations: Sequence[Step]) -> list[Migration]:
    return [Migration(one.number, one.title, one.needs == one.number > 1) for one in migrations]
