"""What a gateway does with each thing that it hears over the bus, and with what it cannot read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from chappe.bus.bus import GatewayBus
from chappe.bus.memory import MemoryHub
from chappe.bus.values import Timing as BusTiming
from chappe.domain.accounts import Device
from chappe.gateway.connection import Connection
from chappe.gateway.directory import Directory
from chappe.gateway.hub import Hub
from chappe.gateway.sink import Sink
from chappe.ids import FIRST_ID, ConversationId, DeviceId, MessageId, UserId
from chappe.metrics import Metrics
from chappe.protocol import codec
from chappe.protocol.calls import Privacy, Settings
from chappe.protocol.codes import CloseCode
from chappe.protocol.frames import Frame, GoAway, Ping, Presence, Receipt, Sent, Typing
from chappe.protocol.session import State
from chappe.settings import LimitSettings, Timing
from chappe.stores.sql.engine import open_database
from chappe.stores.sql.users import SqlUserStore
from chappe.workers.presence import PresenceServer
from chappe.workers.rereads import Rereads
from tests.contracts import samples

NOW_MS = 1_700_000_000_000
STRANGER = DeviceId(bytes(16))
numbers = count(1)


def waiting(connection: Connection) -> list[Frame]:
    """Return what is on its way to the client."""
    taken = connection.outbox.take()
    return [] if taken is None else codec.decode(taken)


class Recorded(Connection):
    """Keeps every note that it is given, those too that a newer one replaces before they are sent."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "127.0.0.1", bytes(32), LimitSettings(), Timing())
        self.notes: list[Frame] = []

    def note(self, key: object, encoded: bytes, *, keep: bool = False) -> bool:
        self.notes += codec.decode(codec.join([encoded]))
        return super().note(key, encoded, keep=keep)


def connected(hub: Hub, device: Device | None = None) -> Recorded:
    """Sign a device in; nobody serves the connection."""
    device = device or Device(DeviceId(samples.new_id()), UserId(samples.new_id()), bytes(32), "laptop", 0)
    connection = Recorded(next(numbers))
    hub.add(connection)
    connection.sign_in(device, FIRST_ID, 256, {})
    connection.session._enter(State.READY)
    hub.enter(connection, device.user, device.device)
    return connection


@dataclass
class Gateway:
    """The parts that a sink tells, with a real store behind them."""

    users: SqlUserStore
    hub: Hub = field(default_factory=Hub)
    saw: list[MessageId] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bus = GatewayBus(MemoryHub(BusTiming()))
        self.directory = Directory(self.users)
        self.presence = PresenceServer(self.users, self.hub, self.bus, Metrics(), lambda: NOW_MS)
        self.rereads = Rereads(self.hub, self.bus, self.directory.forget_all, is_sole=True)
        self.sink = Sink(self.hub, self.directory, self.presence, self.rereads, self.saw.append)

    async def register(self) -> Device:
        """Make an account with one device."""
        registration = samples.registration()
        await self.users.create_account(registration)
        return registration.device

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the parts that have a task."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.bus.run, self.sink)
            nursery.start_soon(self.presence.run)
            nursery.start_soon(self.rereads.run)
            yield
            nursery.cancel_scope.cancel()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with open_database(f"sqlite:///{tmp_path}/users.sqlite3") as database:
        yield Gateway(SqlUserStore(database))


async def heard(connection: Recorded, user: UserId) -> Presence:
    """Return what a connection is told next of somebody."""
    with trio.fail_after(30):
        while True:
            for frame in waiting(connection):
                if isinstance(frame, Presence) and frame.user == user:
                    return frame
            await trio.sleep(0.01)


# wake


async def test_a_row_goes_to_its_device_and_the_clock_here_knows_its_position(gateway: Gateway) -> None:
    connection, other = connected(gateway.hub), connected(gateway.hub)
    assert connection.device is not None
    said = samples.message(ConversationId(samples.new_id()), connection.device)
    row = samples.inbox_row(said, connection.device)
    gateway.sink.wake(connection.device, row)
    assert (list(connection.live), list(other.live)) == ([row], [])
    assert gateway.saw == [row.pos]


async def test_a_row_for_somebody_who_left_moves_only_the_clock(gateway: Gateway) -> None:
    connection = connected(gateway.hub)
    assert connection.device is not None
    gateway.hub.leave(connection)
    said = samples.message(ConversationId(samples.new_id()), connection.device)
    gateway.sink.wake(connection.device, samples.inbox_row(said, connection.device))
    assert not connection.live
    assert gateway.saw == [said.pos]


