"""Where this library and OTP's supervisor differ: the list of docs/supervisors/oracle.md, as scripts.

`INTENDED` are decisions; their scripts must go on showing just that difference, and the generator makes none that
shows it. `MENDED` are scripts that showed a bug here once.
"""

from __future__ import annotations

from dataclasses import dataclass

from .script import POOL, Arm, Call, Crash, Gate, Script, Setup, Spec


@dataclass(frozen=True, slots=True)
class Intended:
    """A difference that is meant: the line that differs, on this side and on the other."""

    why: str
    adr: int
    script: Script
    ours: str
    theirs: str


_PAIR = (Spec("a"), Spec("b"))
_POOL = Setup(POOL, intensity=5, children=(Spec("template"),))

INTENDED = [
    Intended(
        "a stop does not wait for a start",
        13,
        Script(Setup(children=_PAIR), steps=(Gate("b", "ok", Crash("b"), (Call("top", "stop"),)),)),
        "-b:crashed ~b -a:shutdown end shutdown | done ok | ",
        "-b:crashed ~b +b -b:shutdown -a:shutdown end shutdown | done ok | ",
    ),
    Intended(
        "a pool starts its children side by side",
        14,
        Script(_POOL, steps=(Gate("p", "ok", Call("top", "start", "p"), (Call("top", "start", "q"),)),)),
        "~p +q +p | ok ok | top(p:running q:running) 2/0/2",
        "~p +p +q | ok ok | top(p:running q:running) 2/0/2",
    ),
    Intended(
        "a pool forgets a child that ignores its restart",
        15,
        Script(_POOL, steps=(Call("top", "start", "p"), Arm("p", ("ignore",)), Crash("p"))),
        "-p:crashed ?p | done | top() 0/0/0",
        "-p:crashed ?p | done | top(undefined:stopped) 1/0/1",
    ),
]

MENDED = {
    "what was asked before a start failed is served before it is tried again": Script(
        Setup("one_for_one", intensity=2, children=(Spec("a"),)),
        steps=(Gate("a", "fail", Crash("a"), (Call("top", "restart", "a"),)),),
    ),
    "start_child of a child that waits for its restart is already_present": Script(
        Setup("one_for_all", children=_PAIR),
        steps=(Gate("b", "fail", Crash("a"), (Call("top", "start", Spec("b")),)),),
    ),
}
