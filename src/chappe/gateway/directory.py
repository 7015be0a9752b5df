"""What sending needs to know of conversations and devices, kept in memory: members, and who must get a wrap.

The router asks for every message, so an answer that is here costs a dictionary look-up and no store; with the user
store away, known conversations go on. Whoever changes a device list calls `forget`. What other nodes change comes over
the bus.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from ..domain.accounts import Device
from ..ids import ConversationId, DeviceId, UserId
from ..ports import UserStore

MAX_CONVERSATIONS = 100_000
MAX_USERS = 100_000
MAX_DEVICES = 200_000


@dataclass(frozen=True, slots=True)
class Audience:
    """The members of a conversation and all their devices; `parts` says whose are whose."""

    members: tuple[UserId, ...]
    devices: frozenset[DeviceId]
    parts: tuple[tuple[UserId, frozenset[DeviceId]], ...]


@dataclass(eq=False, slots=True)
class _Read:
    """A device on its way from the store; `is_stale` once it changed meanwhile."""

    device: DeviceId
    is_stale: bool = False


class Directory:
    """A bounded cache over the user store. Two tasks that miss the same entry both read it; that harms nothing."""

    def __init__(self, users: UserStore) -> None:
        self._users = users
        self._members: OrderedDict[ConversationId, tuple[UserId, ...]] = OrderedDict()
        self._audiences: OrderedDict[ConversationId, Audience] = OrderedDict()
        self._devices: OrderedDict[DeviceId, Device] = OrderedDict()
        self._of_user: OrderedDict[UserId, frozenset[DeviceId]] = OrderedDict()
        self._reads: set[_Read] = set()
        self._changes = 0

    async def device(self, device: DeviceId) -> Device | None:
        """Return a device, revoked ones too.

        Raises: `StoreUnavailable` when it is not in memory and the store is away.
        """
        known = self._devices.get(device)
        if known is not None:
            return known
        read = _Read(device)
        self._reads.add(read)
        try:
            while True:
                read.is_stale = False
                known = await self._users.device(device)
                # What was revoked meanwhile must not sign in once more.
                if not read.is_stale:
                    break
        finally:
            self._reads.remove(read)
        if known is not None:
            _keep(self._devices, device, known, MAX_DEVICES)
        return known

    async def members(self, conv: ConversationId) -> tuple[UserId, ...] | None:
        """Return a conversation's members, None when nobody ever opened it.

        Raises: `StoreUnavailable`.
        """
        known = self._members.get(conv)
        if known is None:
            direct = await self._users.direct(conv)
            if direct is None:
                return None
            known = tuple(dict.fromkeys(direct.members))
            _keep(self._members, conv, known, MAX_CONVERSATIONS)
        return known

    def audience_nowait(self, conv: ConversationId) -> Audience | None:
        """Return whom a message in a conversation must reach if that is in memory and still true."""
        known = self._audiences.get(conv)
        if known is not None:
            current = self._of_user
            for user, part in known.parts:
                if current.get(user) is not part:
                    return None
        return known

    async def audience(self, conv: ConversationId) -> Audience | None:
        """Return whom a message in a conversation must reach, None when nobody ever opened it.

        Raises: `StoreUnavailable`.
        """
        members = await self.members(conv)
        if members is None:
            return None
        parts = tuple([(user, await self.devices_of(user)) for user in members])
        known = Audience(members, frozenset().union(*(part for _, part in parts)), parts)
        _keep(self._audiences, conv, known, MAX_CONVERSATIONS)
        return known

    async def devices_of(self, user: UserId) -> frozenset[DeviceId]:
        """Return an account's devices that are not revoked.

        Raises: `StoreUnavailable`.
        """
        known = self._of_user.get(user)
        if known is None:
            changes = self._changes
            known = frozenset([device.device for device in await self._users.devices(user)])
            if changes == self._changes:
                _keep(self._of_user, user, known, MAX_USERS)
        return known

    def forget_all(self) -> None:
        """Drop everything that can change: a change may have been made elsewhere and not been told."""
        self._changes += 1
        self._of_user.clear()
        self._devices.clear()
        for read in self._reads:
            read.is_stale = True

    def forget(self, user: UserId, revoked: Iterable[DeviceId]) -> None:
        """Drop what is known of an account's devices: its list changed.

        Of what is being read meanwhile, a device of `revoked` is read again and a list of devices is not kept.
        """
        self._changes += 1
        self._of_user.pop(user, None)
        gone = set(revoked)
        for device in gone:
            self._devices.pop(device, None)
        for read in self._reads:
            read.is_stale |= read.device in gone


_K = TypeVar("_K")
_V = TypeVar("_V")


def _keep(cache: OrderedDict[_K, _V], key: _K, value: _V, most: int) -> None:
    cache[key] = value
    if len(cache) > most:
        cache.popitem(last=False)