# note


async def test_a_receipt_is_kept_and_a_newer_one_takes_its_place(gateway: Gateway) -> None:
    connection = connected(gateway.hub)
    assert connection.device is not None
    conv, one, other = ConversationId(samples.new_id()), UserId(samples.new_id()), UserId(samples.new_id())
    first, second = samples.next_id(), samples.next_id()
    told = [
        Receipt(conv, first, None, one),
        Receipt(conv, first, None, other),
        Receipt(conv, second, first, one),
    ]
    for receipt in told:
        gateway.sink.note(connection.device, codec.encode(receipt))
    assert waiting(connection) == [told[2], told[1]]


async def test_a_receipt_that_finds_no_room_costs_the_slow_client_its_connection(gateway: Gateway) -> None:
    connection = connected(gateway.hub)
    assert connection.device is not None
    for _ in range(LimitSettings().outbox_frames):
        connection.post(Ping(1, NOW_MS))
    gateway.sink.note(connection.device, codec.encode(Typing(ConversationId(bytes(16)), active=True)))
    assert connection.closing is None  # typing is the first to go
    gateway.sink.note(connection.device, codec.encode(Receipt(ConversationId(bytes(16)), samples.next_id())))
    assert connection.closing is not None
    assert connection.closing[0] == CloseCode.TOO_SLOW


async def test_typing_is_shown_to_others_and_not_to_who_types(gateway: Gateway) -> None:
    connection = connected(gateway.hub)
    assert connection.device is not None
    conv, other = ConversationId(samples.new_id()), UserId(samples.new_id())
    started, stopped = Typing(conv, active=True, user=other), Typing(conv, active=False, user=other)
    for note in (started, stopped, Typing(conv, active=True, user=connection.user)):
        gateway.sink.note(connection.device, codec.encode(note))
    assert waiting(connection) == [stopped]


async def test_a_note_of_a_later_minor_version_passes_with_what_it_added(gateway: Gateway) -> None:
    connection = connected(gateway.hub)
    assert connection.device is not None
    note = codec.encode(Typing(ConversationId(bytes(16)), active=True, user=UserId(bytes(16))))
    longer = bytes([note[0] + 1]) + note[1:] + b"\x07"
    gateway.sink.note(connection.device, longer)
    assert connection.outbox.take() == codec.join([longer])


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"\xc1",  # never used in msgpack
        codec.encode(Typing(ConversationId(bytes(16)), active=True))[:-1],
        codec.encode(Typing(ConversationId(bytes(16)), active=True)) * 2,
        b"\x92\xcc\xc8\x01",  # a type of frame that there is not
        b"\x91\xa6Typing",
        b"\x93\x10\xc4\x02no\xc3",  # a conversation of two bytes
        codec.encode(Ping(1, NOW_MS)),
        codec.encode(Sent(samples.message(ConversationId(bytes(16))).cid, samples.next_id())),
        codec.encode(Presence(UserId(bytes(16)), online=True)),  # comes by a way of its own
        codec.encode(GoAway("Leave.", 0, 0)),
        bytes(2**20),
    ],
)
async def test_what_is_no_note_goes_nowhere(gateway: Gateway, note: bytes) -> None:
    connection = connected(gateway.hub)
    assert connection.device is not None
    gateway.sink.note(connection.device, note)
    gateway.sink.note(STRANGER, note)
    assert waiting(connection) == []
    assert connection.closing is None


@given(note=st.binary(max_size=80))
def test_no_bytes_raise_or_reach_a_client_as_anything_but_a_note(note: bytes) -> None:
    async def main() -> None:
        hub = Hub()
        connection = connected(hub)
        assert connection.device is not None
        unused: list[MessageId] = []
        # A note needs none of the others.
        sink = Sink(hub, None, None, None, unused.append)  # type: ignore[arg-type]
        sink.note(connection.device, note)
        assert all(isinstance(frame, Receipt | Typing) for frame in waiting(connection))
        assert connection.closing is None

    trio.run(main)


# kick


