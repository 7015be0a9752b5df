"""Who is online, who was last seen when, and who may know.

A small permanent server. The hub tells it of arrivals and departures, calls tell it who wants to know of whom; its
task tells the watchers, each only what privacy allows, and stores last-seen times in batches. The rules are in
`domain/presence.py`. It knows only this node's connections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from ..domain.presence import Rights, rights
from ..errors import StoreUnavailable
from ..gateway.connection import Connection
from ..gateway.hub import Hub
from ..ids import UserId
from ..metrics import Metrics
from ..ports import UserStore
from ..protocol import codec
from ..protocol.frames import Presence
from ..wakeup import Wakeup

STORE_EVERY_S = 2.0
GOODBYE_S = 2.0


class PresenceServer:
    """Watchers and last-seen times. Its state outlives its task, so that a restart forgets nobody."""

    def __init__(self, users: UserStore, hub: Hub, metrics: Metrics, now_ms: Callable[[], int]) -> None:
        self._users = users
        self._hub = hub
        self._metrics = metrics
        self._now_ms = now_ms
        self._watchers: dict[UserId, dict[Connection, Rights]] = {}
        self._watched: dict[Connection, tuple[UserId, frozenset[UserId]]] = {}
        self._seen: dict[UserId, int] = {}
        self._wakeup = Wakeup()
        hub.on_presence = self._changed

    async def watch(self, connection: Connection, viewer: UserId, users: Sequence[UserId]) -> None:
        """Replace the set of accounts that a connection hears of, and tell it how they are now.

        Raises: `StoreUnavailable`, and the old set stays.
        """
        wanted = frozenset(users)
        granted = await self._grants(viewer, wanted)
        if connection.is_over:
            return  # and was forgotten already: what is added now would stay for ever
        self.forget(connection)
        self._watched[connection] = (viewer, wanted)
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

    async def refresh(self, user: UserId) -> None:
        """Look again at who may see what: somebody changed settings or contacts.

        Raises: `StoreUnavailable`.
        """
        affected = {*self._watchers.get(user, ()), *self._hub.of_user(user)}
        for connection in affected:
            if connection in self._watched:
                viewer, watched = self._watched[connection]
                await self.watch(connection, viewer, tuple(watched))

    async def run(self) -> None:
        """Store last-seen times now and then, and at the end those of everybody who is still here."""
        try:
            while True:
                await self._wakeup.wait()
                await trio.sleep(STORE_EVERY_S)
                await self._store_seen()
        finally:
            self._seen.update(dict.fromkeys(self._hub.users(), self._now_ms()))
            with trio.move_on_after(GOODBYE_S, shield=True):
                await self._store_seen()

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
        self._seen[user] = now_ms = self._now_ms()
        self._wakeup.set()
        for connection, right in self._watchers.get(user, {}).items():
            self._tell(connection, user, right, now_ms)

    def _tell(self, connection: Connection, user: UserId, right: Rights, last_seen_ms: int | None) -> None:
        is_online = bool(self._hub.of_user(user))
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
