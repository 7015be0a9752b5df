"""What a check found: how many of each, and a few examples, by their ids. Never what was said."""

from __future__ import annotations

from collections import Counter
from typing import Final

from .rules import Fault

EXAMPLES: Final = 5


class Findings:
    """Counts by fault. `rows` is how many rows were read, of each table."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.counts: Counter[Fault] = Counter()
        self.repaired: Counter[Fault] = Counter()
        self.examples: dict[Fault, list[dict[str, str | int]]] = {}

    def add(self, fault: Fault, **where: bytes | str | int | None) -> None:
        """Count one; `where` are the ids and numbers that lead to it."""
        self.counts[fault] += 1
        examples = self.examples.setdefault(fault, [])
        if len(examples) < EXAMPLES:
            examples.append(
                {
                    name: value.hex() if isinstance(value, bytes) else value
                    for name, value in where.items()
                    if value is not None
                }
            )

    @property
    def is_clean(self) -> bool:
        """Whether nothing is broken that was not repaired."""
        return all(self.counts[fault] == self.repaired[fault] for fault in Fault if fault.is_broken)

    def to_dict(self) -> dict[str, object]:
        """Return it for programs: every fault, found or not."""
        return {
            "clean": self.is_clean,
            "rows": dict(self.rows),
            "faults": {
                fault.name.lower(): {
                    "broken": fault.is_broken,
                    "count": self.counts[fault],
                    "repaired": self.repaired[fault],
                    "examples": self.examples.get(fault, []),
                }
                for fault in Fault
            },
        }
