"""Settings that need an extra say which, in one sentence, wherever it is first missed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chappe.app import make_bus, open_node
from chappe.errors import MissingExtra
from chappe.metrics import Metrics
from chappe.settings import BusSettings, Cassandra, Settings, Stores
from chappe.stores.migrate import migrate_messages, migrate_users
from chappe.stores.survey.opening import open_stores

SENTENCE = r"^{} needs what is not installed: pip install 'chappe\[{}\]'\.$"
CASSANDRA = SENTENCE.format('stores.messages = "cassandra"', "cassandra")


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """How to take a package away, and the module of ours that imports it."""

    def take(package: str, ours: str) -> None:
        for name in list(sys.modules):
            if name == package or name.startswith((f"{package}.", ours)):
                monkeypatch.delitem(sys.modules, name)
        parent, _, child = ours.rpartition(".")
        if parent in sys.modules:
            monkeypatch.delattr(sys.modules[parent], child, raising=False)
        monkeypatch.setitem(sys.modules, package, None)

    return take


def test_redis(without: Callable[[str, str], None]) -> None:
    without("coredis", "chappe.bus.redis")
    with pytest.raises(MissingExtra, match=SENTENCE.format(r"bus\.url", "redis")):
        make_bus(BusSettings(url="redis://127.0.0.1:9"), Metrics(), "here")


def test_postgresql(without: Callable[[str, str], None], tmp_path: Path) -> None:
    without("psycopg", "chappe.no_module")
    wanted = SENTENCE.format(r"stores\.users_url on PostgreSQL", "postgresql")
    with pytest.raises(MissingExtra, match=wanted):
        migrate_users("postgresql+psycopg://u@127.0.0.1:9/d", tmp_path, None, check=True)


async def test_cassandra_for_a_node(without: Callable[[str, str], None], tmp_path: Path) -> None:
    without("cassandra", "chappe.stores.cassandra")
    with pytest.raises(MissingExtra, match=CASSANDRA):
        async with open_node(Settings(stores=Stores(data=tmp_path, messages="cassandra"))):
            pass


def test_cassandra_for_the_commands(without: Callable[[str, str], None], tmp_path: Path) -> None:
    stores = Stores(data=tmp_path, messages="cassandra")
    migrate_users(None, tmp_path, None, check=False)
    without("cassandra", "chappe.stores.cassandra")
    without("cassandra", "chappe.stores.survey.cassandra")
    with pytest.raises(MissingExtra, match=CASSANDRA):
        migrate_messages(Cassandra(), 0, check=True)
    with pytest.raises(MissingExtra, match=CASSANDRA), open_stores(stores, Cassandra()):
        pass
