"""As much of a Dockerfile's grammar as ours uses: comments, continued lines, one instruction a line."""

from __future__ import annotations

import re
from pathlib import Path


def instructions(file: Path) -> list[tuple[str, str]]:
    """Return the instructions, each with its words as one line."""
    lines = [line for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(name, words) for name, _, words in (line.partition(" ") for line in text.splitlines())]
