"""`chappe-chaos`, where it can be had: the scenarios are in the repository and no part of the installed package."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

from .output import tell

TO_INSTALL: Final = 3


def run() -> None:
    """Run the command line of this process; never returns."""
    try:
        command = import_module("chaos.cli")
    except ModuleNotFoundError as missing:
        tell(
            f"chappe-chaos: {missing.name} is not installed; the scenarios are in Chappe's repository: "
            "make .venv/.ready there, and run .venv/bin/chappe-chaos."
        )
        sys.exit(TO_INSTALL)
    command.main()
