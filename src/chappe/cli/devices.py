"""`devices list`, `link` and `revoke`: what is signed in to one's own account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .exits import CommandError
from .output import emit, say, visible
from .profile import Ca, Json, Profile, ProfileName, Server, Timeout

if TYPE_CHECKING:
    from ..client import Client, DeviceInfo

app = typer.Typer(no_args_is_help=True, help="Show, add and remove the devices of your account.")


@app.command("list")
def list_devices(
    timeout: Timeout = 15.0,
    json: Json = False,
    profile: ProfileName = "default",
    server: Server = None,
    ca: Ca = None,
) -> None:
    """Print your devices, as your account key has signed them.

    Examples:
        chappe devices list
    """
    from .session import run_online

    async def body(client: Client) -> list[DeviceInfo]:
        return await client.devices()

    for device in run_online(Profile.of(profile, server, ca), timeout, body):
        if json:
            emit(_device_json(device))
        else:
            say(_device_line(device))


@app.command()
def link(
    code: Annotated[str, typer.Argument(metavar="CODE", help="What `chappe login` shows on the new device.")],
    name: Annotated[str, typer.Option(help="What to call the new device in your list.")] = "",
    timeout: Timeout = 15.0,
    json: Json = False,
    profile: ProfileName = "default",
    server: Server = None,
    ca: Ca = None,
) -> None:
    """Let a new device into your account: it gets the account key, encrypted for it alone.

    Only type a code that you read off your own other device.

    Examples:
        chappe devices link 5K7Q-... --name tablet
    """
    from .session import run_online

    async def body(client: Client) -> DeviceInfo:
        return await client.link(code, name)

    device = run_online(Profile.of(profile, server, ca), timeout, body)
    if json:
        emit(_device_json(device))
    else:
        say(f"Linked: {_device_line(device)}")


@app.command()
def revoke(
    device: Annotated[
        str, typer.Argument(metavar="DEVICE", help="A device's name, or the beginning of its id.")
    ],
    timeout: Timeout = 15.0,
    json: Json = False,
    profile: ProfileName = "default",
    server: Server = None,
    ca: Ca = None,
) -> None:
    """Sign one of your devices out for good.

    It is disconnected, its keys are deleted, and nobody encrypts for it again.

    Examples:
        chappe devices revoke old-phone
    """
    from .session import run_online

    async def body(client: Client) -> DeviceInfo:
        found = chosen(device, await client.devices())
        await client.revoke(found.device)
        return found

    gone = run_online(Profile.of(profile, server, ca), timeout, body)
    if json:
        emit(_device_json(gone))
    else:
        say(f"Revoked: {_device_line(gone)}")


def chosen(wanted: str, devices: list[DeviceInfo]) -> DeviceInfo:
    """Return the one other device of this name or beginning of an id.

    Raises:
        CommandError: none fits, several do, or it is the one in use.
    """
    fitting = [one for one in devices if one.name == wanted] or [
        one for one in devices if wanted and one.device.hex().startswith(wanted.lower())
    ]
    if len(fitting) != 1:
        problem = "No device of yours is" if not fitting else "Several devices of yours are"
        raise CommandError(f"{problem} called {wanted!r}: choose an id from `chappe devices list`.")
    if fitting[0].current:
        raise CommandError("That is the device you are using: revoke it from another one.")
    return fitting[0]


def _device_json(device: DeviceInfo) -> dict[str, object]:
    return {"device": device.device.hex(), "name": device.name, "current": device.current}


def _device_line(device: DeviceInfo) -> str:
    return f"{device.device.hex()}  {visible(device.name) or '-'}{'  (this one)' if device.current else ''}"
