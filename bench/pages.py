"""What every benchmark does besides measuring: say how far it is, name the revision, put its results into a page.

The benchmarks' own `report` modules write the results; nothing here knows what was measured.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from .errors import BenchError

ROOT: Final = Path(__file__).parent.parent


def say(text: str) -> None:
    """Print a line about the run, apart from its results."""
    print(text, file=sys.stderr, flush=True)


def revision() -> str:
    """Return which revision of the project is measured."""
    git = shutil.which("git")
    if git is None:
        return "unknown"
    found = subprocess.run(
        [git, "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"


def put(page: Path, begin: str, end: str, results: str) -> None:
    """Replace what is between two markers of a page. Raises: `BenchError` when one is missing."""
    before, found_begin, rest = page.read_text(encoding="utf-8").partition(begin)
    _old, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise BenchError(f"{page} has no place for the results: put the lines {begin} and {end} back.")
    page.write_text(f"{before}{begin}\n\n{results}\n\n{end}{after}", encoding="utf-8")
