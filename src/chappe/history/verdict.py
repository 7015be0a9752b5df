"""What the check hands back: which promises were broken, and the few lines of the histories that prove it.

`check` makes these values, tests and scenarios read them. The sentences for people are here; deciding is not.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """What can be wrong, each with the sentence that the verdict prints."""

    UNFINISHED = "unfinished: a device never drained"
    LOST = "lost: an acknowledged message is missing on a device"
    SPLIT = "split: a message is on one device and not on another"
    VANISHED = "vanished: a device no longer holds what it showed"
    HIDDEN = "hidden: a device holds a message that it never showed"
    TWICE = "twice: a message was shown more than once on one device"
    INVENTED = "invented: a message was shown that nobody sent like this"
    RENAMED = "renamed: a message has two ids"
    DISORDER = "disorder: a conversation is not in the order of its ids"
    EARLY_REPLY = "early reply: a reply comes before what it answers"
    BACKWARDS = "backwards: a receipt was taken back"
    FALSE_READ = "false read: a message is marked read, and no device of its reader has read it"
    FALSE_FAILURE = "false failure: a message that was said to have failed arrived"
    UNDECIDED = "undecided: a message is neither sent nor failed at the end"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a witness: what line `line` of the history called `history` says."""

    history: str
    line: int
    says: str

    def __str__(self) -> str:
        return f"{self.history}:{self.line} {self.says}"


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise and the lines that prove it, as few as will do."""

    rule: Rule
    witness: tuple[Step, ...]

    def to_text(self) -> str:
        """Return it over several lines."""
        return "\n    ".join([str(self.rule), *map(str, self.witness)])


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome, and how much there was to judge. Violations: the shortest of each rule first, then the rest."""

    violations: tuple[Violation, ...]
    devices: int
    conversations: int
    invoked: int
    acknowledged: int
    failed: int
    shown: int
    restarts: int

    @property
    def is_kept(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations

    def to_text(self, most: int = 5) -> str:
        """Return a line of counts, then at most `most` violations."""
        unknown = self.invoked - self.acknowledged - self.failed
        lines = [
            f"{'KEPT' if self.is_kept else 'NOT KEPT'}: {self.devices} devices, "
            f"{self.conversations} conversations, {self.invoked} messages ({self.acknowledged} acknowledged, "
            f"{self.failed} failed, {unknown} unknown), {self.shown} shown, {self.restarts} restarts"
        ]
        lines += [violation.to_text() for violation in self.violations[:most]]
        if rest := Counter(violation.rule.name.lower() for violation in self.violations[most:]):
            lines.append("and " + ", ".join(f"{count} more {name}" for name, count in rest.items()))
        return "\n".join(lines)
