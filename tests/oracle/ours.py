"""Plays a script on this library, under virtual time, and writes down what happened, line by line as `oracle.erl` does.

A line is `events | replies | pictures`: "+a" a runs, "-a:reason" it ended, "!a" its start failed, "?a" it had
nothing to do, "~a" its start was held at a gate. Events are what children and monitors saw, not what supervisors
said, but for the starts of nested supervisors.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisors import (
    BRUTAL,
    INFINITY,
    AlreadyPresent,
    AlreadyStarted,
    AutoShutdown,
    BadSpec,
    ChildIgnored,
    ChildSpec,
    ChildStarted,
    ChildStartFailed,
    Down,
    DynamicSupervisor,
    Event,
    GaveUp,
    Ignore,
    NotFound,
    NotRunning,
    Pid,
    Restart,
    StartedChild,
    StartFailed,
    StillRestarting,
    StillRunning,
    Strategy,
    Supervisor,
    SupervisorError,
    child,
    current_pid,
    stop_requested,
    supervisor_child,
    trap_stop,
)

from .script import POOL, Arm, Call, Crash, Gate, Outcome, Script, Setup, Sleep, Spec, Step

Place = Supervisor | DynamicSupervisor

PATIENCE_S = 2**-10
SLOW_S = 2**-11
"""So short that all stops of a step end within its second, and exact in binary."""

HUNG_S = 10**9
"""Virtual time after which a script hangs: it is reached only when nothing else will ever happen."""

REPLIES: dict[type[SupervisorError], str] = {
    AlreadyPresent: "already_present",
    AlreadyStarted: "already_started",
    BadSpec: "bad_spec",
    NotFound: "not_found",
    NotRunning: "not_running",
    StartFailed: "failed",
    StillRestarting: "restarting",
    StillRunning: "running",
}


def play(script: Script) -> list[str]:
    """Play a script and return its trace. An error that leaves the supervisor is all there is of it then."""
    try:
        return trio.run(_Play(script).run, clock=MockClock(autojump_threshold=0))
    except Exception as error:  # noqa: BLE001 - whatever the library raises is what OTP does not
        leaf = error
        while isinstance(leaf, ExceptionGroup):
            leaf = leaf.exceptions[0]
        return [f"raised {type(leaf).__name__}: {leaf}"]


class _Worker:
    """One run of a worker: how to reach it."""

    def __init__(self) -> None:
        self.order = trio.Event()
        self.reason = "error"


class _Gate:
    def __init__(self, name: str) -> None:
        self.name = name
        self.is_reached = False
        self.outcome: Outcome = "ok"
        self.opened = trio.Event()


class _Play:
    def __init__(self, script: Script) -> None:
        self._script = script
        self._is_pool = script.setup.strategy == POOL
        self._events: list[str] = []
        self._armed = {arm.name: list(arm.outcomes) for arm in script.armed}
        self._gate: _Gate | None = None
        self._workers: dict[str, _Worker] = {}
        self._nested: dict[str, tuple[Supervisor, Pid]] = {}
        self._supervisors: set[str] = set()
        self._started: set[Pid] = set()
        self._top: Place
        self._has_ended = False
        self._nursery: trio.Nursery

    async def run(self) -> list[str]:
        try:
            self._top = self._make(self._script.setup)
        except BadSpec:
            return ["end bad_spec"]
        lines: list[str] = []
        with trio.move_on_after(HUNG_S) as patience:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._live)
                await self._do_all(lines)
        return [*lines, "hung"] if patience.cancelled_caught else lines

    async def _live(self) -> None:
        end = "shutdown"
        try:
            await self._top.run()
        except StartFailed as error:
            end = f"start_failed {error.path[-1]}"
        except GaveUp:
            pass
        self._events.append(f"end {end}")
        self._has_ended = True

    # Steps

    async def _do_all(self, lines: list[str]) -> None:
        await self._end_step([], lines)
        for step in self._script.steps:
            if self._has_ended:
                return
            await self._end_step(await self._do(step), lines)
        if not self._has_ended:
            await self._top.stop()
            await self._end_step([], lines)

    async def _end_step(self, replies: list[str], lines: list[str]) -> None:
        await trio.sleep_until(int(trio.current_time()) + 1)
        parts = (self._events, replies, self._pictures())
        lines.append(" | ".join(" ".join(part) for part in parts))
        self._events = []

    async def _do(self, step: Step) -> list[str]:
        match step:
            case Sleep():
                await trio.sleep(step.seconds)
                return []
            case Arm():
                self._armed[step.name] = list(step.outcomes)
                return []
            case Gate():
                return await self._do_at_gate(step)
        return await self._begin([step])

    async def _do_at_gate(self, step: Gate) -> list[str]:
        gate = self._gate = _Gate(step.name)
        replies = await self._begin([step.trigger])
        await trio.sleep_until(int(trio.current_time()) + 1)
        if gate.is_reached:
            others = await self._begin(step.meanwhile)
            gate.outcome = step.outcome
            gate.opened.set()
            await trio.sleep_until(int(trio.current_time()) + 0.5)
            replies += others
        self._gate = None
        return replies

    async def _begin(self, steps: tuple[Crash | Call, ...] | list[Crash | Call]) -> list[str]:
        """Begin these in order; the replies come into the list when they come, those that wait for a gate later."""
        replies = [""] * len(steps)
        for index, step in enumerate(steps):
            if isinstance(step, Crash):
                replies[index] = self._crash(step)
            else:
                self._nursery.start_soon(self._call, step, partial(replies.__setitem__, index))
            await wait_all_tasks_blocked()
        return replies

    def _crash(self, step: Crash) -> str:
        worker = self._workers.pop(step.name, None)
        if worker is None:
            return "nobody"
        worker.reason = step.reason
        worker.order.set()
        return "done"

    # Requests

    async def _call(self, call: Call, answer: Callable[[str], None]) -> None:
        answer(await self._answer(call))

    async def _answer(self, call: Call) -> str:
        place: Place = self._top
        if call.on != "top":
            nested, pid = self._nested.get(call.on, (None, None))
            if nested is None or pid is None or not pid.is_alive:
                return "not_running"
            place = nested
        try:
            reply = await self._request(place, call)
        except SupervisorError as error:
            return REPLIES[type(error)]
        match reply:
            case StartedChild():
                return "ok" if reply.is_running else "ignored"
            case ChildSpec():
                policy = reply.policy
                kind = "supervisor" if policy.is_supervisor else "worker"
                return f"{policy.restart.value}/{str(policy.significant).lower()}/{kind}"
            case str():
                return reply
        return "ok"

    def _request(self, place: Place, call: Call) -> Awaitable[object]:
        verb, what = call.verb, call.what
        if verb == "stop":
            return place.stop()
        if verb == "start":
            spec = self._script.setup.children[0] if isinstance(what, str) else what
            return self._start(place, spec, what if isinstance(what, str) else what.name)
        assert isinstance(what, str), "only a start takes a spec"
        if verb == "terminate":
            return place.terminate_child(what)
        assert isinstance(place, Supervisor), "a pool has no other requests"
        if verb in ("restart", "delete"):
            return place.restart_child(what) if verb == "restart" else place.delete_child(what)
        return _in_turn(
            place, lambda: place.get_childspec(what) if verb == "get" else f"[{self._which(place)}]"
        )

    async def _start(self, place: Place, spec: Spec, name: str) -> StartedChild:
        return await place.start_child(self._child(spec, name))

    # Pictures

    def _pictures(self) -> list[str]:
        if self._has_ended:
            return []
        pictures = [self._picture("top", self._top)]
        for info in self._top.which_children():
            nested, pid = self._nested.get(info.id, (None, None))
            if nested is not None and pid is not None and pid.is_alive:
                pictures.append(self._picture(info.id, nested))
        return pictures

    def _picture(self, name: str, place: Place) -> str:
        counts = place.count_children()
        shown = [counts.specs, counts.active, counts.supervisors, counts.workers]
        numbers = "/".join(map(str, shown[1:] if self._is_pool else shown))
        return f"{name}({self._which(place)}) {numbers}"

    def _which(self, place: Place) -> str:
        states = [f"{info.id}:{info.status.value}" for info in place.which_children()]
        return " ".join(sorted(states) if self._is_pool else states)

    # The supervisors and their children

    def _make(self, setup: Setup) -> Place:
        intensity, period_s = setup.intensity, float(setup.period_s)
        if setup.strategy == POOL:
            return DynamicSupervisor(
                intensity=intensity, period_s=period_s, name="top", observer=self._observe
            )
        return Supervisor(
            [self._child(spec, spec.name) for spec in setup.children],
            strategy=Strategy(setup.strategy),
            intensity=intensity,
            period_s=period_s,
            auto_shutdown=AutoShutdown(setup.auto_shutdown),
            name="top",
            observer=self._observe,
        )

    def _child(self, spec: Spec, name: str) -> ChildSpec:
        restart = Restart(spec.restart)
        if spec.inner is not None:
            make = partial(self._make_nested, name, spec.inner)
            return supervisor_child(make, id=name, restart=restart, significant=spec.significant)
        patience = {"soft": PATIENCE_S, "brutal_kill": BRUTAL, "infinity": INFINITY}[spec.shutdown]
        return child(
            self._work, name, spec, id=name, restart=restart, significant=spec.significant, shutdown=patience
        )

    def _make_nested(self, name: str, setup: Setup) -> Supervisor:
        self._supervisors.add(name)
        _check(self._next_outcome(name))
        nested = self._make(setup)
        assert isinstance(nested, Supervisor), "pools are not nested"
        pid = current_pid()
        self._nested[name] = nested, pid
        pid.watch(self, partial(self._ended, name))
        return nested

    def _observe(self, event: Event) -> None:
        name = event.path[-1]
        if name not in self._supervisors:
            return
        if isinstance(event, ChildStarted):
            self._started.add(self._nested[name][1])
        sign = {ChildStarted: "+", ChildIgnored: "?", ChildStartFailed: "!"}.get(type(event))
        if sign:
            self._events.append(sign + name)

    async def _work(self, name: str, spec: Spec, *, task_status: trio.TaskStatus[None]) -> None:
        if self._gate is not None and self._gate.name == name and not self._gate.is_reached:
            outcome = await self._pass(self._gate)
        else:
            outcome = self._next_outcome(name)
        if outcome != "ok":
            self._events.append({"fail": "!", "ignore": "?"}[outcome] + name)
        _check(outcome)
        me, pid = _Worker(), current_pid()
        self._workers[name] = me
        self._started.add(pid)
        pid.watch(self, partial(self._ended, name))
        self._events.append(f"+{name}")
        if spec.stop != "plain":
            trap_stop()
        try:
            task_status.started()
            await self._until_told(me, spec)
        finally:
            if self._workers.get(name) is me:
                del self._workers[name]

    async def _until_told(self, me: _Worker, spec: Spec) -> None:
        if spec.stop == "plain":
            await me.order.wait()
        else:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_say_goodbye, spec, nursery.cancel_scope)
                await me.order.wait()
                nursery.cancel_scope.cancel()
        if me.order.is_set():
            _end(me.reason)

    async def _pass(self, gate: _Gate) -> Outcome:
        gate.is_reached = True
        self._events.append(f"~{gate.name}")
        await gate.opened.wait()
        return gate.outcome

    def _next_outcome(self, name: str) -> Outcome:
        armed = self._armed.get(name)
        return armed.pop(0) if armed else "ok"

    def _ended(self, name: str, down: Down) -> None:
        if down.pid in self._started:
            reason = down.reason
            self._events.append(f"-{name}:{reason.value}")


async def _in_turn(place: Supervisor, look: Callable[[], object]) -> object:
    """Look when the supervisor serves requests, as OTP's does for every question; ours answers these at once."""

    async def work() -> object:
        return look()

    return await place._request(work)


async def _say_goodbye(spec: Spec, everything: trio.CancelScope) -> None:
    await stop_requested()
    if spec.stop == "crash":
        raise ValueError("crashed while it was stopped")
    if spec.stop == "stubborn":
        await trio.sleep_forever()
    if spec.stop == "slow":
        await trio.sleep(SLOW_S)
    everything.cancel()


def _check(outcome: Outcome) -> None:
    if outcome == "fail":
        raise OSError("told to fail")
    if outcome == "ignore":
        raise Ignore


def _end(reason: str) -> None:
    if reason == "error":
        raise ValueError("told to crash")
    if reason == "shutdown":
        raise GaveUp("told to end", path=(), is_shutdown=True)
