"""The command overview in docs/cli.md, generated from the commands themselves.

`python -m chappe.cli.reference docs/cli.md` rewrites it; see `pages.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any, Final

from typer.main import get_command

from . import pages
from .exits import ExitCode
from .main import app

MODULE: Final = "chappe.cli.reference"
SHARED: Final = ("profile", "server", "ca", "timeout", "json")


def reference() -> str:
    """Return the generated part, in Markdown."""
    commands = list(_commands("chappe", get_command(app)))
    shared = {
        option.name: option
        for _, command in commands
        for option in _options(command)
        if option.name in SHARED
    }
    lines = ["### Exit codes", "", "| code | meaning |", "|---:|---|"]
    lines += [f"| {code.value} | {code.meaning} |" for code in ExitCode]
    lines += ["", "### Options that most commands share", "", *_table(shared.values())]
    for path, command in commands:
        prose, _, examples = inspect.cleandoc(command.help).partition("Examples:\n")
        lines += ["", f"### `{path}`", "", prose.strip(), "", "```", _usage(path, command)]
        lines += [f"  {line.strip()}" for line in examples.splitlines() if line.strip()]
        lines += ["```"]
        own = [option for option in _options(command) if option.name not in SHARED]
        if own:
            lines += ["", *_table(own)]
    return "\n".join(lines)


def _commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    # Typer keeps its command classes in a private module; what is used of them is the same as Click's.
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from _commands(f"{path} {name}", child)


def _options(command: Any) -> list[Any]:
    return [parameter for parameter in command.params if parameter.param_type_name == "option"]


def _usage(path: str, command: Any) -> str:
    arguments = [one.metavar for one in command.params if one.param_type_name == "argument"]
    return " ".join([path, *arguments, "[OPTIONS]"])


def _table(options: Iterable[Any]) -> list[str]:
    return ["| option | meaning |", "|---|---|", *(_row(option) for option in options)]


def _row(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in option.opts)
    value = f" {option.metavar}".replace("|", "\\|") if option.metavar else ""
    facts = [option.help]
    if option.default not in (None, False, "") and option.name != "device":
        facts.append(f"Default: {option.default}.")  # a device's default name is this machine's
    if option.envvar:
        facts.append(f"Environment: `{option.envvar}`.")
    return f"| {names}{value} | {' '.join(facts)} |"


def rewritten(page: str) -> str:
    """Return the page with its generated part up to date. Raises: `ValueError` when it has no place for it."""
    return pages.rewritten(page, MODULE, reference())


if __name__ == "__main__":
    pages.rewrite_files(rewritten)
