"""The directory answers from memory, hears of changes, and never keeps what changed while it was read."""

from __future__ import annotations

import pytest
import trio

from chappe.domain.accounts import Device, Direct
from chappe.errors import StoreUnavailable
from chappe.gateway import directory as module
from chappe.gateway.directory import Directory
from chappe.ids import ConversationId, DeviceId, UserId, direct_conversation

ALICE, BOB = UserId(b"a" * 16), UserId(b"b" * 16)
CONV = direct_conversation(ALICE, BOB)


class CountingUsers:
    """The reads that a directory makes, counted; `gate` holds them up."""

    def __init__(self) -> None:
        self.reads = 0
        self.is_away = False
        self.gate: trio.Event | None = None
        self.of_user = {ALICE: [b"1"], BOB: [b"2"]}
        self.revoked: set[DeviceId] = set()

    async def _read(self) -> None:
        self.reads += 1
        if self.is_away:
            raise StoreUnavailable("away")
        if self.gate is not None:
            await self.gate.wait()

    async def devices(self, user: UserId) -> list[Device]:
        found = [Device(DeviceId(name * 16), user, b"k" * 32, "", 0) for name in self.of_user[user]]
        await self._read()
        return found

    async def device(self, device: DeviceId) -> Device | None:
        found = Device(device, ALICE, b"k" * 32, "", 0, device in self.revoked)
        await self._read()
        return found

    async def direct(self, conv: ConversationId) -> Direct | None:
        await self._read()
        return Direct(conv, (ALICE, BOB)) if conv == CONV else None


@pytest.fixture
def users() -> CountingUsers:
    return CountingUsers()


@pytest.fixture
def directory(users: CountingUsers) -> Directory:
    return Directory(users)  # type: ignore[arg-type] # the rest of the port is not used


async def test_a_known_conversation_costs_no_read_and_goes_on_without_the_store(
    users: CountingUsers, directory: Directory
) -> None:
    assert directory.audience_nowait(CONV) is None
    audience = await directory.audience(CONV)
    assert audience is not None
    assert (audience.members, audience.devices) == ((ALICE, BOB), {b"1" * 16, b"2" * 16})
    users.is_away = True
    reads = users.reads
    assert directory.audience_nowait(CONV) is audience
    assert users.reads == reads
    with pytest.raises(StoreUnavailable):
        await directory.device(DeviceId(b"9" * 16))


async def test_an_unknown_conversation_is_asked_for_again(users: CountingUsers, directory: Directory) -> None:
    assert await directory.audience(ConversationId(b"?" * 16)) is None
    reads = users.reads
    assert await directory.audience(ConversationId(b"?" * 16)) is None
    assert users.reads == reads + 1


async def test_a_changed_device_list_is_read_again(users: CountingUsers, directory: Directory) -> None:
    await directory.audience(CONV)
    users.of_user[BOB] = [b"2", b"3"]
    directory.forget(BOB, [])
    assert directory.audience_nowait(CONV) is None
    audience = await directory.audience(CONV)
    assert audience is not None
    assert audience.devices == {b"1" * 16, b"2" * 16, b"3" * 16}
    assert directory.audience_nowait(CONV) is audience


async def test_a_list_that_changed_while_it_was_read_is_not_kept(
    users: CountingUsers, directory: Directory, nursery: trio.Nursery
) -> None:
    users.gate = trio.Event()
    nursery.start_soon(directory.devices_of, BOB)
    await trio.testing.wait_all_tasks_blocked()
    users.of_user[BOB] = []
    directory.forget(BOB, [DeviceId(b"2" * 16)])
    users.gate.set()
    await trio.testing.wait_all_tasks_blocked()
    assert await directory.devices_of(BOB) == frozenset()
    assert users.reads == 2


async def test_a_device_revoked_while_it_was_read_is_read_again(
    users: CountingUsers, directory: Directory, nursery: trio.Nursery
) -> None:
    device, other = DeviceId(b"2" * 16), DeviceId(b"3" * 16)
    users.gate = trio.Event()
    found: dict[DeviceId, Device | None] = {}

    async def look_up(wanted: DeviceId) -> None:
        found[wanted] = await directory.device(wanted)

    for wanted in (device, other):
        nursery.start_soon(look_up, wanted)
    await trio.testing.wait_all_tasks_blocked()
    users.revoked.add(device)
    directory.forget(BOB, [device])
    users.gate.set()
    await trio.testing.wait_all_tasks_blocked()
    assert {name: one.revoked for name, one in found.items() if one} == {device: True, other: False}
    assert users.reads == 3, "somebody else's device was read again"
    kept = await directory.device(device)
    assert kept is not None
    assert kept.revoked
    assert users.reads == 3


async def test_it_is_bounded(
    users: CountingUsers, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_DEVICES", 3)
    for number in range(5):
        await directory.device(DeviceId(bytes([number]) * 16))
    reads = users.reads
    await directory.device(DeviceId(bytes([4]) * 16))
    assert users.reads == reads
    await directory.device(DeviceId(bytes([0]) * 16))
    assert users.reads == reads + 1
