"""`register`, `login`, `safety-number` and `settings`: an account, seen from its own device."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Annotated

import typer

from .output import Progress, emit, say, tell
from .profile import (
    DEFAULT_SERVER,
    Ca,
    Json,
    Profile,
    ProfileName,
    Server,
    Timeout,
    Who,
    passphrase,
    password,
)

if TYPE_CHECKING:
    from ..client import Client, Me

# The names of protocol.calls.Privacy: typing the option by it would import that module at every start.
_PRIVACY = "everyone|contacts|nobody"


def register(
    username: Annotated[str, typer.Argument(metavar="USERNAME", help="What others find you by.")],
    phone: Annotated[str, typer.Argument(metavar="PHONE", help="With country code, as in +4915112345678.")],
    code: Annotated[str | None, typer.Option(help="The verification code, if you have it already.")] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="What to call this device.")] = platform.node(),
    json: Json = False,
    profile: ProfileName = "default",
    server: Server = None,
    ca: Ca = None,
) -> None:
    """Make a new account, with this device as its first.

    The server sends a verification code to the phone number; with the default
    sender it stands in the server's console output. The account key never
    leaves your devices: whoever loses all of them loses the account.

    The password signs further devices in. The passphrase opens this device's
    own encrypted store, on every command (set CHAPPE_PASSPHRASE and
    CHAPPE_PASSWORD for scripts).

    If the server says that it does not know this device any more, nor the
    account, repeat the command with the same name, number and profile: it keeps
    its keys and messages.

    Examples:
        chappe register ann +4915112345678
        chappe register ben +4915112345679 --profile ben --server wss://chat.example
    """
    from ..client import register as make_account
    from .running import Input, run

    target = Profile.of(profile, server, ca)
    secret, account_secret = passphrase(profile, is_new=True), password(username, is_new=True)

    async def body() -> Me:
        with Progress(f"Registering {username}") as progress:

            async def ask_code() -> str:
                if code is not None:
                    return code
                with progress.paused():
                    return (await Input().ask(f"Verification code sent to {phone}: ")).strip()

            return await make_account(
                target.server or DEFAULT_SERVER,
                target.folder,
                secret,
                username=username,
                phone=phone,
                password=account_secret,
                ask_code=ask_code,
                device_name=device,
                ssl_context=target.ssl_context(),
            )

    _welcome(run(body), json)


def login(
    username: Annotated[str, typer.Argument(metavar="USERNAME", help="The account to sign in to.")],
    device: Annotated[str, typer.Option(metavar="NAME", help="What to call this device.")] = platform.node(),
    json: Json = False,
    profile: ProfileName = "default",
    server: Server = None,
    ca: Ca = None,
) -> None:
    """Make this a further device of an account that exists.

    Prints a link code; type `chappe devices link CODE` on a device that is
    signed in already, which hands the account key over, encrypted. This command
    waits for that.

    If the server says that it does not know this device any more, repeat the
    command with the same profile: it keeps its messages.

    Examples:
        chappe login ann --profile laptop
    """
    from ..client import login as link_device
    from .running import run

    target = Profile.of(profile, server, ca)
    secret, account_secret = passphrase(profile, is_new=True), password(username)

    async def body() -> Me:
        with Progress(f"Signing in to {username}") as progress:

            async def show_code(link_code: str) -> None:
                with progress.paused():
                    tell(f"Now run this on a device of {username} that is signed in:\n")
                    tell(f"  chappe devices link {link_code}\n")
                progress.now("Waiting for the other device")

            return await link_device(
                target.server or DEFAULT_SERVER,
                target.folder,
                secret,
                username=username,
                password=account_secret,
                device_name=device,
                show_code=show_code,
                ssl_context=target.ssl_context(),
            )

    _welcome(run(body), json)


def _welcome(me: Me, json: bool) -> None:
    if json:
        emit(
            {
                "user": me.user.hex(),
                "username": me.username,
                "phone": me.phone or None,
                "device": me.device.hex(),
                "device_name": me.device_name,
                "server": me.server,
            }
        )
    else:
        say(f"You are {me.username}, on {me.server}. This device is {me.device_name or me.device.hex()[:8]}.")


def safety_number(
    who: Who,
    trust: Annotated[
        bool, typer.Option("--trust", help="Accept a changed key, after you compared the numbers.")
    ] = False,
    timeout: Timeout = 15.0,
    json: Json = False,
    profile: ProfileName = "default",
    server: Server = None,
    ca: Ca = None,
) -> None:
    """Print the 60 digits that you and a contact compare, by voice or face to face.

    If both see the same number, nobody sits between you, the server included.
    It changes when one of you registers anew; messages to a person whose key
    has changed wait until you accept it.

    Examples:
        chappe safety-number ben
        chappe safety-number ben --trust
    """
    from .session import find, run_online

    async def body(client: Client) -> str:
        user = await find(client, who)
        if trust:
            await client.trust(user)
        return await client.safety_number(user)

    number = "".join(run_online(Profile.of(profile, server, ca), timeout, body).split())
    if json:
        emit({"who": who, "number": number})
        return
    groups = [number[at : at + 5] for at in range(0, len(number), 5)]
    for at in range(0, len(groups), 4):
        say(" ".join(groups[at : at + 4]))


def settings(
    online: Annotated[
        str | None, typer.Option(metavar=_PRIVACY, help="Who may see whether you are online.")
    ] = None,
    last_seen: Annotated[
        str | None, typer.Option(metavar=_PRIVACY, help="Who may see when you were last online.")
    ] = None,
    timeout: Timeout = 15.0,
    json: Json = False,
    profile: ProfileName = "default",
    server: Server = None,
    ca: Ca = None,
) -> None:
    """Show your settings, or change who may see when you are online and when you were last seen.

    Whoever hides his own sees nobody's.

    Examples:
        chappe settings
        chappe settings --online contacts --last-seen nobody
    """
    from ..client import Privacy, Settings
    from .exits import CommandError, ExitCode
    from .session import run_online

    try:
        new_online = Privacy(online) if online else None
        new_last_seen = Privacy(last_seen) if last_seen else None
    except ValueError as error:
        raise CommandError(f"{error}: choose everyone, contacts or nobody.", ExitCode.USAGE) from None

    async def body(client: Client) -> Settings:
        now = await client.settings()
        if new_online is None and new_last_seen is None:
            return now
        changed = Settings(new_online or now.online, new_last_seen or now.last_seen)
        await client.set_settings(changed)
        return changed

    now = run_online(Profile.of(profile, server, ca), timeout, body)
    if json:
        emit({"online": now.online.value, "last_seen": now.last_seen.value})
    else:
        say(f"online      {now.online.value}\nlast seen   {now.last_seen.value}")
