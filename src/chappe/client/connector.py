"""Keeps the device connected, for as long as the client is open: dial, sign in, work, wait, again.

Runs as a child of the client's supervisor. Each connection is a supervisor of its own with reader, writer, heartbeat,
receiver, sender and keeper under it; all of them are significant, so the first that ends, ends the connection. A
connection that breaks is normal life and is handled here; a task that crashes is a bug, goes up, and starts the
connector afresh with backoff.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

import trio

from supervisors import AutoShutdown, ChildSpec, Restart, Supervisor, child

from ..crypto.keys import DeviceKeys
from ..ids import Cid, MessageId, UserId
from ..protocol.frames import Frame
from .directory import Directory
from .errors import NoConnection, Offline, Refused, Unreachable
from .events import ConnectionChanged, EventHub
from .keeper import Keeper
from .link import Link
from .reader import MAX_BATCHES, Reader
from .receiver import Receiver
from .sender import Sender
from .store import profile
from .store.database import Database, Tx
from .store.profile import Own
from .values import ConnectionState, PresenceInfo
from .wire import Wire

FIRST_WAIT_S: Final = 1.0
MOST_WAIT_S: Final = 60.0
GOODBYE_S: Final = 3.0


class Connector:
    """The client's way to its server. `state` and `refused` are for reading.

    `presence` holds what this connection heard, `watched` what each is to report, `fresh` is the sender's.
    """

    def __init__(
        self,
        database: Database,
        own: Own,
        hub: EventHub,
        dial: Callable[[], AbstractAsyncContextManager[Wire]],
        most_wait_s: float,
    ) -> None:
        self._database = database
        self._own = own
        self._hub = hub
        self._dial = dial
        self._most_wait_s = most_wait_s
        self.directory = Directory(database, own, hub)
        self.state = ConnectionState.OFFLINE
        self.presence: dict[UserId, PresenceInfo] = {}
        self.watched: list[UserId] = []
        self.fresh: set[Cid] = set()
        self._link: Link | None = None
        self._sender: Sender | None = None
        self.refused: Refused | None = None
        self._is_drained = False
        self._is_closing = False
        self._changed = trio.Event()
        self._ended_s = trio.current_time()  # of the last connection, or of one of an earlier process

    @property
    def link(self) -> Link:
        """The connection. Raises: `Refused`, `Offline`."""
        if self.refused is not None:
            raise self.refused
        if self._link is None:
            raise Offline("There is no connection now; wait until the client is online.")
        return self._link

    @property
    def sender(self) -> Sender | None:
        """The worker of the outbox, when connected."""
        return self._sender

    async def online(self) -> None:
        """Wait until signed in and drained. Raises: `Refused`."""
        while not self._is_drained:
            if self.refused is not None:
                raise self.refused
            await self._changed.wait()

    async def run(self) -> None:
        """Connect again and again; return when the server refused for good, or after `goodbye`."""
        tries = 0
        while not self._is_closing:
            self._set(ConnectionState.CONNECTING)
            wait_s: tuple[float, float] | None = None
            reason = "The client is stopping, or something in it crashed."
            try:
                async with self._dial() as wire:
                    wait_s = await self._work(wire)
                reason = "The server asked to reconnect."
            except NoConnection as error:
                reason = str(error)
                if isinstance(error, Refused):
                    self.refused = error
                    return
            finally:
                was_drained, self._is_drained = self._is_drained, False
                self._link = self._sender = None
                self.presence.clear()
                self._set(ConnectionState.OFFLINE, reason)
            tries = 0 if was_drained else tries + 1
            most_s = min(self._most_wait_s, FIRST_WAIT_S * 2**tries)
            await trio.sleep(random.uniform(*(wait_s or (0, most_s))))  # noqa: S311 - spreads load, no secret

    async def goodbye(self) -> None:
        """Send what waits and close, for at most `GOODBYE_S`; then `run` returns."""
        self._is_closing = True
        if self._link is not None:
            self._link.finish()
            with trio.move_on_after(GOODBYE_S):
                while self._link is not None:
                    await self._changed.wait()

    async def _work(self, wire: Wire) -> tuple[float, float] | None:
        """Be signed in until the connection is over; return the range of seconds to wait if GOAWAY gave one.

        Raises: `Refused`, `Unreachable` as the connection ended, `GaveUp` when a task crashed.
        """
        device, cursor, newest = await self._database.run(_credentials)
        welcome, rest = await wire.sign_in(device, cursor, newest)
        if welcome.user != self._own.user:
            raise Unreachable("The server took this device for another account's.")
        link = Link(wire, welcome)
        resend_at = self._ended_s + welcome.resend_ms / 1000
        sender = Sender(self._database, self._own, self._hub, self.directory, (self.fresh, resend_at))
        self._link, self._sender = link, sender
        self._set(ConnectionState.ONLINE)
        try:
            await Supervisor(
                self._children(link, sender, rest),
                intensity=0,
                auto_shutdown=AutoShutdown.ANY_SIGNIFICANT,
                name="connection",
                on_give_up="crash",
            ).run()
        finally:
            link.end(Unreachable("The connection was closed."))
            self._ended_s = trio.current_time()
        assert link.ended is not None
        if link.wait_s is None or isinstance(link.ended, Refused):
            raise link.ended
        return link.wait_s

    def _children(self, link: Link, sender: Sender, rest: Sequence[Frame]) -> list[ChildSpec]:
        send, receive = trio.open_memory_channel[list[Frame]](MAX_BATCHES)
        database, own, hub = self._database, self._own, self._hub
        reader = Reader(link, hub, self.presence, database.now_ms)
        receiver = Receiver(database, own, hub, self.directory, self._drained)
        keeper = Keeper(database, own, hub, self.directory, lambda: self.watched)
        significant = partial(child, restart=Restart.TRANSIENT, significant=True)
        return [
            significant(link.write, id="writer"),
            significant(receiver.run, link, sender, receive, id="receiver"),
            significant(sender.run, link, id="sender"),
            significant(keeper.run, link, sender, id="keeper"),
            significant(reader.beat, id="heartbeat"),
            significant(reader.run, rest, send, id="reader"),
        ]

    def _drained(self) -> None:
        self._is_drained = True
        self._announce()

    def _set(self, state: ConnectionState, reason: str = "") -> None:
        self.state = state
        self._hub.publish([ConnectionChanged(state, reason)])
        self._announce()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def _credentials(tx: Tx) -> tuple[DeviceKeys, bytes | None, MessageId]:
    return profile.device(tx), profile.cursor(tx), profile.newest(tx)
