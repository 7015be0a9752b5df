"""Fetches what the server knows of other people's devices, and lets only what verifies into the store."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from ..ids import DeviceId, UserId
from ..protocol.calls import Bundle, Bundles, ClaimKeys, DeviceList, UserRef
from .errors import ServerLied
from .events import EventHub, IdentityChanged, ServerSuspected
from .link import Link
from .store import people
from .store.database import Database
from .store.profile import Own


class Directory:
    """The client's window on everybody's keys.

    `contacts_lock` is held from asking the server about contacts until the answer is stored: an older list must not
    be stored over a newer entry.
    """

    def __init__(self, database: Database, own: Own, hub: EventHub) -> None:
        self._database = database
        self._own = own
        self._hub = hub
        self.contacts_lock = trio.Lock()

    async def refresh(self, link: Link, user: UserId) -> None:
        """Fetch and store somebody's device list; a changed account key is reported.

        Raises: `RequestError`, `Offline`, `ServerLied` (reported as well).
        """
        answer = await link.call("devices.get", UserRef(user), DeviceList)
        try:
            is_new = await self._database.run(people.learn, self._own, user, answer)
        except ServerLied as error:
            self._hub.publish([ServerSuspected(str(error))])
            raise
        if is_new:
            self._hub.publish([IdentityChanged(user)])

    async def claim(self, link: Link, user: UserId, devices: Sequence[DeviceId]) -> dict[DeviceId, Bundle]:
        """Take a prekey bundle for each of these devices, as far as the server has them.

        Raises: `RequestError`, `Offline`.
        """
        answer = await link.call("keys.claim", ClaimKeys(user, list(devices)), Bundles)
        return {bundle.device: bundle for bundle in answer.bundles if bundle.device in devices}
