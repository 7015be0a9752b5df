"""The documents that the tests of this folder read: every Markdown file a reader may start from."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *(ROOT / "docs").rglob("*.md"),
    ]
)


def read(page: Path) -> str:
    """Return a file's text."""
    return page.read_text(encoding="utf-8")


def name(page: Path) -> str:
    """Return how a test calls a page."""
    return str(page.relative_to(ROOT))
