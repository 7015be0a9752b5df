"""Who is connected to this node, by device and by account.

Connections enter after HELLO and leave when they end; the router and presence look up where to hand things. It owns
no task: entering and leaving are plain calls on trio's thread.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator

import trio

from ..ids import DeviceId, UserId
from ..protocol.codes import CloseCode
from .connection import Buckets, Connection

REMEMBERED_DEVICES = 100_000


class Hub:
    """The connections of a node. `on_presence` is called with an account's first arrival and last departure."""

    def __init__(self) -> None:
        self._all: set[Connection] = set()
        self._by_device: dict[DeviceId, Connection] = {}
        self._by_user: dict[UserId, set[Connection]] = {}
        self._buckets: OrderedDict[DeviceId, Buckets] = OrderedDict()
        self._empty: trio.Event | None = None
        self.on_presence: Callable[[UserId], None] = lambda _user: None

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._all))

    async def emptied(self) -> None:
        """Wait until nobody is connected any more."""
        if self._all:
            self._empty = trio.Event()
            await self._empty.wait()

    def users(self) -> tuple[UserId, ...]:
        """Return the accounts that are connected here."""
        return tuple(self._by_user)

    @property
    def signed_in(self) -> int:
        """How many devices are signed in here."""
        return len(self._by_device)

    def add(self, connection: Connection) -> None:
        """Count a connection, signed in or not."""
        self._all.add(connection)

    def enter(self, connection: Connection, user: UserId, device: DeviceId) -> None:
        """Sign a connection in; an older one of the same device is replaced by it."""
        older = self._by_device.get(device)
        self._by_device[device] = connection
        self._by_user.setdefault(user, set()).add(connection)
        if older is not None:
            older.close(CloseCode.REPLACED, "This device connected anew.")
        elif len(self._by_user[user]) == 1:
            self.on_presence(user)

    def leave(self, connection: Connection) -> None:
        """Forget a connection."""
        self._all.discard(connection)
        if not self._all and self._empty is not None:
            self._empty.set()
        if connection.user is None or connection.device is None:
            return
        if self._by_device.get(connection.device) is connection:
            del self._by_device[connection.device]
        connections = self._by_user[connection.user]
        connections.discard(connection)
        if not connections:
            del self._by_user[connection.user]
            self.on_presence(connection.user)

    def buckets(self, device: DeviceId) -> Buckets:
        """Return a device's rate limits, the same at its next connection unless very many others came between."""
        buckets = self._buckets.setdefault(device, {})
        self._buckets.move_to_end(device)
        if len(self._buckets) > REMEMBERED_DEVICES:
            self._buckets.popitem(last=False)
        return buckets

    def revoke(self, devices: Iterable[DeviceId]) -> None:
        """End the connections of devices that were revoked."""
        for device in devices:
            connection = self._by_device.get(device)
            if connection is not None:
                connection.close(CloseCode.FORBIDDEN, "This device was revoked.")

    def of_device(self, device: DeviceId) -> Connection | None:
        """Return a device's connection."""
        return self._by_device.get(device)

    def of_user(self, user: UserId) -> Collection[Connection]:
        """Return an account's connections."""
        return self._by_user.get(user, ())
