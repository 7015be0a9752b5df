"""`python -m chappe.history FOLDER`: judges the `*.jsonl` in it; exit code 1: a promise was broken."""

from __future__ import annotations

import sys
from pathlib import Path

from .check import check
from .records import load


def main(arguments: list[str]) -> int:
    """Print the verdict over the histories in a folder; return the exit code."""
    paths = sorted(Path(arguments[0]).glob("*.jsonl")) if len(arguments) == 1 else []
    if not paths:
        sys.stderr.write("Usage: python -m chappe.history FOLDER, with one NAME.jsonl a device in it.\n")
        return 2
    verdict = check([load(path) for path in paths])
    sys.stdout.write(verdict.to_text() + "\n")
    return 0 if verdict.is_kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
