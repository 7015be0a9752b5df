"""Whose messages: the profile folder, the passphrase that opens it, and the options that say so on every
command.

A profile is one signed-in device. Its folder is the SDK's; this module only says where it lies and asks for
secrets. Secrets come from the environment or a hidden prompt, never from an argument: arguments show in `ps`
and in the shell's history.
"""

from __future__ import annotations

import getpass
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from .exits import CommandError, ExitCode

if TYPE_CHECKING:
    import ssl

    from ..client import Client

DEFAULT_SERVER: Final = "ws://127.0.0.1:7400"
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")

ProfileName = Annotated[
    str,
    typer.Option("--profile", "-p", metavar="NAME", envvar="CHAPPE_PROFILE", help="Which profile to use."),
]
Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        envvar="CHAPPE_SERVER",
        help="The server, as in ws://127.0.0.1:7400 or wss://chat.example; the profile remembers it.",
    ),
]
Ca = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        metavar="FILE",
        envvar="CHAPPE_CA",
        help="Trust the certificate authority in this PEM file (a private or self-signed server).",
    ),
]
Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="Give up on the server after so long.")
]
Who = Annotated[
    str,
    typer.Argument(
        metavar="WHO", help="A contact's name, a user name or a phone number; your own name for notes."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line, with stable keys.")]


@dataclass(frozen=True, slots=True)
class Profile:
    """What the shared options say. `folder` may not exist yet."""

    name: str
    folder: Path
    server: str | None
    ca: Path | None

    @classmethod
    def of(cls, name: str, server: str | None, ca: Path | None) -> Profile:
        """Return the profile of a name.

        Raises:
            CommandError: the name is not fit for a folder, or the URL is not one of a WebSocket.
        """
        if not _NAME.fullmatch(name):
            raise CommandError(
                f"{name!r} is no profile name: use letters, digits, dots, dashes and underscores.",
                ExitCode.USAGE,
            )
        if server is not None and not re.match(r"wss?://[^/\s]", server):
            raise CommandError(
                f"{server!r} is no server address: write ws://HOST:PORT or wss://HOST.", ExitCode.USAGE
            )
        return cls(name, profiles_folder() / name, server, ca)

    def client(self) -> Client:
        """Return the SDK's client on this profile, still to be entered.

        Raises:
            CommandError: nobody registered or logged in under this profile, or no passphrase can be had.
        """
        if not self.folder.is_dir():
            raise CommandError(
                f"There is no profile {self.name!r} yet: run `chappe register` or `chappe login` first.",
                ExitCode.REFUSED,
            )
        from ..client import Client

        return Client(self.folder, passphrase(self.name), server=self.server, ssl_context=self.ssl_context())

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return the context that trusts `--ca` only, or None for the system's authorities.

        Raises:
            CommandError: the file cannot be read or holds no certificate.
        """
        if self.ca is None:
            return None
        import ssl

        try:
            return ssl.create_default_context(cafile=self.ca)
        except OSError as error:  # ssl.SSLError is one
            raise CommandError(
                f"Cannot use {self.ca} as certificate authority: {error.strerror or error}.", ExitCode.USAGE
            ) from error


def profiles_folder() -> Path:
    """Return where profiles live: `$XDG_DATA_HOME/chappe`, by default `~/.local/share/chappe`."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "chappe"


def passphrase(profile: str, *, is_new: bool = False) -> str:
    """Return what opens the local store, from CHAPPE_PASSPHRASE or asked for (twice when it is new)."""
    return _secret("CHAPPE_PASSPHRASE", f"Passphrase of profile {profile}", is_new=is_new)


def password(username: str, *, is_new: bool = False) -> str:
    """Return the account's password, from CHAPPE_PASSWORD or asked for (twice when it is new)."""
    return _secret("CHAPPE_PASSWORD", f"Password of account {username}", is_new=is_new)


def _secret(variable: str, question: str, *, is_new: bool) -> str:
    value = os.environ.get(variable)
    if value:
        return value
    if not sys.stdin.isatty():
        raise CommandError(f"Set {variable}: there is no terminal to ask on.", ExitCode.USAGE)
    value = getpass.getpass(f"{question}: ")
    if not value:
        raise CommandError("Nothing was typed; try again.", ExitCode.USAGE)
    if is_new and getpass.getpass("The same again: ") != value:
        raise CommandError("The two do not match; try again.", ExitCode.USAGE)
    return value