async def test_only_the_session_that_lost_is_closed(gateway: Gateway) -> None:
    connection, other = connected(gateway.hub), connected(gateway.hub)
    assert connection.device is not None
    gateway.sink.kick(STRANGER, connection.id)
    gateway.sink.kick(connection.device, connection.id - 1)  # of a connection that is gone
    assert connection.closing is None
    gateway.sink.kick(connection.device, connection.id)
    gateway.sink.kick(connection.device, connection.id)
    assert connection.closing == (CloseCode.REPLACED, "This device connected anew.")
    assert other.closing is None


# stale


async def test_everybody_reads_again_from_where_it_is_safe(gateway: Gateway) -> None:
    known, unknown = connected(gateway.hub), Connection(1, "127.0.0.1", bytes(32), LimitSettings(), Timing())
    gateway.hub.add(unknown)  # has not signed in
    known.safe = samples.next_id()
    async with gateway.running():
        with trio.fail_after(30):  # a new link says that much by itself
            while known.lost is None:  # noqa: ASYNC110
                await trio.sleep(0.01)
        known.lost = None
        gateway.sink.stale()
        await trio.testing.wait_all_tasks_blocked()
        assert known.lost == known.safe
        assert unknown.lost is None


# changed


async def test_a_change_is_read_anew_and_the_revoked_are_closed(gateway: Gateway) -> None:
    device = await gateway.register()
    phone, other = connected(gateway.hub, device), connected(gateway.hub)
    assert await gateway.directory.devices_of(device.user) == {device.device}
    await gateway.users.replace_device_list(
        device.user, b"list 2", 2, now_ms=NOW_MS, link=None, revoke=[device.device]
    )
    gateway.sink.changed(UserId(samples.new_id()), [])
    assert await gateway.directory.devices_of(device.user) == {device.device}  # nobody said that it changed
    gateway.sink.changed(device.user, [device.device, STRANGER])
    assert await gateway.directory.devices_of(device.user) == frozenset()
    assert phone.closing == (CloseCode.FORBIDDEN, "This device was revoked.")
    assert other.closing is None


async def test_who_watches_an_account_that_changed_is_told_how_it_is_now(gateway: Gateway) -> None:
    viewer, device = await gateway.register(), await gateway.register()
    connection = connected(gateway.hub, viewer)
    async with gateway.running():
        await gateway.presence.watch(connection, viewer.user, [device.user])
        assert (await heard(connection, device.user)).online is False
        await gateway.users.put_settings(device.user, Settings(Privacy.NOBODY, Privacy.NOBODY))
        gateway.sink.changed(device.user, [])
        assert await heard(connection, device.user) == Presence(device.user, None, None)


# presence, forget


async def test_watchers_hear_of_an_arrival_elsewhere(gateway: Gateway) -> None:
    viewer, device = await gateway.register(), await gateway.register()
    connection = connected(gateway.hub, viewer)
    await gateway.presence.watch(connection, viewer.user, [device.user])
    assert (await heard(connection, device.user)).online is False
    gateway.sink.presence(UserId(samples.new_id()), is_online=True, at_ms=NOW_MS)
    assert waiting(connection) == []
    gateway.sink.presence(device.user, is_online=True, at_ms=NOW_MS)
    assert await heard(connection, device.user) == Presence(device.user, True, NOW_MS)


async def test_after_a_loss_everything_that_may_be_wrong_is_asked_for_anew(gateway: Gateway) -> None:
    viewer, device, absent = [await gateway.register() for _ in range(3)]
    await gateway.users.put_last_seen({device.user: NOW_MS - 5_000, absent.user: NOW_MS - 9_000})
    connection = connected(gateway.hub, viewer)
    assert await gateway.directory.devices_of(device.user) == {device.device}
    await gateway.users.replace_device_list(
        device.user, b"list 2", 2, now_ms=NOW_MS, link=None, revoke=[device.device]
    )
    async with gateway.running():
        await gateway.presence.watch(connection, viewer.user, [device.user, absent.user])
        gateway.sink.presence(device.user, is_online=True, at_ms=NOW_MS - 1_000)
        gateway.sink.forget()  # and no other gateway has him
        with trio.fail_after(30):
            while Presence(device.user, False, NOW_MS - 5_000) not in connection.notes:  # noqa: ASYNC110
                await trio.sleep(0.01)
        assert await gateway.directory.devices_of(device.user) == frozenset()
    # When he left nobody knows, and of the other one nothing has changed: neither was seen just now.
    seen = {frame.last_seen for frame in connection.notes if isinstance(frame, Presence)}
    assert seen == {None, NOW_MS - 9_000, NOW_MS - 5_000, NOW_MS - 1_000}
