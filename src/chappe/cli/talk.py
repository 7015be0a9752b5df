"""One conversation on the screen: history, what arrives, what is typed, ticks, presence, typing.

`chat` runs it and feeds it lines and edits. Drawing is left to a `Surface`: a terminal (`Screen`) or plain
lines.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Protocol

import trio

from ..client import (
    Client,
    ClientError,
    ConnectionChanged,
    ConnectionState,
    DeliveryState,
    Event,
    EventStream,
    IdentityChanged,
    Message,
    MessageChanged,
    MessageReceived,
    PresenceChanged,
    RequestError,
    SendFailed,
    ServerSuspected,
    TypingChanged,
    Undecryptable,
)
from ..ids import Cid, MessageId, UserId
from .output import say, visible
from .session import name_of, names_of, watch
from .views import READ_STYLE, TICKS, event_line, message_line, presence_words

HELP: Final = "/older  earlier messages    /safety  safety number    /trust  accept a changed key    /quit"
PAGE: Final = 20
TYPING_AGAIN_S: Final = 3.0
TYPING_OVER_S: Final = 6.0  # twice the time between two notes: one may get lost
_TICKS_COLUMN = 6  # after "HH:MM "
_THEIR_STYLE = "32"
_NOTICE_STYLE = "33"


class Surface(Protocol):
    """What a conversation is drawn on; `Screen` is one."""

    def print(self, line: str, *, style: str = "", mark: Hashable | None = None, column: int = 0) -> None:
        """Add lines."""

    def change(self, mark: Hashable, text: str, *, style: str = "") -> bool:
        """Overwrite what stands at a mark, if that can still be done."""

    def status(self, text: str) -> None:
        """Replace the status line."""


class PlainLines:
    """A surface for a pipe: lines only."""

    def print(self, line: str, *, style: str = "", mark: Hashable | None = None, column: int = 0) -> None:  # noqa: ARG002  a pipe has neither colours nor places
        """Print the line."""
        say(line)

    def change(self, mark: Hashable, text: str, *, style: str = "") -> bool:  # noqa: ARG002  what is printed stays
        """Change nothing."""
        return False

    def status(self, text: str) -> None:
        """Show nothing: a pipe has no bottom line."""


class Talk:
    """A conversation with `peer`. All methods but `hear` return quickly."""

    def __init__(self, client: Client, peer: UserId, surface: Surface) -> None:
        self._client = client
        self._peer = peer
        self._conv = client.conversation(peer)
        self._surface = surface
        self._names: dict[UserId, str] = {}
        self._unsent: set[Cid] = set()
        self._oldest: MessageId | None = None
        self._peer_types_until = 0.0
        self._told_typing_at: float | None = None
        self._edited_at = 0.0
        self._offline_because = ""

    async def open(self) -> None:
        """Show the newest messages and begin to watch the other's presence."""
        self._names = await names_of(self._client)
        page = await self._client.history(self._conv, limit=PAGE)
        self._show_page(page)
        for message in page[-1:]:
            await self._mark_read(message)
        await watch(self._client, [self._peer])
        self._show_status()

    async def hear(self, stream: EventStream) -> None:
        """Show what happens. Runs until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_time)
            async for event in stream:
                await self._show(event)
                self._show_status()

    async def _watch_time(self) -> None:
        while True:
            await trio.sleep(1.0)
            if self._told_typing_at is not None and trio.current_time() - self._edited_at > TYPING_OVER_S:
                await self._tell_typing(active=False)
            self._show_status()

    async def edited(self, text: str) -> None:
        """Take note that the line being written changed: the other side sees that somebody types."""
        self._edited_at = trio.current_time()
        if not text or text.startswith("/"):
            await self._tell_typing(active=False)
        elif self._told_typing_at is None or self._edited_at - self._told_typing_at >= TYPING_AGAIN_S:
            await self._tell_typing(active=True)

    async def _tell_typing(self, *, active: bool) -> None:
        if active or self._told_typing_at is not None:
            self._told_typing_at = trio.current_time() if active else None
            await self._client.set_typing(self._conv, active)

    async def line(self, text: str) -> bool:
        """Send a line, or do what a /command says; return False to end the conversation."""
        await self._tell_typing(active=False)
        command = text.strip()
        if command == "/quit":
            return False
        try:
            if command == "/older":
                self._show_page(await self._client.history(self._conv, before=self._oldest, limit=PAGE))
            elif command == "/safety":
                self._notice(await self._client.safety_number(self._peer))
            elif command == "/trust":
                await self._client.trust(self._peer)
                self._notice("The key is accepted; waiting messages go out.")
            elif command.startswith("/") and not command.startswith("//"):
                self._notice(HELP)
            elif command:
                # Two slashes begin a message that begins with one.
                message = await self._client.send(self._peer, text.removeprefix("/"))
                self._unsent.add(message.cid)
                self._show_message(message)
        except (ClientError, RequestError) as error:
            self._notice(str(error))
        return True

    async def all_sent(self) -> None:
        """Wait until the server has every message that was written here, or will never have it."""
        for cid in tuple(self._unsent):
            try:
                await self._client.wait(cid, DeliveryState.SENT)
            except SendFailed as error:
                self._notice(str(error))
            self._unsent.discard(cid)

    async def _show(self, event: Event) -> None:
        match event:
            case MessageReceived(message) if message.conv == self._conv:
                self._peer_types_until = 0.0
                self._show_message(message)
                await self._mark_read(message)
            case MessageReceived(message):
                self._notice(f"{name_of(self._names, message.sender)} wrote to you elsewhere.")
            case MessageChanged(message) if message.conv == self._conv:
                self._tick(message)
            case TypingChanged(conv, user, active) if conv == self._conv and user == self._peer:
                self._peer_types_until = trio.current_time() + TYPING_OVER_S if active else 0.0
            case ConnectionChanged(ConnectionState.ONLINE, _):
                self._offline_because = ""
                self._names = await names_of(self._client)
            case ConnectionChanged(_, reason) if reason and reason != self._offline_because:
                self._offline_because = reason  # once, and not again with every try to reconnect
                self._notice(event_line(event, self._names))
            case IdentityChanged(user) if user == self._peer:
                who = name_of(self._names, user)
                self._notice(f"The key of {who} has changed: compare safety numbers (/safety), then /trust.")
            case Undecryptable(conv) if conv == self._conv:
                self._notice(event_line(event, self._names))
            case ServerSuspected():
                self._notice(event_line(event, self._names))
            case PresenceChanged() | _:
                pass  # the status line, drawn after every event, says it

    def _show_page(self, messages: list[Message]) -> None:
        self._oldest = next((message.id for message in messages if message.id), self._oldest)
        for message in messages:
            self._show_message(message)

    async def _mark_read(self, message: Message) -> None:
        if message.id is not None and not message.mine:
            await self._client.mark_read(self._conv, message.id)

    def _show_message(self, message: Message) -> None:
        line = message_line(message, self._names)
        if message.mine:
            self._surface.print(line, mark=message.cid, column=_TICKS_COLUMN)
        else:
            self._surface.print(line, style=_THEIR_STYLE)

    def _tick(self, message: Message) -> None:
        style = READ_STYLE if message.state is DeliveryState.READ else ""
        self._surface.change(message.cid, TICKS[message.state], style=style)
        if message.state is DeliveryState.FAILED:
            self._notice(f"Not sent: {message.reason}")

    def _notice(self, text: str) -> None:
        self._surface.print(f"-- {visible(text)}", style=_NOTICE_STYLE)

    def _show_status(self) -> None:
        parts = [name_of(self._names, self._peer)]
        if self._client.connection is not ConnectionState.ONLINE:
            parts.append(f"you are {self._client.connection.value}")
        elif trio.current_time() < self._peer_types_until:
            parts.append("typing…")
        elif (presence := self._client.presence(self._peer)) is not None:
            parts.append(presence_words(presence.online, presence.last_seen))
        self._surface.status(" · ".join((*parts, "/help")))
