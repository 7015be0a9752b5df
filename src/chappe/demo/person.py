"""Somebody in the story: a device with the real client, and what its owner sees and when."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import trio

from ..cli.exits import CommandError
from ..client import (
    Client,
    DeliveryState,
    EventStream,
    Message,
    MessageChanged,
    MessageReceived,
    PresenceChanged,
    TypingChanged,
    Undecryptable,
    register,
)
from ..ids import Cid, UserId

PASSPHRASE: Final = "a passphrase of the demonstration"  # noqa: S105  opens a folder that lives for seconds
ONLINE_WITHIN_S: Final = 20.0
SEEN_WITHIN_S: Final = 20.0


class StoryBroken(CommandError):
    """Something that was promised did not happen in time."""


class Person:
    """A person with one device. Everything `seen` is kept with the time it was seen (`trio.current_time`)."""

    def __init__(self, name: str, phone: str, folder: Path) -> None:
        self.name = name
        self.phone = phone
        self.user = UserId(b"")
        self.client: Client
        self.received: list[tuple[Message, float]] = []
        self.ticks: dict[Cid, dict[DeliveryState, float]] = {}
        self.sent_at: dict[Cid, float] = {}
        self.friend_is_online: bool | None = None
        self.friend_types = False
        self.undecryptable = 0
        self.reads_at_once = False
        self._folder = folder / name
        self._seen = trio.Event()

    async def register(self, server: str, code: Callable[[str], Awaitable[str]]) -> None:
        """Make the account, with the code that the server sends to the phone."""

        async def ask_code() -> str:
            return await code(self.phone)

        me = await register(
            server,
            self._folder,
            PASSPHRASE,
            username=self.name,
            phone=self.phone,
            password=f"the password of {self.name}",
            ask_code=ask_code,
            device_name=f"phone of {self.name}",
        )
        self.user = me.user

    @asynccontextmanager
    async def at_the_phone(self, friend: UserId) -> AsyncIterator[None]:
        """Be online and look at the screen, until the block ends."""
        async with (
            Client(self._folder, PASSPHRASE) as self.client,
            self.client.events() as stream,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(self._look, stream)
            with _in_time(ONLINE_WITHIN_S, f"{self.name} did not come online"):
                await self.client.online()
            await self.client.watch([friend])
            yield
            nursery.cancel_scope.cancel()

    async def say(self, friend: Person, text: str) -> Cid:
        """Write a message."""
        at = trio.current_time()
        message = await self.client.send(friend.user, text)
        self.sent_at[message.cid] = at
        return message.cid

    async def read(self) -> None:
        """Read everything that is on the screen."""
        last = self.received[-1][0]
        if last.id is not None:
            await self.client.mark_read(last.conv, last.id)

    async def until(self, what: str, is_so: Callable[[], bool]) -> None:
        """Wait until something was seen.

        Raises:
            StoryBroken: it was not, in time.
        """
        with _in_time(SEEN_WITHIN_S, f"{self.name} did not see that {what}"):
            while not is_so():
                await self._seen.wait()

    async def until_tick(self, cid: Cid, state: DeliveryState) -> float:
        """Wait until a message got this far, and return how many seconds it took."""
        await self.until(f"a message was {state.name.lower()}", lambda: state in self.ticks.get(cid, {}))
        return self.ticks[cid][state] - self.sent_at[cid]

    async def _look(self, stream: EventStream) -> None:
        async for event in stream:
            now = trio.current_time()
            match event:
                case MessageReceived(message):
                    self.received.append((message, now))
                    if self.reads_at_once and message.id is not None:
                        await self.client.mark_read(message.conv, message.id)
                case MessageChanged(message):
                    ticks = self.ticks.setdefault(message.cid, {})
                    for state in DeliveryState:
                        if DeliveryState.QUEUED < state <= message.state:
                            ticks.setdefault(state, now)
                case PresenceChanged(_, online, _):
                    self.friend_is_online = online
                case TypingChanged(_, _, active):
                    self.friend_types = active
                case Undecryptable():
                    self.undecryptable += 1
                case _:
                    pass
            self._seen.set()
            self._seen = trio.Event()


@contextmanager
def _in_time(most_s: float, problem: str) -> Iterator[None]:
    try:
        with trio.fail_after(most_s):
            yield
    except trio.TooSlowError as error:
        raise StoryBroken(f"{problem} within {most_s:g} s.") from error
