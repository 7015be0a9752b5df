"""What a run hands back, as it is kept in `outcome.json` beside the histories and printed by `--json`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from chappe.history import Verdict

from .analysis.figures import Figures

NAME: Final = "outcome.json"


class Check(Struct, frozen=True):
    """One thing that had to hold, and what was found."""

    title: str
    is_kept: bool
    found: str


class Firing(Struct, frozen=True):
    """An alert such as "page SendsFail", and from when to when Alertmanager had it; no `to_ms`: still at the end."""

    alert: str
    from_ms: int
    to_ms: int | None = None


class Outcome(Struct, frozen=True, kw_only=True):
    """One run of one scenario. `problem` is why it was not carried through, `skipped` why it was not begun.

    Of `verdict`, the text; of its violations, how many of each rule. Times are UTC milliseconds.
    """

    scenario: str
    title: str
    hypothesis: str
    blast_radius: str
    seed: int
    began_ms: int
    ended_ms: int
    devices: int = 0
    plant: str | None = None
    fault_ms: tuple[int, int] | None = None
    steps: tuple[tuple[int, str], ...] = ()
    checks: tuple[Check, ...] = ()
    alerts: tuple[Firing, ...] = ()
    figures: Figures | None = None
    verdict: str = ""
    violations: dict[str, int] = {}
    problem: str | None = None
    skipped: str | None = None

    @property
    def is_kept(self) -> bool:
        """Whether everything held."""
        return self.problem is None and self.skipped is None and all(check.is_kept for check in self.checks)

    @property
    def word(self) -> str:
        """The outcome in a word."""
        if self.skipped is not None:
            return "skipped"
        return "kept" if self.is_kept else "BROKEN"

    def write(self, folder: Path) -> None:
        """Keep it in the run's folder."""
        (folder / NAME).write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))


def load_all(folder: Path) -> list[tuple[Path, Outcome]]:
    """Return every outcome under a folder with the folder of its run, the oldest first."""
    found = [
        (path.parent, msgspec.json.decode(path.read_bytes(), type=Outcome)) for path in folder.rglob(NAME)
    ]
    return sorted(found, key=lambda one: one[1].began_ms)


def violations(verdict: Verdict) -> dict[str, int]:
    """Return how many violations there are of each rule that was broken."""
    return dict(Counter(violation.rule.name.lower() for violation in verdict.violations))
