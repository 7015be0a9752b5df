"""`python -m chappe.fleet NAME`: one worker process, started by the parent of a fleet and by nobody else.

Its settings come over the link, its standard input, since a command line is for all to see in `ps`. It ends with the
exit codes of `chappe serve`.
"""

from __future__ import annotations

import os
import socket
import sys

import structlog
from pydantic import ValidationError

from ..app import run
from ..cli.exits import ExitCode, explain
from ..cli.output import tell
from ..settings import Settings
from .link import read_order


def main() -> None:
    """Run a node for the parent at standard input."""
    try:
        # A copy: standard input itself stays open, so that the parent sees the end of the process and nothing before.
        link = socket.socket(fileno=os.dup(0))
        settings = Settings.model_validate_json(read_order(link))
    except (OSError, ValidationError):
        tell("chappe: this is a part of `chappe serve --workers`: start that.")
        raise SystemExit(ExitCode.USAGE) from None
    name = sys.argv[1]
    structlog.contextvars.bind_contextvars(worker=name)
    try:
        run(settings, link, name)
    except BaseException as error:
        end = explain(error)
        if end is None:
            raise
        tell(f"chappe: {name}: {end}")
        raise SystemExit(end.code) from None


main()
