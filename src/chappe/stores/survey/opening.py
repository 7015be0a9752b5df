"""Opens what a node's settings name, for `chappe store`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ...errors import MissingExtra
from ..sql.engine import default_url
from . import sqlite
from .sources import Source
from .users import UserSurvey, open_users

if TYPE_CHECKING:  # the module needs an extra
    from ..cassandra.session import Where


class Stores(Protocol):
    """The section `stores` of the settings."""

    @property
    def data(self) -> Path: ...
    @property
    def users_url(self) -> str | None: ...
    @property
    def messages(self) -> str: ...
    @property
    def inbox_days(self) -> int: ...
    @property
    def log_days(self) -> int: ...


@contextmanager
def open_stores(stores: Stores, cluster: Where) -> Iterator[tuple[Source, UserSurvey]]:
    """Open both stores, only to read. Blocks.

    Raises: `SettingsError`, `StoreUnavailable`, `StoreDamaged`.
    """
    with (
        open_users(stores.users_url or default_url(stores.data)) as users,
        _messages(stores, cluster) as source,
    ):
        yield source, users


def _messages(stores: Stores, cluster: Where) -> AbstractContextManager[Source]:
    if stores.messages == "sqlite":
        return sqlite.open_source(stores.data / "messages.sqlite")
    try:
        from . import cassandra  # noqa: PLC0415 - an extra, and half a second to import
    except ImportError:
        raise MissingExtra('stores.messages = "cassandra"', "cassandra") from None
    return cassandra.open_source(cluster, stores.inbox_days, stores.log_days)
