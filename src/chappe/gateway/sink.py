"""What this gateway does with what comes over the bus: the `BusSink`.

The bus' task calls it for each event; nothing here waits or raises, and whatever takes time is left to the task of its
owner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..domain.messages import InboxRow
from ..ids import DeviceId, MessageId, UserId
from ..protocol import codec
from ..protocol.codes import CloseCode, ProtocolError
from ..protocol.frames import Receipt, Typing
from ..workers.presence import PresenceServer
from ..workers.rereads import Rereads
from .directory import Directory
from .hub import Hub


@dataclass(frozen=True, slots=True)
class Sink:
    """Fulfils `ports.BusSink`. `saw` keeps the clock here from falling behind the positions of other gateways."""

    hub: Hub
    directory: Directory
    presence_server: PresenceServer
    rereads: Rereads
    saw: Callable[[MessageId], None]

    def wake(self, device: DeviceId, row: InboxRow) -> None:
        """Hand a row that another gateway has stored to the device's connection."""
        self.saw(row.pos)
        connection = self.hub.of_device(device)
        if connection is not None:
            connection.offer(row)

    def note(self, device: DeviceId, note: bytes) -> None:
        """Hand a frame to the device's connection, in place of an older one of its kind."""
        connection = self.hub.of_device(device)
        if connection is None:
            return
        try:
            [frame] = codec.decode(codec.join([note]))
        except ProtocolError:
            return  # of a later version
        match frame:
            case Receipt(conv=conv, user=user):
                connection.note((Receipt, conv, user), note, keep=True)
            case Typing(conv=conv, user=user) if user != connection.user:
                connection.note((Typing, conv, user), note)
            case _:
                pass  # one's own typing

    def kick(self, device: DeviceId, session: int) -> None:
        """End a connection whose device has connected elsewhere."""
        connection = self.hub.of_device(device)
        if connection is not None and connection.id == session:
            connection.close(CloseCode.REPLACED, "This device connected anew.")

    def stale(self) -> None:
        """Have everybody read again."""
        self.rereads.everybody()

    def changed(self, user: UserId, revoked: Sequence[DeviceId]) -> None:
        """Forget what is known of an account."""
        self.directory.forget(user, revoked)
        self.presence_server.refresh_nowait(user)
        self.hub.revoke(revoked)

    def presence(self, user: UserId, is_online: bool, at_ms: int) -> None:
        """Tell those who watch."""
        self.presence_server.heard(user, is_online=is_online, at_ms=at_ms)

    def forget(self) -> None:
        """Doubt what the bus keeps true."""
        self.directory.forget_all()
        self.presence_server.doubt()
