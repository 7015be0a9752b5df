"""`send`, `listen` and `history`: messages for people in a hurry and for programs."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from .exits import CommandError, ExitCode
from .output import Progress, emit, say, tell
from .profile import Ca, Json, Profile, ProfileName, Server, Timeout, Who

if TYPE_CHECKING:
    from ..client import Client, ConnectionState, Event, Message


class Wait(StrEnum):
    """How far `send` waits for its message to get."""

    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"


def send(
    who: Who,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to say; - reads it from standard input.")],
    wait: Annotated[Wait, typer.Option(help="How far to wait: queued, sent, delivered or read.")] = Wait.SENT,
    timeout: Timeout = 15.0,
    json: Json = False,
    profile: ProfileName = "default",
    server: Server = None,
    ca: Ca = None,
) -> None:
    """Send one message, end-to-end encrypted.

    The message is stored here before anything else: if the server cannot be
    reached in time it goes out the next time this profile connects, with the
    same number, so that it never shows twice.

    Examples:
        chappe send ben "on my way"
        chappe send ben "still there?" --wait read --timeout 120

        uptime | chappe send ben - --json
    """
    if text == "-":
        text = sys.stdin.read().rstrip("\n")
    if not text:
        raise CommandError("There is nothing to send: TEXT is empty.", ExitCode.USAGE)
    import trio

    from ..client import DeliveryState
    from .session import find, names_of, run_local
    from .views import message_json, message_line

    async def body(client: Client) -> None:
        message = await client.send(await find(client, who), text)
        goal = DeliveryState[wait.name]
        with Progress(f"Sending to {who}") as progress, trio.move_on_after(timeout):
            await client.online()
            for state in (DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.READ):
                if state > goal:
                    break
                message = await client.wait(message.cid, state)
                progress.now(f"{message.state.name.capitalize()}, waiting until {wait}")
        message = await client.message(message.cid)
        names = await names_of(client)
        if json:
            emit(message_json(message, names))
        else:
            say(message_line(message, names))
        if message.state < goal:
            raise CommandError(_too_late(message, wait, timeout, client.connection), ExitCode.UNREACHABLE)

    run_local(Profile.of(profile, server, ca), body)


def _too_late(message: Message, wait: Wait, timeout: float, connection: ConnectionState) -> str:
    missed = f"Not {wait} within {timeout:g} s, only {message.state.name.lower()}:"
    if message.state.name == "QUEUED" and connection.name == "ONLINE":
        # The server is there and nothing else holds a message back but a key that changed (or a busy server).
        return f"{missed} if this person's key has changed, it waits for `chappe safety-number WHO --trust`."
    return f"{missed} it is stored, and goes on the next time this profile connects."


def listen(
    read: Annotated[
        bool, typer.Option("--read", help="Tell the senders that their messages were read.")
    ] = False,
    json: Json = False,
    profile: ProfileName = "default",
    server: Server = None,
    ca: Ca = None,
) -> None:
    """Print what happens, one event a line, until Ctrl-C.

    Messages, ticks of your own messages, typing, and who of your contacts comes
    and goes. Reconnects by itself.

    Examples:
        chappe listen
        chappe listen --json | jq -r 'select(.event == "message") | .text'
    """
    from ..client import ConnectionChanged, ConnectionState, MessageReceived
    from .session import names_of, raise_if_refused, run_local, watch
    from .views import event_json, event_line

    async def show(client: Client, event: Event) -> None:
        names = await names_of(client)
        if json:
            emit(event_json(event, names))
        elif isinstance(event, ConnectionChanged):
            tell(event_line(event, names))
        else:
            say(event_line(event, names))
        if read and isinstance(event, MessageReceived) and event.message.id and not event.message.mine:
            await client.mark_read(event.message.conv, event.message.id)

    async def body(client: Client) -> None:
        async with client.events() as stream:
            await show(client, ConnectionChanged(client.connection))
            async for event in stream:
                await show(client, event)
                if isinstance(event, ConnectionChanged):
                    if event.state is ConnectionState.ONLINE:
                        await watch(client, [contact.user for contact in await client.contacts()])
                    elif event.state is ConnectionState.OFFLINE:
                        await raise_if_refused(client)

    run_local(Profile.of(profile, server, ca), body)


def history(
    who: Who,
    limit: Annotated[
        int, typer.Option(min=1, max=10_000, help="How many messages, counted from the newest.")
    ] = 50,
    json: Json = False,
    profile: ProfileName = "default",
    ca: Ca = None,
) -> None:
    """Print the messages exchanged with somebody, oldest first, from this device's own store.

    Examples:
        chappe history ben --limit 10
        chappe history ben --json | jq -r .text
    """
    from .session import find, names_of, run_local
    from .views import message_json, message_line

    async def body(client: Client) -> None:
        conv = client.conversation(await find(client, who))
        names = await names_of(client)
        for message in await client.history(conv, limit=limit):
            if json:
                emit(message_json(message, names))
            else:
                say(message_line(message, names, day=True))

    run_local(Profile.of(profile, None, ca), body)
