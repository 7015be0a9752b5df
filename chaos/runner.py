"""Runs one scenario: builds, looks at the steady state, breaks, waits, judges; and rolls back whatever happens.

The order of events is the Chaos Toolkit's: steady state before, method, steady state after, rollbacks. What is
different is the judge: not probes alone, but what every single device saw.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

import trio

from chappe.history import Verdict, check, load
from deploy.services import Fleet, ServicesError

from . import bugs
from .analysis.figures import Figures, figures
from .analysis.sends import Send, sends
from .journal import Journal
from .lab import Lab, Site
from .outcome import Check, Firing, Outcome, violations
from .people.crowd import Crowd, Habits, enrol
from .scenario import Pass, People, Probe, Scenario
from .site import Ground, built
from .undo import MARK
from .watch import Watch

BEFORE_S: Final = 4.0
AFTER_S: Final = 6.0
SETTLED_WITHIN_S: Final = 60.0
FAST_S: Final = 2.0
PATIENCE_S: Final = 40.0
STEADY_WITHIN_S: Final = 60.0
RESOLVED_WITHIN_S: Final = 120.0


@dataclass(frozen=True)
class Order:
    """What to run: where it keeps its records, on which services, with which seed, with which bug planted."""

    scenario: Scenario
    folder: Path
    seed: int
    fleet: Fleet | None = None
    plant: str | None = None
    is_kept: bool = False  # the data of nodes and devices, for whoever looks for a reason


class _Run:
    """The state of a run, of which the outcome is made in the end however far it got."""

    def __init__(self, order: Order, tell: Callable[[str], None]) -> None:
        self.order = order
        self.work = order.folder / "work"
        if order.folder.exists():
            shutil.rmtree(order.folder)
        scenario = order.scenario
        self.journal = Journal.begin(
            order.folder, tell, scenario=scenario.name, seed=order.seed, plant=order.plant
        )
        self.work.mkdir()
        self.began_ms = _now_ms()
        self.fault_ms: tuple[int, int] | None = None
        self.checks: list[Check] = []
        self.steps: list[tuple[int, str]] = []
        self.histories: list[Path] = []
        self.watch: Watch | None = None
        self.problem: str | None = None

    def step(self, text: str) -> None:
        self.steps.append((self.journal.note("step", text=text), text))
        self.journal.tell(text)

    async def go(self) -> None:
        order, scenario = self.order, self.order.scenario
        self.step("building the stack")
        mark = secrets.token_hex(8)
        ground = Ground(self.work, order.fleet, self.journal, bugs.program(order.plant), mark)
        with _marked(mark):
            async with built(scenario.stack, ground) as site:
                place = self.work / "watchers"
                self.watch = await Watch.start(place, site.nodes, self.journal, scenario.pace)
                people = await self._gather(site, scenario.people)
                chance = random.Random(order.seed)
                lab = Lab(site, people, self.watch, self.journal, chance, self.step)
                try:
                    await self._experiment(lab)
                except BaseException:
                    self._keep_last_words(site, people)
                    raise
                finally:
                    await people.kill()

    async def _gather(self, site: Site, wanted: People) -> Crowd:
        names = [f"person{number}" for number in range(wanted.people)]
        devices = {name: 2 if number < wanted.with_two else 1 for number, name in enumerate(names)}
        self.step(f"enrolling {wanted.people} people with {sum(devices.values())} devices")
        profiles = await enrol(site, self.work, devices)
        seed = self.order.seed
        habits = Habits(seed, wanted.per_s, wanted.in_process, PATIENCE_S, bugs.people(self.order.plant))
        crowd = Crowd(site, self.work, profiles, talks(names, wanted, random.Random(seed)), habits)
        self.histories = crowd.histories
        await crowd.start()
        return crowd

    async def _experiment(self, lab: Lab) -> None:
        scenario = self.order.scenario
        self.step("steady state: everybody chats")
        await lab.linger(BEFORE_S, len(self.histories))
        if not await self._settled(SETTLED_WITHIN_S):
            raise AssertionError(
                "There was no steady state to break: sends are slow without any fault. Try again later."
            )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lab.watch.look_on)
            await self._look(lab.watch, scenario.steady, "before")
            await self._break(lab)
            await self._look(lab.watch, scenario.steady, "after")
            with trio.move_on_after(RESOLVED_WITHIN_S):  # or not: then the checks say so
                while lab.watch.firing & set(scenario.alerts):
                    await trio.sleep(0.2)
            nursery.cancel_scope.cancel()
        self.step("everybody stops; whatever was acknowledged has to arrive")
        await lab.people.drain()

    async def _break(self, lab: Lab) -> None:
        """Break it, and return when people have got over it."""
        scenario = self.order.scenario
        began_ms = self.journal.note("fault_begins")
        self.fault_ms = began_ms, began_ms
        try:
            with trio.fail_after(scenario.fault_s):
                await scenario.fault(lab)
        except trio.TooSlowError:
            raise AssertionError(f"The fault took longer than {scenario.fault_s:g} s.") from None
        finally:
            self.fault_ms = began_ms, self.journal.note("fault_ends")
        self.step("healed; everybody chats on")
        await lab.linger(AFTER_S, len(self.histories))
        await self._settled(scenario.passes.recovery_s)  # or not: then the figures say so

    async def _settled(self, within_s: float) -> bool:
        """Wait until sends are answered fast, and return whether they are: a machine that is busy with something else
        must not be held against Chappe, nor an end that came before the last waiting send was tried again.
        """
        with trio.move_on_after(within_s):
            while not is_settled(sends([load(path) for path in self.histories if path.exists()]), _now_ms()):
                await trio.sleep(1.0)
            return True
        return False

    async def _look(self, watch: Watch, probes: Sequence[Probe], when: str) -> None:
        """Ask Prometheus until all is as it should be, for a while: it may have to catch up."""
        deadline = trio.current_time() + STEADY_WITHIN_S
        marks, found = [], []
        for probe in probes:
            while True:
                is_steady, says = await _asked(watch, probe)
                if is_steady or trio.current_time() > deadline:
                    break
                await trio.sleep(0.2)
            marks.append(is_steady)
            found.append(f"{probe.title}: {says}" + ("" if is_steady else " (!)"))
        self.checks.append(Check(f"steady state {when}", all(marks), "; ".join(found)))

    def _keep_last_words(self, site: Site, people: Crowd) -> None:
        for node in site.nodes:
            (self.order.folder / f"{node.folder.name}.log").write_text(node.logged[-100_000:])
        for group in people.groups:
            if group.errors:
                (self.order.folder / f"{group.name}.log").write_text(group.errors)

    def judge(self) -> Outcome:
        """Make the outcome of what there is."""
        scenario = self.order.scenario
        loaded = [load(path) for path in self.histories if path.exists()]
        found: Figures | None = None
        verdict: Verdict | None = None
        if loaded and self.fault_ms:
            found = figures(sends(loaded), self.fault_ms, scenario.passes.answer_s)
            try:
                verdict = check(loaded)
            except ValueError as error:
                self.problem = self.problem or str(error)
        if found and verdict:
            says = verdict.to_text().splitlines()[0]
            self.checks.insert(0, Check("history check", verdict.is_kept, says))
            self.checks += passed(scenario.passes, found)
        alerts = self.watch.firings if self.watch else ()
        if self.fault_ms:
            self.checks += [heard(alert, alerts, self.fault_ms) for alert in scenario.alerts]
        return Outcome(
            scenario=scenario.name,
            title=scenario.title,
            hypothesis=scenario.hypothesis,
            blast_radius=scenario.blast_radius,
            seed=self.order.seed,
            began_ms=self.began_ms,
            ended_ms=_now_ms(),
            devices=len(loaded),
            plant=self.order.plant,
            fault_ms=self.fault_ms,
            steps=tuple(self.steps),
            checks=tuple(self.checks),
            alerts=alerts,
            figures=found,
            verdict=verdict.to_text() if verdict else "",
            violations=violations(verdict) if verdict else {},
            problem=self.problem,
        )

    def tidy(self) -> None:
        """Keep the histories, and of the rest only what was asked for."""
        kept = self.order.folder / "histories"
        kept.mkdir()
        for path in (path for path in self.histories if path.exists()):
            shutil.copy(path, kept)
        if not self.order.is_kept:
            shutil.rmtree(self.work, ignore_errors=True)


def talks(names: Sequence[str], wanted: People, chance: random.Random) -> list[tuple[str, str]]:
    """Return who talks to whom: a ring, so that nobody is alone, and as many pairs again; or all to the first."""
    if wanted.is_hot:
        return [(names[0], name) for name in names[1:]]
    ring = {frozenset(pair) for pair in zip(names, [*names[1:], names[0]], strict=True)}
    others = [frozenset(pair) for pair in combinations(names, 2) if frozenset(pair) not in ring]
    pairs = ring | set(chance.sample(others, min(len(others), len(names))))
    return sorted((one, two) for one, two in map(sorted, pairs))


def is_settled(sent: Sequence[Send], now_ms: int) -> bool:
    """Whether nearly all of the latest sends, but for those of this very moment, were answered at once."""
    begin_ms, end_ms = now_ms - 3000 - int(FAST_S * 1000), now_ms - int(FAST_S * 1000)
    recent = [send.is_answered(FAST_S) for send in sent if begin_ms <= send.invoked_ms < end_ms]
    return len(recent) >= 3 and sum(recent) >= 0.9 * len(recent)


def passed(passes: Pass, found: Figures) -> list[Check]:
    """Compare a run's figures with what its scenario asks for."""
    checks = []
    if passes.availability > 0:
        during = found.during
        says = "nothing was sent" if during is None else f"{during:.1%}"
        title = (
            f"{passes.availability:.0%} of the sends in the fault are answered within {passes.answer_s:g} s"
        )
        checks.append(Check(title, during is not None and during >= passes.availability, says))
    recovery = found.recovery_s
    says = "never" if recovery is None else f"{recovery:.1f} s"
    title = f"sends are answered again within {passes.recovery_s:g} s after the fault"
    return [*checks, Check(title, recovery is not None and recovery <= passes.recovery_s, says)]


