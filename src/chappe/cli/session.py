"""A command's signed-in client, and the names that people read instead of ids.

Used by every command that talks to a server. The SDK reconnects for ever, which is right for `listen` and
`chat`; a command that does one thing gives up after a time and says what the last try failed on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from ..client import Client, ConnectionChanged, NotFound, Offline, RequestError
from ..ids import UserId
from .exits import CommandError, ExitCode
from .output import Progress, tell, visible
from .profile import Profile
from .running import run

T = TypeVar("T")


def run_online(profile: Profile, timeout_s: float, body: Callable[[Client], Awaitable[T]]) -> T:
    """Sign the profile's device in, run `body` with the client, sign out; return what it returned.

    Raises:
        CommandError: there is no such profile, or signing in took longer than `timeout_s`.
    """

    async def signed_in(client: Client) -> T:
        await _online(client, timeout_s)
        return await body(client)

    return run_local(profile, signed_in)


def run_local(profile: Profile, body: Callable[[Client], Awaitable[T]]) -> T:
    """Run `body` with the profile's client, without waiting for the server."""
    client = profile.client()  # may ask for the passphrase, so before signals become cancellation

    async def opened() -> T:
        async with client:
            result = await body(client)
        return result  # noqa: RET504  returned inside, a type checker fears that `__aexit__` swallowed it

    return run(opened)


async def _online(client: Client, timeout_s: float) -> None:
    async with client.events() as stream:
        with Progress(f"Connecting to {client.me.server}"), trio.move_on_after(timeout_s):
            await client.online()
            return
        reason = ""
        with trio.CancelScope() as waiting:
            waiting.cancel()  # what has happened is in the queue; wait for nothing more
            async for event in stream:
                if isinstance(event, ConnectionChanged):
                    reason = event.reason or reason
    raise CommandError(
        f"Cannot sign in at {client.me.server} within {timeout_s:g} s{': ' + reason if reason else '.'}",
        ExitCode.UNREACHABLE,
    )


async def watch(client: Client, users: list[UserId]) -> None:
    """Ask for the presence of these people; without it a command goes on, and the SDK asks again when it reconnects."""
    try:
        await client.watch(users)
    except (Offline, RequestError) as error:
        tell(f"Presence is not shown for now: {error}")


async def raise_if_refused(client: Client) -> None:
    """Return at once unless the server sent this device away for good.

    Raises:
        Refused: it did, and the client will not connect again.
    """
    with trio.CancelScope() as waiting:
        waiting.cancel()
        await client.online()


async def names_of(client: Client) -> dict[UserId, str]:
    """Return what to call everybody this device knows: contact names first, then user names."""
    names = {conversation.peer: conversation.name for conversation in await client.conversations()}
    names.update({contact.user: contact.name or contact.username for contact in await client.contacts()})
    names[client.me.user] = client.me.username
    return names


def name_of(names: dict[UserId, str], user: UserId) -> str:
    """Return a name that is safe to print, the id's first digits for a stranger."""
    return visible(names.get(user) or user.hex()[:8])


async def find(client: Client, who: str) -> UserId:
    """Return who is meant.

    Raises:
        CommandError: nobody by that name here.
    """
    try:
        return await client.find(who)
    except NotFound:
        # Somebody who wrote to this device and is no contact is shown by the id, and can be answered by it.
        strangers = [
            one.peer for one in await client.conversations() if one.peer.hex().startswith(who.lower())
        ]
        if len(strangers) == 1 and who:
            return strangers[0]
        raise CommandError(
            f"Nobody called {visible(who)!r} here: run `chappe contacts add {visible(who)}` first."
        ) from None
