"""What the user store says of itself, on both of its engines; and a scan that keeps to its rate."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from chappe.ids import ConversationId, DeviceId, UserId
from chappe.stores.survey.rules import ReceiptEntry, Standing
from chappe.stores.survey.sources import Page, paced
from chappe.stores.survey.users import AT_ONCE, UserSurvey, open_users
from tests.contracts import samples
from tests.services import Databases

from .world import World, populate


@pytest.fixture(params=["sqlite", "postgresql"])
def either_url(request: pytest.FixtureRequest, url: str) -> Iterator[str]:
    if request.param == "sqlite":
        yield url
        return
    databases: Databases = request.getfixturevalue("databases")
    with databases.clone() as one:
        yield one


@pytest.fixture
async def world(either_url: str) -> World:
    return await populate(either_url)


@pytest.fixture
def users(world: World, either_url: str) -> Iterator[UserSurvey]:
    with open_users(either_url) as one:
        yield one


async def test_how_devices_stand(users: UserSurvey, world: World) -> None:
    stranger = DeviceId(samples.new_id())
    many = [DeviceId(samples.new_id()) for _ in range(2 * AT_ONCE)]
    found = users.standings([world.laptop, world.revoked, stranger, *many])
    assert found.pop(world.laptop) is Standing.LINKED
    assert found.pop(world.revoked) is Standing.REVOKED
    assert set(found) == {stranger, *many}
    assert set(found.values()) == {Standing.UNKNOWN}


async def test_which_conversations_there_are(users: UserSurvey, world: World) -> None:
    other = ConversationId(samples.new_id())
    assert users.conversations([world.conv, other]) == {world.conv}
    assert users.conversations([]) == set()
    assert list(users.keys_of_revoked()) == []


async def test_how_much_there_is(users: UserSurvey, world: World) -> None:
    said = users.stats()
    tables = said.pop("tables")
    assert isinstance(tables, list)
    rows = {one["table"]: one["rows"] for one in tables}
    assert (rows["accounts"], rows["devices"], rows["one_time_keys"], rows["directs"]) == (2, 3, 8, 1)
    assert all(one["bytes"] > 0 for one in tables)
    assert said == {
        "accounts": 2,
        "devices": 2,
        "devices_revoked": 1,
        "conversations": 1,
        "prekeys_left_per_device": {"of": 2, "p50": 4, "p99": 4, "max": 4},
    }


def test_a_scan_keeps_to_its_rate() -> None:
    row = ReceiptEntry(ConversationId(b"c" * 16), UserId(b"u" * 16))
    pages = [Page([row] * 20, [], n / 10) for n in range(10)]
    began = time.monotonic()
    assert [page.done for page in paced(pages, 500)] == [page.done for page in pages]
    assert time.monotonic() - began >= 0.39  # 200 rows at 500 a second
