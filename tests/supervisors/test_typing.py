"""What the types promise, held by mypy in its strict mode.

`typing/good.py` passes; of `typing/bad.py` exactly the lines fail that are marked `# E:`, with exactly those codes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "typing"
ROOT = Path(__file__).parents[2]
MARK = re.compile(r"# E: ([a-z -]+)$")
ERROR = re.compile(r"^(?P<path>[^:]+):(?P<line>\d+): error: .* \[(?P<code>[a-z-]+)\]$")


@pytest.fixture(scope="module")
def errors() -> dict[str, dict[int, set[str]]]:
    """The codes of what mypy, in its strict mode, says of each line of each file."""
    options = ["--strict", "--config-file=", "--explicit-package-bases", "--no-pretty", "--no-error-summary"]
    command = [sys.executable, "-m", "mypy", *options, f"--cache-dir={ROOT / '.mypy_cache' / 'typing'}"]
    ran = subprocess.run(
        [*command, HERE / "good.py", HERE / "bad.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.stderr == ""
    found: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for line in ran.stdout.splitlines():
        if ": note: " in line:
            continue
        match = ERROR.match(line)
        assert match is not None, line
        found[Path(match["path"]).name][int(match["line"])].add(match["code"])
    return found


def test_nothing_else_is_wrong(errors: dict[str, dict[int, set[str]]]) -> None:
    """Neither in good.py nor in the package, as an application with strict settings would see it."""
    assert set(errors) == {"bad.py"}


def test_each_marked_line_is_refused_and_no_other(errors: dict[str, dict[int, set[str]]]) -> None:
    marks = {
        number: set(match[1].split())
        for number, line in enumerate((HERE / "bad.py").read_text().splitlines(), 1)
        if (match := MARK.search(line))
    }
    assert len(marks) > 40
    assert errors["bad.py"] == marks
