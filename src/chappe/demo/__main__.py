"""`python -m chappe.demo`: plays the story, cleans up, and ends with an exit code of `chappe.cli.exits`."""

from __future__ import annotations

import sys
import tempfile
from collections import deque
from functools import partial
from pathlib import Path

import trio

from ..cli.exits import ExitCode, explain
from ..cli.running import run
from .narrator import Narrator
from .person import StoryBroken
from .story import play

MOST_S = 60.0
SHOWN_LOG_LINES = 12


async def _play(folder: Path, narrator: Narrator, server_log: deque[str]) -> None:
    try:
        with trio.fail_after(MOST_S):
            await play(folder, narrator, server_log)
    except trio.TooSlowError as error:
        raise StoryBroken(f"It was not over after {MOST_S:g} s.") from error


def main() -> int:
    """Play; return the exit code."""
    narrator = Narrator()
    server_log: deque[str] = deque(maxlen=SHOWN_LOG_LINES)
    try:
        with tempfile.TemporaryDirectory(prefix="chappe-demo-") as folder:
            run(partial(_play, Path(folder), narrator, server_log))
    except BaseException as error:
        end = explain(error)
        if end is None:
            raise
        narrator.broken(
            str(end), () if end.code in {ExitCode.INTERRUPTED, ExitCode.TERMINATED} else server_log
        )
        return end.code
    return ExitCode.OK if narrator.is_all_kept else ExitCode.FAILED


if __name__ == "__main__":
    sys.exit(main())
