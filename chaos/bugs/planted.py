"""`planted.py BUG serve ...` is the `chappe` command with a bug in it; workers of its fleet have it too.

`planted.py BUG --person PLANS` are devices of the crowd with the bug in their client.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
MODULES: Final = {"--worker": "chappe.fleet", "--person": "chaos.people.person"}


def plant(name: str) -> None:
    """Patch the running code."""
    importlib.import_module(f"chaos.bugs.{name.replace('-', '_')}").plant()


def pass_on(name: str) -> None:
    """Have a fleet start its workers with the bug."""
    from chappe.fleet import parent  # noqa: PLC0415 - only for a node
    from chappe.fleet.worker import Job  # noqa: PLC0415
    from chappe.settings import Settings  # noqa: PLC0415

    job_of = parent.job_of

    def planted(settings: Settings, port: int) -> Job:
        return replace(job_of(settings, port), command=(sys.executable, __file__, name, "--worker"))

    parent.job_of = planted


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    bug = sys.argv.pop(1)
    plant(bug)
    if module := MODULES.get(sys.argv[1]):
        del sys.argv[1]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        pass_on(bug)
        from chappe.cli.main import run

        run()
