"""Makes scripts from a seed and a number: the same two, the same script, on every machine.

What would prove nothing is left out: what only one side can do (see docs/supervisors/oracle.md), and what wall
time on erl's side would decide. Where children take time to stop, the period is longer than any script, because
their time passes on one side only.
"""

from __future__ import annotations

from random import Random

from .script import (
    POOL,
    Arm,
    Call,
    Crash,
    Ending,
    Gate,
    Outcome,
    Script,
    Setup,
    Shutdown,
    Sleep,
    Spec,
    Step,
    Stop,
    Verb,
)

WORKERS = "abcde"
NESTED = "st"
EVER_S = 1_000_000
STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
POLICIES = ("permanent", "transient", "temporary")
REASONS: tuple[Ending, ...] = ("error", "error", "error", "normal", "shutdown")
VERBS: tuple[Verb, ...] = ("start", "start", "terminate", "terminate", "restart", "delete", "get", "which")
SHUTDOWNS: tuple[Shutdown, ...] = ("soft", "soft", "soft", "brutal_kill", "infinity")
OUTCOMES: tuple[Outcome, ...] = ("fail", "fail", "fail", "ok", "ignore")
FAILING = OUTCOMES[:3]


def script(seed: int, number: int) -> Script:
    """Return script `number` of `seed`."""
    random = Random(f"{seed}/{number}")
    return _pool(random) if random.random() < 0.15 else _Tree(random).script()


class _Tree:
    """A script for a supervisor with known children."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._takes_time = random.random() < 0.4
        self._auto = random.choice(("never", "never", "any_significant", "all_significant"))
        self._is_busy = False
        self._known: list[str] = []
        self._workers: list[str] = []

    def script(self) -> Script:
        random = self._random
        names = random.sample(WORKERS, random.choice((0, 1, 2, 3, 3, 4, 5)))
        self._known = [*names, *names, *names, *WORKERS]
        nested = [name for name in NESTED if random.random() < 0.2]
        self._workers = [*self._known, *(f"{name}{number}" for name in nested * 2 for number in (1, 2, 3))]
        names += nested
        random.shuffle(names)
        children = tuple(self._spec(name) for name in names)
        setup = Setup(random.choice(STRATEGIES), *self._limits(), self._auto, children)
        armed = (self._arm(),) if random.random() < 0.15 else ()
        return Script(setup, armed, tuple(self._step() for _ in range(random.randint(1, 14))))

    def _limits(self) -> tuple[int, int]:
        period_s = EVER_S if self._takes_time else self._random.choice((1, 2, 3, 5, 8, EVER_S))
        return self._random.choice((0, 1, 2, 2, 3, 5, 9)), period_s

    def _spec(self, name: str) -> Spec:
        random = self._random
        restart = random.choice(POLICIES)
        significant = restart != "permanent" and self._auto != "never" and random.random() < 0.5
        if random.random() < 0.02 and not self._is_busy:
            significant = True  # which may well be refused; ours does so before the request waits
        if name in NESTED:
            return Spec(name, restart, significant, inner=self._inner(name))
        shutdown = random.choice(SHUTDOWNS)
        stop: Stop = random.choice(("plain", "plain", "listen", "crash"))
        if self._takes_time and shutdown == "soft" and random.random() < 0.4:
            stop = random.choice(("slow", "stubborn"))
        return Spec(name, restart, significant, shutdown, stop)

    def _inner(self, name: str) -> Setup:
        outer, self._auto = self._auto, self._random.choice(("never", "any_significant", "all_significant"))
        children = tuple(self._spec(f"{name}{number}") for number in range(1, self._random.randint(1, 4)))
        intensity, period_s = self._limits()
        setup = Setup(self._random.choice(STRATEGIES), intensity, period_s, self._auto, children)
        self._auto = outer
        return setup

    def _step(self) -> Step:
        random = self._random
        match random.choices(("crash", "call", "arm", "gate", "sleep"), (6, 6, 3, 5, 1))[0]:
            case "crash":
                return self._crash()
            case "call":
                return self._call()
            case "arm":
                return self._arm()
            case "sleep":
                return Sleep(random.randint(1, 6))
        return self._gate()

    def _gate(self) -> Gate:
        random = self._random
        name = random.choice(self._known)
        trigger: Crash | Call = Crash(name if random.random() < 0.5 else random.choice(self._known))
        if random.random() < 0.2:
            trigger = self._request("top", name)
        self._is_busy = True
        meanwhile = tuple(self._meanwhile(name) for _ in range(random.randint(0, 3)))
        self._is_busy = False
        return Gate(name, random.choice(("fail", "fail", "ok", "ignore")), trigger, meanwhile)

    def _meanwhile(self, name: str) -> Crash | Call:
        if self._random.random() < 0.3:
            return Crash(self._random.choice(self._known), self._random.choice(REASONS))
        return self._request("top", name) if self._random.random() < 0.4 else self._call_on_top()

    def _arm(self) -> Arm:
        random = self._random
        name = random.choice(NESTED) if random.random() < 0.1 else random.choice(self._workers)
        return Arm(name, tuple(random.choices(OUTCOMES, k=random.randint(1, 3))))

    def _crash(self) -> Crash:
        return Crash(self._random.choice(self._workers), self._random.choice(REASONS))

    def _call(self) -> Call:
        if self._random.random() < 0.85:
            return self._call_on_top()
        on = self._random.choice(NESTED)
        if self._random.random() < 0.2:
            return Call(on, "stop")
        return self._request(on, f"{on}{self._random.randint(1, 3)}")

    def _call_on_top(self) -> Call:
        nested = self._random.random() < 0.1
        return self._request("top", self._random.choice(NESTED if nested else self._known))

    def _request(self, on: str, name: str) -> Call:
        verb = self._random.choice(VERBS)
        return Call(on, verb, self._spec(name) if verb == "start" else name)


def _pool(random: Random) -> Script:
    """Return a script for a pool. Nothing that started is to ignore its restart there: OTP keeps a ghost of it."""
    takes_time = random.random() < 0.4
    stop: Stop = random.choice(("slow", "stubborn") if takes_time else ("plain", "listen", "crash"))
    shutdown: Shutdown = "soft" if takes_time else random.choice(SHUTDOWNS)
    period_s = EVER_S if takes_time else random.choice((1, 2, 4, EVER_S))
    template = Spec("template", random.choice(POLICIES), shutdown=shutdown, stop=stop)
    setup = Setup(POOL, random.choice((0, 1, 2, 4, 9)), period_s, children=(template,))
    steps: list[Step] = []
    names: list[str] = []
    for _ in range(random.randint(2, 16)):
        name = random.choice(names) if names else None
        match random.choices(("start", "crash", "terminate", "arm", "sleep"), (6, 5, 2, 2, 1))[0]:
            case "crash" if name:
                steps.append(Crash(name, random.choice(REASONS)))
            case "terminate" if name:
                steps.append(Call("top", "terminate", name))
            case "arm" if name:
                steps.append(Arm(name, FAILING[: random.randint(1, 3)]))
            case "sleep":
                steps.append(Sleep(random.randint(1, 4)))
            case _:
                names.append(f"p{len(names) + 1}")
                if random.random() < 0.2:
                    steps.append(Arm(names[-1], (random.choice(OUTCOMES),)))
                steps.append(Call("top", "start", names[-1]))
    return Script(setup, steps=tuple(steps))
