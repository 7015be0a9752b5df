"""`contacts list`, `add`, `rename` and `remove`: one's own names for others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .output import emit, say, visible
from .profile import Ca, Json, Profile, ProfileName, Server, Timeout, Who

if TYPE_CHECKING:
    from ..client import Client, Contact

app = typer.Typer(no_args_is_help=True, help="The people you know, under your own names for them.")


@app.command("list")
def list_contacts(json: Json = False, profile: ProfileName = "default") -> None:
    """Print your contacts as last heard from the server; works offline.

    Examples:
        chappe contacts list --json
    """
    from .session import run_local

    async def body(client: Client) -> list[Contact]:
        return await client.contacts()

    for contact in run_local(Profile.of(profile, None, None), body):
        _show(contact, json)


@app.command()
def add(
    who: Annotated[
        str, typer.Argument(metavar="WHO", help="A user name, or a phone number with country code.")
    ],
    name: Annotated[str, typer.Option(help="Your own name for this person.")] = "",
    timeout: Timeout = 15.0,
    json: Json = False,
    profile: ProfileName = "default",
    server: Server = None,
    ca: Ca = None,
) -> None:
    """Add a contact, found by user name or phone number.

    Examples:
        chappe contacts add ben
        chappe contacts add +4915112345679 --name "Ben (work)"
    """
    from .session import run_online

    async def body(client: Client) -> Contact:
        return await client.add_contact(who, name)

    _show(run_online(Profile.of(profile, server, ca), timeout, body), json)


@app.command()
def rename(
    who: Who,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Your new name for this person.")],
    timeout: Timeout = 15.0,
    json: Json = False,
    profile: ProfileName = "default",
    server: Server = None,
    ca: Ca = None,
) -> None:
    """Give a contact another name; only you see it.

    Examples:
        chappe contacts rename ben "Ben Miller"
    """
    from .session import find, run_online

    async def body(client: Client) -> Contact:
        user = await find(client, who)
        [contact] = [one for one in await client.contacts() if one.user == user]
        return await client.add_contact(contact.phone or contact.username, name)

    _show(run_online(Profile.of(profile, server, ca), timeout, body), json)


@app.command()
def remove(
    who: Who,
    timeout: Timeout = 15.0,
    json: Json = False,
    profile: ProfileName = "default",
    server: Server = None,
    ca: Ca = None,
) -> None:
    """Remove a contact. Your messages stay.

    Examples:
        chappe contacts remove ben
    """
    from .session import find, run_online

    async def body(client: Client) -> str:
        user = await find(client, who)
        await client.remove_contact(user)
        return user.hex()

    user = run_online(Profile.of(profile, server, ca), timeout, body)
    if json:
        emit({"user": user})
    else:
        say(f"Removed {visible(who)}.")


def _show(contact: Contact, json: bool) -> None:
    if json:
        emit(
            {
                "user": contact.user.hex(),
                "username": contact.username,
                "name": contact.name or contact.username,
                "phone": contact.phone,
            }
        )
    else:
        name = visible(contact.name or contact.username)
        say(f"{name:24} {contact.username:24} {contact.phone or ''}".rstrip())
