"""The lists of tests in docs/supervisors/rules.md: `python -m tests.docs.rules` writes them anew.

The sentences are written by hand. A test belongs to rule 7 if it is called `test_rule_07_...`, wherever it is under
tests/supervisors.
"""

from __future__ import annotations

import re

from .pages import ROOT, read

PAGE = ROOT / "docs" / "supervisors" / "rules.md"


def tests_of(number: int) -> list[str]:
    """Return a list with a link for every test of a rule, indented to stand under it."""
    indent = " " * len(f"{number}. ")
    pattern = re.compile(rf"^(?:async )?def test_rule_{number:02}_(\w+)\(", re.MULTILINE)
    files = sorted((ROOT / "tests" / "supervisors").rglob("test_*.py"))
    return [
        f"{indent}* [{found.replace('_', ' ')}](../../{file.relative_to(ROOT)})"
        for file in files
        for found in pattern.findall(read(file))
    ]


def render(page: str) -> str:
    """Return the page with the lists as they have to be now."""
    lines: list[str] = []
    links: list[str] = []
    for line in page.splitlines():
        if re.match(r" +\* \[", line):
            continue
        rule = re.match(r"(\d+)\. ", line)
        if rule or not line.startswith("   "):
            lines += links
            links = []
        if rule:
            links = tests_of(int(rule[1]))
        lines.append(line)
    return "\n".join(lines + links) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(read(PAGE)), encoding="utf-8")