def heard(promised: str, alerts: Sequence[Firing], fault_ms: tuple[int, int]) -> Check:
    """Say whether an alert that a scenario promises began to fire in the fault, or as it ended, and is over."""
    title = f"{promised} fires in the fault, and is resolved after it"
    began_ms, ended_ms = fault_ms
    spans = [one for one in alerts if one.alert == promised]
    first = next((one for one in spans if began_ms <= one.from_ms <= ended_ms + AFTER_S * 1000), None)
    if first is None:
        return Check(title, is_kept=False, found="it did not fire")
    after_s, last_ms = (first.from_ms - began_ms) / 1000, spans[-1].to_ms
    if last_ms is None:
        return Check(title, is_kept=False, found=f"after {after_s:.1f} s, and fires still")
    return Check(
        title, is_kept=True, found=f"after {after_s:.1f} s, for {(last_ms - first.from_ms) / 1000:.1f} s"
    )


async def _asked(watch: Watch, probe: Probe) -> tuple[bool, str]:
    """Return whether a probe holds, and what Prometheus says."""
    try:
        value = await trio.to_thread.run_sync(watch.value, probe.promql)
    except OSError as error:
        return False, f"Prometheus does not answer: {error}"
    if value is None:
        return False, "Prometheus has nothing"
    return probe.low <= value <= probe.high, f"{value:.3g}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@contextmanager
def _marked(mark: str) -> Iterator[None]:
    """Let the processes that are started meanwhile carry the mark; the environment is as before at the end."""
    before = dict(os.environ)
    os.environ[MARK] = mark
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


async def run(order: Order, tell: Callable[[str], None] = lambda _: None) -> Outcome:
    """Run a scenario to its end and return what was found; the rollback has been done, cancelled or not.

    Raises: `ServicesError` when this machine lacks something.
    """
    this = _Run(order, tell)
    try:
        await this.go()
    except* ServicesError as lacking:
        raise _first(lacking) from None
    except* Exception as group:  # noqa: BLE001 - whatever it was, it is the run's outcome
        this.problem = _why(group)
    finally:
        with trio.CancelScope(shield=True):
            failed = await trio.to_thread.run_sync(this.journal.roll_back)
    if failed:
        this.problem = f"{this.problem or ''} The rollback failed: {'; '.join(failed)}".strip()
    outcome = await trio.to_thread.run_sync(this.judge)
    outcome.write(order.folder)
    await trio.to_thread.run_sync(this.tidy)
    this.journal.note("end", outcome=outcome.word)
    return outcome


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _why(group: BaseException) -> str:
    error = _first(group)
    return f"{type(error).__name__}: {error}"[:2000]
