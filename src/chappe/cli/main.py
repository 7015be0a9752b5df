"""The `chappe` command: an index of its commands, and the place where their errors become exit codes.

Nothing heavy is imported before a command runs: `chappe --help` costs what typer costs. Each command lives in
the module named here; `docs/cli.md` is generated from this index by `chappe.cli.reference`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from . import account, chat, contacts, devices, doctor, messages, migrate, serve, store, top
from .exits import ExitCode, explain
from .output import tell


class Commands(TyperGroup):
    """The group of all commands: turns what they raise into one sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command; a bug keeps its traceback."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.TyperException):
            raise
        except BaseException as error:
            end = explain(error)
            if end is None:
                raise
            if end.code not in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
                tell(f"chappe: {end}")
            if isinstance(error, BrokenPipeError):
                # What is left in the buffer has no reader; the flush at exit must not fail on it again.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(end.code) from None


_EXITS = "\n".join(f"  {code.value:3}  {code.meaning}" for code in ExitCode)

app = typer.Typer(
    name="chappe",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="An end-to-end encrypted messenger: the server, and a client for people and programs.",
    epilog=f"Exit codes:\n{_EXITS}",
)

_PANELS: dict[str, tuple[tuple[str, Callable[..., None] | typer.Typer], ...]] = {
    "Account": (
        ("register", account.register),
        ("login", account.login),
        ("devices", devices.app),
        ("settings", account.settings),
    ),
    "People": (("contacts", contacts.app), ("safety-number", account.safety_number)),
    "Messages": (
        ("send", messages.send),
        ("listen", messages.listen),
        ("chat", chat.chat),
        ("history", messages.history),
    ),
    "Server and machine": (
        ("serve", serve.serve),
        ("migrate", migrate.migrate),
        ("store", store.app),
        ("top", top.top),
        ("doctor", doctor.doctor),
        ("version", doctor.version),
    ),
}
for panel, commands in _PANELS.items():
    for name, command in commands:
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, rich_help_panel=panel)
        else:
            app.command(name, rich_help_panel=panel)(command)


def run() -> None:
    """Run the command line of this process; never returns."""
    app()
