"""The settings of a supervisor, checked: what OTP calls its flags.

The supervisors make them of their keyword arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from .checks import is_a, is_count, is_number, require
from .intensity import Window

OnGiveUp = Literal["shutdown", "crash"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What all kinds of supervisors have in common.

    `max_failures` ends a supervisor also when one child fails more often than that in a row, each time before it
    has run for `period_s` seconds (or for the longest wait of its backoff): the intensity alone never does if
    every restart takes longer than the period. `shutdown` is how many seconds the whole tree below has to stop;
    then all that is left is cancelled.

    Raises: `BadSpec`.
    """

    name: str
    intensity: int
    period_s: float
    max_failures: int | None
    on_give_up: OnGiveUp
    shutdown: float

    def __post_init__(self) -> None:
        is_name = is_a(self.name, str) and self.name != ""
        require(is_name, "The name of a supervisor is a string that is not empty", self.name)
        Window(self.intensity, self.period_s)  # which checks both
        is_cap = self.max_failures is None or is_count(self.max_failures, least=0)
        require(is_cap, "max_failures is 0 or more, or None", self.max_failures)
        require(self.on_give_up in get_args(OnGiveUp), 'on_give_up is "shutdown" or "crash"', self.on_give_up)
        require(
            is_number(self.shutdown, least=0),
            "The shutdown time of a supervisor is 0 s or more",
            self.shutdown,
        )
