"""Rows that expire are compacted in windows of time, others by size; and whoever chose something else is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from chappe.ids import FIRST_ID, ConversationId, DeviceId
from chappe.settings import Cassandra
from chappe.stores.cassandra.compaction import WINDOWS, change, fit
from tests.contracts import samples

from .cluster import opened

STCS = {"class": "org.apache.cassandra.db.compaction.SizeTieredCompactionStrategy", "min_threshold": "4"}
UCS = {"class": "org.apache.cassandra.db.compaction.UnifiedCompactionStrategy"}


def windows(days: int) -> dict[str, str]:
    return {
        "class": "org.apache.cassandra.db.compaction.TimeWindowCompactionStrategy",
        "compaction_window_unit": "DAYS",
        "compaction_window_size": str(days),
        "min_threshold": "4",
    }


@pytest.mark.parametrize(
    ("now", "log_days", "window"),
    [(STCS, 31, "2"), (UCS, 365, "13"), (windows(2), 365, "13"), (STCS, 7_000, "234"), (STCS, 1, "1")],
)
def test_rows_that_expire_get_windows(now: dict[str, str], log_days: int, window: str) -> None:
    wanted = change(now, log_days)
    assert wanted is not None
    assert wanted["compaction_window_size"] == window
    assert log_days / int(window) <= WINDOWS


@pytest.mark.parametrize(("now", "log_days"), [(STCS, 0), (UCS, 0), (windows(13), 365), (windows(1), 30)])
def test_what_fits_stays(now: dict[str, str], log_days: int) -> None:
    assert change(now, log_days) is None


async def test_cassandra_takes_it_and_the_rows_stay(settings: Cassandra, session: Any) -> None:
    def look() -> str:
        find = (
            "SELECT compaction FROM system_schema.tables WHERE keyspace_name = %s AND table_name = 'chatlog'"
        )
        return str(session.execute(find, (settings.keyspace,)).one()[0]["class"]).rpartition(".")[2]

    before = look()
    device = DeviceId(samples.new_id())
    said = samples.message(ConversationId(samples.new_id()), device, body=bytes(1025))
    async with opened(settings) as store:
        await store.append([said], [])
    try:
        assert await fit(settings, 365) == "chatlog is compacted in windows of 13 days"
        assert look() == "TimeWindowCompactionStrategy"
        assert await fit(settings, 365) is None
    finally:
        assert await fit(settings, 0) == "chatlog is compacted by size"
    assert (look(), await fit(settings, 0)) == (before, None)
    async with opened(settings) as store:
        assert await store.inbox(device, FIRST_ID, 10) == [samples.inbox_row(said, device)]
        assert await store.history(said.conv, None, 10) == [samples.log_row(said)]
