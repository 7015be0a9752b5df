"""The language of the oracle: what a script may say, as values, and how they are written for erl.

`generate.py` and people write scripts; `ours.py` plays them on this library and `oracle.erl` on OTP's. A child is
named by one letter, the child of a nested supervisor by its supervisor's letter and a number: names are unique in
a script. Every step takes one second of the script's clock, a `Gate` two, a `Sleep` its seconds more.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

POOL = "simple_one_for_one"

Ending = Literal["error", "normal", "shutdown"]
Outcome = Literal["ok", "fail", "ignore"]
Shutdown = Literal["soft", "brutal_kill", "infinity"]
Stop = Literal["plain", "listen", "slow", "stubborn", "crash"]
Verb = Literal["start", "terminate", "restart", "delete", "get", "which", "stop"]


@dataclass(frozen=True, slots=True)
class Setup:
    """A supervisor's flags and first children. A pool, which is a strategy in OTP, has one: the template of all."""

    strategy: str = "one_for_one"
    intensity: int = 1
    period_s: int = 1_000_000
    auto_shutdown: str = "never"
    children: tuple[Spec, ...] = ()


@dataclass(frozen=True, slots=True)
class Spec:
    """A child. `inner` makes it a supervisor.

    `stop` is what a worker does when it is stopped: "plain" ones die, all others are asked first. Of these "listen"
    ends at once, "slow" a little later, "stubborn" never, so it is killed, and "crash" crashes.
    """

    name: str
    restart: str = "permanent"
    significant: bool = False
    shutdown: Shutdown = "soft"
    stop: Stop = "plain"
    inner: Setup | None = None


@dataclass(frozen=True, slots=True)
class Crash:
    """A worker ends by itself. The reason is Erlang's; "error" stands for any that is not orderly."""

    name: str
    reason: Ending = "error"


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the supervisor `on`, which is "top" or the name of a nested one. A pool's `start` has a name."""

    on: str
    verb: Verb
    what: Spec | str = "none"


@dataclass(frozen=True, slots=True)
class Arm:
    """How the next starts of a child will go, one after the other; those after them go well."""

    name: str
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Sleep:
    """Let some more time pass."""

    seconds: int


@dataclass(frozen=True, slots=True)
class Gate:
    """Hold the next start of worker `name`, which `trigger` shall lead to; do `meanwhile`; let it go on to `outcome`.

    What is done meanwhile waits for the supervisor, which waits for the start. If nothing starts, nothing is done.
    """

    name: str
    outcome: Outcome
    trigger: Crash | Call
    meanwhile: tuple[Crash | Call, ...] = ()


Step = Crash | Call | Arm | Sleep | Gate


@dataclass(frozen=True, slots=True)
class Script:
    """A supervisor, and what happens to it until it is stopped. `armed` holds for its first starts."""

    setup: Setup
    armed: tuple[Arm, ...] = ()
    steps: tuple[Step, ...] = ()

    def __str__(self) -> str:
        lines = [f"Script({_brief(self.setup)},"]
        if self.armed:
            lines.append(f"    armed={_brief(self.armed)},")
        if self.steps:
            lines += ["    steps=(", *(f"        {_brief(step)}," for step in self.steps), "    ),"]
        return "\n".join([*lines, ")"])


def _brief(value: object) -> str:
    """Write a value of this module as Python, without the fields that are as they are by default."""
    if isinstance(value, tuple):
        return "(" + "".join(f"{_brief(item)}, " for item in value).strip() + ")"
    if not dataclasses.is_dataclass(value):
        return repr(value)
    names = [field.name for field in dataclasses.fields(value) if getattr(value, field.name) != field.default]
    return f"{type(value).__name__}({', '.join(f'{name}={_brief(getattr(value, name))}' for name in names)})"


def to_erlang(value: object) -> str:
    """Write a value of this module as an Erlang term: a dataclass is a tuple that begins with its name."""
    if dataclasses.is_dataclass(value):
        fields = (to_erlang(getattr(value, field.name)) for field in dataclasses.fields(value))
        return "{" + ",".join((type(value).__name__.lower(), *fields)) + "}"
    if isinstance(value, tuple):
        return "[" + ",".join(map(to_erlang, value)) + "]"
    return str(value).lower()
