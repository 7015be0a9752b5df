"""`doctor` and `version`: whether this machine is fit to serve or to chat, and what to do where it is not.

The checks themselves are in `checks`; here they are chosen and printed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .exits import ExitCode
from .output import Progress, emit, say
from .profile import Ca, Json, Profile, ProfileName, Server


def doctor(
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", envvar="CHAPPE_CONFIG", help="The settings that `serve` would use."),
    ] = None,
    json: Json = False,
    profile: ProfileName = "default",
    server: Server = None,
    ca: Ca = None,
) -> None:
    """Check this machine: settings, file limits, clock, stores, and whether the server answers.

    Every finding that is not fine says what to do. Ends with 1 when there is a
    problem, with 0 when all is fine or there are only warnings.

    Examples:
        chappe doctor
        chappe doctor --config config/chappe.toml --json
    """
    from .checks import Level, examine

    with Progress("Examining this machine"):
        findings = examine(config, Profile.of(profile, server, ca))
    is_fit = all(finding.level is not Level.PROBLEM for finding in findings)
    if json:
        emit(
            {
                "ok": is_fit,
                "findings": [
                    {
                        "check": one.check,
                        "level": one.level.value,
                        "found": one.found,
                        "advice": one.advice or None,
                    }
                    for one in findings
                ],
            }
        )
    else:
        for one in findings:
            say(f"{one.level.value:8} {one.check:10} {one.found}")
            if one.advice:
                say(f"{'':19} -> {one.advice}")
    if not is_fit:
        raise typer.Exit(ExitCode.FAILED)


def version(json: Json = False) -> None:
    """Print the version of Chappe, of its wire protocol, and of what it runs on.

    Examples:
        chappe version --json
    """
    import platform
    import sqlite3
    from importlib.metadata import version as version_of

    from ..protocol.frames import VERSION

    facts = {
        "chappe": version_of("chappe"),
        "protocol": VERSION,
        "python": platform.python_version(),
        "trio": version_of("trio"),
        "sqlite": sqlite3.sqlite_version,
    }
    if json:
        emit(facts)
    else:
        say("  ".join(f"{name} {value}" for name, value in facts.items()))
