"""Who is online, who was last seen when, and who may know.

A small permanent server. The hub tells it of arrivals and departures here, the bus of those elsewhere, calls tell it
who wants to know of whom; its task tells the watchers, each only what privacy allows, and stores last-seen times in
batches. The rules are in `domain/presence.py`.

Who left one gateway may be at another, and the bus knows: so the watchers hear of a departure when the bus has been
asked, which is after it has forgotten the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from itertools import islice

import trio

from supervisors import cleanup_scope

from ..domain.presence import Rights, rights
from ..errors import BusUnavailable, StoreUnavailable
from ..gateway.connection import Connection
from ..gateway.hub import Hub
from ..ids import UserId
from ..metrics import Metrics
from ..ports import Bus, UserStore
from ..protocol import codec
from ..protocol.frames import Presence
from ..wakeup import Wakeup

STORE_EVERY_S = 2.0
ASK_AT_ONCE = 500


class PresenceServer:
    """Watchers and last-seen times. Its state outlives its task, so that a restart forgets nobody."""

    def __init__(
        self, users: UserStore, hub: Hub, bus: Bus, metrics: Metrics, now_ms: Callable[[], int]
    ) -> None:
        self._users = users
        self._hub = hub
        self._bus = bus
        self._metrics = metrics
        self._now_ms = now_ms
        self._watchers: dict[UserId, dict[Connection, Rights]] = {}
        self._watched: dict[Connection, tuple[UserId, frozenset[UserId]]] = {}
        self._elsewhere: set[UserId] = set()  # of those who are watched here
        self._doubtful: dict[UserId, int | None] = {}  # and when they left, if anybody knows
        self._stale: set[Connection] = set()
        self._seen: dict[UserId, int] = {}
        self._wakeup = Wakeup()
        self._store_at = math.inf
        hub.on_presence = self._changed

    @property
    def watches(self) -> int:
        """How many accounts connections here hear of, each counted for each connection."""
        return sum(len(users) for _, users in self._watched.values())

    async def watch(self, connection: Connection, viewer: UserId, users: Sequence[UserId]) -> None:
        """Replace the set of accounts that a connection hears of, and tell it how they are now.

        Raises: `StoreUnavailable`, and the old set stays.
        """
        wanted = frozenset(users)
        granted = await self._grants(viewer, wanted)
        elsewhere = await self._online(wanted)
        if connection.is_over:
            return  # and was forgotten already: what is added now would stay for ever
        self.forget(connection)
        self._watched[connection] = (viewer, wanted)
        self._elsewhere |= elsewhere
        for user, (right, last_seen_ms) in granted.items():
            self._watchers.setdefault(user, {})[connection] = right
            self._tell(connection, user, right, last_seen_ms)

    def forget(self, connection: Connection) -> None:
        """Drop a connection's watches: it ended, or gets new ones."""
        _, watched = self._watched.pop(connection, (None, frozenset[UserId]()))
        for user in watched:
            watchers = self._watchers.get(user)
            if watchers is not None:
                watchers.pop(connection, None)
                if not watchers:
                    del self._watchers[user]
                    self._elsewhere.discard(user)

    async def refresh(self, user: UserId) -> None:
        """Look again at who may see what, here and at all gateways: somebody changed settings or contacts.

        Raises: `StoreUnavailable`.
        """
        self._bus.changed_nowait(user, [])
        for connection in self._affected(user):
            await self._watch_again(connection)

    def refresh_nowait(self, user: UserId) -> None:
        """Look again soon: it was another gateway where something changed."""
        self._stale |= self._affected(user)
        self._wakeup.set()

    def heard(self, user: UserId, *, is_online: bool, at_ms: int) -> None:
        """Take note of what the bus says: an account came to another gateway, or left one or this one."""
        if user not in self._watchers:
            return
        if is_online:
            self._elsewhere.add(user)
            self._tell_all(user, at_ms)
        else:
            self._doubtful[user] = at_ms
            self._wakeup.set()

    def doubt(self) -> None:
        """Ask anew about everybody who is watched: something that the bus said may be lost."""
        for user in self._elsewhere:
            self._doubtful.setdefault(user, None)
        self._stale |= self._watched.keys()
        self._wakeup.set()

    def _affected(self, user: UserId) -> set[Connection]:
        """Return the connections that watch an account, or are its own."""
        return {*self._watchers.get(user, ()), *self._hub.of_user(user)}

    async def _watch_again(self, connection: Connection) -> None:
        if connection in self._watched:
            viewer, watched = self._watched[connection]
            await self.watch(connection, viewer, tuple(watched))

    async def run(self) -> None:
        """Tell watchers, store last-seen times now and then, and at the end those of everybody who is still here."""
        try:
            while True:
                with trio.move_on_at(self._store_at):
                    await self._wakeup.wait()
                await self._settle()
                if self._store_at <= trio.current_time():
                    self._store_at = math.inf
                    await self._store_seen()
        finally:
            self._seen.update(dict.fromkeys(self._hub.users(), self._now_ms()))
            with cleanup_scope():
                await self._store_seen()

    async def _settle(self) -> None:
        """Find out about everybody who is in doubt."""
        while self._doubtful:
            some = dict(islice(self._doubtful.items(), ASK_AT_ONCE))
            for user in some:
                del self._doubtful[user]
            online = await self._online(some)
            self._elsewhere -= some.keys()
            self._elsewhere |= online & self._watchers.keys()
            for user, at_ms in some.items():
                self._tell_all(user, at_ms)
        while self._stale:
            connection = self._stale.pop()
            try:
                await self._watch_again(connection)
            except StoreUnavailable:
                self._metrics.store_failures.labels("presence").inc()

    async def _online(self, users: Collection[UserId]) -> set[UserId]:
        """Return which accounts are connected elsewhere but not here; with the bus down, who was before."""
        try:
            online = set() if self._bus.is_alone else await self._bus.online(users)
            return {user for user in online if not self._hub.of_user(user)}
        except BusUnavailable:
            return self._elsewhere.intersection(users)

    async def _store_seen(self) -> None:
        seen, self._seen = self._seen, {}
        if not seen:
            return
        try:
            await self._users.put_last_seen(seen)
        except StoreUnavailable:
            self._metrics.store_failures.labels("last_seen").inc()
            self._seen = {**seen, **self._seen}

    def _changed(self, user: UserId) -> None:
        """An account's first connection here has come, or its last one has gone."""
        self._seen[user] = now_ms = self._now_ms()
        self._store_at = min(self._store_at, trio.current_time() + STORE_EVERY_S)
        self._wakeup.set()
        is_online = bool(self._hub.of_user(user))
        if is_online or self._bus.is_alone or not self._bus.is_up:
            self._tell_all(user, now_ms)
        self._bus.presence_nowait(user, is_online=is_online, at_ms=now_ms)

    def _tell_all(self, user: UserId, at_ms: int | None) -> None:
        for connection, right in self._watchers.get(user, {}).items():
            self._tell(connection, user, right, at_ms)

    def _tell(self, connection: Connection, user: UserId, right: Rights, last_seen_ms: int | None) -> None:
        is_online = bool(self._hub.of_user(user)) or user in self._elsewhere
        note = Presence(user, is_online if right.online else None, last_seen_ms if right.last_seen else None)
        if not connection.note((Presence, user), codec.encode(note)):
            self._metrics.notes_dropped.inc()

    async def _grants(
        self, viewer: UserId, users: frozenset[UserId]
    ) -> dict[UserId, tuple[Rights, int | None]]:
        people = await self._users.people({viewer, *users})
        if viewer not in people:
            return {}
        trusting = await self._users.who_has_contact(viewer, users)
        return {
            user: (
                rights(people[user].settings, people[viewer].settings, user in trusting),
                self._seen.get(user, people[user].last_seen_ms),
            )
            for user in users
            if user in people
        }
