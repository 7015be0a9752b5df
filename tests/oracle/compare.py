"""Plays scripts on both sides, finds those whose traces differ, and makes them short.

`__main__.py` and the tests call it. A script is made shorter as long as it still shows some difference; which one
may change on the way, and each is worth reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from itertools import zip_longest
from typing import Any

from . import ours
from .script import POOL, Arm, Gate, Script, Setup, Spec
from .theirs import Erl

_ENDS = re.compile(r"-\S+(?: -\S+)+")


@dataclass(frozen=True, slots=True)
class Difference:
    """A script, and what it looked like on either side."""

    script: Script
    ours: list[str]
    theirs: list[str]

    def __str__(self) -> str:
        rows = list(
            zip_longest(["ours (this library)", *self.ours], ["theirs (OTP)", *self.theirs], fillvalue="")
        )
        width = max(len(left) for left, _ in rows)
        table = [f"  {' ' if left == right else '*'} {left:{width}}  {right}" for left, right in rows[1:]]
        return "\n".join([str(self.script), f"    {rows[0][0]:{width}}  {rows[0][1]}", *table])


def compare(erl: Erl, scripts: Sequence[Script]) -> list[Difference]:
    """Return the differences that these scripts show. Both sides play at the same time."""
    with ThreadPoolExecutor(1) as other:
        played = other.submit(erl.play, scripts)
        mine = [ours.play(script) for script in scripts]
        return differences(scripts, mine, played.result())


def differences(
    scripts: Sequence[Script], mine: Sequence[list[str]], other: Sequence[list[str]]
) -> list[Difference]:
    """Return where the traces differ."""
    seen = zip(scripts, mine, other, strict=True)
    return [
        Difference(script, a, b) for script, a, b in seen if _canonical(script, a) != _canonical(script, b)
    ]


def shortest(erl: Erl, found: Difference) -> Difference:
    """Return a difference that is left when nothing more can be taken from its script."""
    while True:
        for script in _shorter(found.script):
            again = compare(erl, [script])
            if again:
                found = again[0]
                break
        else:
            return found


def _canonical(script: Script, trace: list[str]) -> list[str]:
    """Pools stop their children at the same time: their ends have no order."""
    if script.setup.strategy != POOL:
        return trace
    return [_ENDS.sub(lambda ends: " ".join(sorted(ends[0].split())), line) for line in trace]


def _shorter(script: Script) -> Iterator[Script]:
    steps = script.steps
    size = len(steps)
    while size:
        for first in range(0, len(steps), size):
            yield replace(script, steps=steps[:first] + steps[first + size :])
        size //= 2
    for index, arm in enumerate(script.armed):
        for armed in ((), *((simpler,) for simpler in _simpler(arm))):
            yield replace(script, armed=(*script.armed[:index], *armed, *script.armed[index + 1 :]))
    for setup in _simpler_setups(script.setup):
        yield replace(script, setup=setup)
    for index, step in enumerate(steps):
        for simpler in _simpler(step):
            yield replace(script, steps=(*steps[:index], simpler, *steps[index + 1 :]))


def _simpler_setups(setup: Setup) -> Iterator[Setup]:
    children = setup.children
    if setup.strategy != POOL:
        for index in range(len(children)):
            yield replace(setup, children=children[:index] + children[index + 1 :])
    yield from _plainer(setup, "strategy" if setup.strategy != POOL else "auto_shutdown")
    yield from _plainer(setup, "auto_shutdown", "period_s")
    for intensity in range(setup.intensity):
        yield replace(setup, intensity=intensity)
    for index, child in enumerate(children):
        for simpler in _simpler(child):
            yield replace(setup, children=(*children[:index], simpler, *children[index + 1 :]))


def _simpler(value: Any) -> Iterator[Any]:
    match value:
        case Gate():
            yield value.trigger
            for index in range(len(value.meanwhile)):
                yield replace(value, meanwhile=value.meanwhile[:index] + value.meanwhile[index + 1 :])
        case Arm() if len(value.outcomes) > 1:
            yield replace(value, outcomes=value.outcomes[1:])
            yield replace(value, outcomes=value.outcomes[:-1])
        case Spec():
            yield from _plainer(value, "restart", "significant", "stop", "shutdown")
            if value.inner is not None:
                yield from (replace(value, inner=inner) for inner in _simpler_setups(value.inner))


def _plainer(value: Any, *names: str) -> Iterator[Any]:
    """Yield the value with one of these fields as it is by default."""
    defaults: dict[str, Any] = {field.name: field.default for field in fields(value)}
    for name in names:
        if getattr(value, name) != defaults[name]:
            yield replace(value, **{name: defaults[name]})
