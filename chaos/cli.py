"""`chappe-chaos`: the command line of whoever breaks Chappe on purpose. Options in, outcomes out.

Progress and sentences go to standard error, results to standard output. What runs is in `runner.py`, what is printed in
`tables.py`.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import groupby
from pathlib import Path
from typing import Annotated, Final, NoReturn

import msgspec
import trio
import typer
from rich.console import Console

from deploy.services import Fleet, ServicesError, Unavailable

from . import bugs, tables
from .announce import announcing
from .journal import left_open
from .needs import lacking
from .outcome import Outcome
from .outcome import load_all as load_outcomes
from .runner import Order
from .runner import run as run_one
from .scenario import Scenario, load_all
from .services import services as lend_services

KEPT: Final = 0
BROKEN: Final = 1
USAGE: Final = 2
LACKING: Final = 3
INTERRUPTED: Final = 130

FOLDER: Final = Path("var/chaos")
REQUIRED: Final = "CHAPPE_REQUIRE_SERVICES"

app = typer.Typer(
    name="chappe-chaos",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Break Chappe on purpose, and see whether it keeps its promise: a crowd of real clients chats while a "
    "scenario kills, freezes, cuts or fills something; afterwards every acknowledged message must be on every "
    "device, once, in one order. Everything is on loopback, bounded in time, and put right again.",
    epilog="Exit codes:\n  0  every promise was kept\n  1  a promise was broken\n  2  the command line is wrong\n"
    f"  3  something has to be installed; the sentence says what\n  130  ended by Ctrl-C; all was rolled back\n\n"
    f"With {REQUIRED}=1 a scenario that cannot run here is an error (3); otherwise it is skipped, and says why.",
)
errors = Console(stderr=True)

Folder = Annotated[Path, typer.Option(metavar="PATH", help="Where runs keep their histories and outcomes.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line, for programs.")]


@app.command("list")
def list_(*, as_json: Json = False) -> None:
    """Print every scenario: what it breaks, what it claims, and what it needs."""
    scenarios = load_all()
    if as_json:
        for scenario in scenarios.values():
            print(msgspec.json.encode(tables.plain(scenario)).decode())
        return
    Console().print(tables.scenarios(scenarios.values()))


@app.command()
def run(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Scenarios; see `list`.")
    ] = None,
    *,
    is_all: Annotated[bool, typer.Option("--all", help="Run every scenario.")] = False,
    is_quick: Annotated[bool, typer.Option("--quick", help="Run the quick ones, a few minutes.")] = False,
    is_small: Annotated[bool, typer.Option("--small", help="Only those of one node on SQLite.")] = False,
    seed: Annotated[
        int | None, typer.Option(help="Seed of all random choices; default: a random one.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Run each so many times, with seeds that follow.")] = 1,
    services: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Folder of services that run (`python -m deploy.services up`)."),
    ] = None,
    plant: Annotated[
        str | None, typer.Option(metavar="BUG", help=f"Plant a bug in the nodes: {', '.join(bugs.names())}.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data of nodes and devices.")] = False,
    announce: Annotated[
        int | None,
        typer.Option(metavar="PORT", help="Tell Prometheus there which scenario runs; dashboards mark it."),
    ] = None,
    folder: Folder = FOLDER,
    as_json: Json = False,
) -> None:
    """Run scenarios, one after the other, and say of each whether the promise was kept.

    Services that the scenarios need are started, and are gone afterwards, unless --services names running ones.

    Examples:
        chappe-chaos run node-killed --seed 7
        chappe-chaos run --quick
        chappe-chaos run --all --runs 3
        chappe-chaos run gateway-killed --plant early-ack
    """
    chosen = _chosen(names or [], is_all=is_all, is_quick=is_quick, is_small=is_small)
    if plant is not None and plant not in bugs.names():
        _fail(f"There is no bug called {plant}; there are {', '.join(bugs.names())}.", USAGE)
    if left := left_open(folder):
        _fail(f"{left[0].path} has something to undo: run `chappe-chaos rollback` first.", USAGE)
    first = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's background job has it ignored
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # rolls back as Ctrl-C does
    outcomes = []
    try:
        with announcing(announce) if announce else nullcontext() as announcer:
            for order in _orders(chosen, range(first, first + runs), (folder, services), plant, keep):
                with announcer.running(order.scenario.name) if announcer else nullcontext():
                    outcomes.append(outcome := _carry_out(order))
                print(outcome_line(outcome)) if as_json else Console().print(tables.outcome(outcome))
    except KeyboardInterrupt:
        _fail("Ended by Ctrl-C; everything was rolled back.", INTERRUPTED)
    except ServicesError as error:
        _fail(str(error), LACKING if isinstance(error, Unavailable) else BROKEN)
    if len(outcomes) > 1 and not as_json:
        Console().print(tables.outcomes(outcomes))
    skipped = [outcome for outcome in outcomes if outcome.skipped]
    if not all(outcome.is_kept for outcome in outcomes if not outcome.skipped):
        raise typer.Exit(BROKEN)
    if skipped and (os.environ.get(REQUIRED) or len(skipped) == len(outcomes)):
        _fail(f"{skipped[0].scenario} could not run: {skipped[0].skipped}", LACKING)


@app.command()
def rollback(folder: Folder = FOLDER) -> None:
    """Undo what a killed run left behind: frozen and orphaned processes, servers, databases, mounts, namespaces."""
    journals = left_open(folder)
    failed = []
    for journal in journals:
        errors.print(f"{journal.path}: {len(journal.open)} to undo")
        failed += journal.roll_back()
    for why in failed:
        errors.print(why)
    errors.print("Nothing is left to undo." if not failed else "Not everything could be undone; try again.")
    raise typer.Exit(BROKEN if failed else KEPT)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where the runs are.")] = FOLDER,
    *,
    is_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table of docs/chaos.md instead.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a page for every run in a folder and an index of all; they need no network to be read."""
    from .report.pages import write  # noqa: PLC0415 - only this command draws

    found = load_outcomes(folder)
    if not found:
        _fail(f"There are no runs in {folder}.", USAGE)
    if as_json:
        for _, outcome in found:
            print(outcome_line(outcome))
    elif is_markdown:
        print(tables.markdown([outcome for _, outcome in found]))
    else:
        print(write(folder, found))


def outcome_line(outcome: Outcome) -> str:
    """Return an outcome as one line of JSON."""
    return msgspec.json.encode(msgspec.to_builtins(outcome) | {"outcome": outcome.word}).decode()


def _chosen(names: Sequence[str], *, is_all: bool, is_quick: bool, is_small: bool) -> list[Scenario]:
    scenarios = load_all()
    if unknown := [name for name in names if name not in scenarios]:
        _fail(f"There is no scenario called {unknown[0]}; `chappe-chaos list` prints them.", USAGE)
    if not names and not (is_all or is_quick or is_small):
        _fail("Name scenarios, or say --all, --quick or --small.", USAGE)
    chosen = [scenarios[name] for name in names] or list(scenarios.values())
    if is_quick and not names:
        chosen = [scenario for scenario in chosen if scenario.is_quick]
    return [scenario for scenario in chosen if not (is_small and scenario.stack.is_full)]


def _orders(
    chosen: Sequence[Scenario],
    seeds: Sequence[int],
    places: tuple[Path, Path | None],
    plant: str | None,
    keep: bool,
) -> Iterator[Order]:
    """Yield what to run, those without services first; services run while those do that want them."""
    folder, borrowed = places
    for (is_full, has_hosts), alike in groupby(sorted(chosen, key=_services_of), _services_of):
        with ExitStack() as stack:
            fleet: Fleet | None = None
            for scenario in alike:
                if is_full and fleet is None and not lacking(scenario):
                    with _status("services") as tell:
                        lent = lend_services(borrowed, folder, tell, has_hosts=has_hosts)
                        fleet = stack.enter_context(lent)
                for seed in seeds[:1] if scenario.is_once else seeds:
                    name = f"{scenario.name}-{seed}" + (f"-{plant}" if plant else "")
                    yield Order(scenario, folder / name, seed, fleet, plant, keep)


def _services_of(scenario: Scenario) -> tuple[bool, bool]:
    """Return whether a scenario wants services, and whether on hosts: those that share them follow each other."""
    return scenario.stack.is_full, scenario.stack.has_hosts


def _carry_out(order: Order) -> Outcome:
    scenario = order.scenario
    if why := lacking(scenario):
        return Outcome(
            scenario=scenario.name,
            title=scenario.title,
            hypothesis=scenario.hypothesis,
            blast_radius=scenario.blast_radius,
            seed=order.seed,
            began_ms=0,
            ended_ms=0,
            skipped=why,
        )
    with _status(f"{scenario.name}, seed {order.seed}") as tell:
        try:
            return trio.run(run_one, order, tell)
        except BaseExceptionGroup as group:
            if group.subgroup(KeyboardInterrupt) is None:
                raise
            raise KeyboardInterrupt from None


@contextmanager
def _status(what: str) -> Iterator[Callable[[str], None]]:
    """Show what is going on: a spinner on a terminal, lines elsewhere."""
    if errors.is_terminal:
        with errors.status(what) as status:
            yield lambda text: status.update(f"{what}: {text}")
    else:
        yield lambda text: errors.print(f"{what}: {text}", highlight=False, soft_wrap=True)


def _fail(why: str, code: int) -> NoReturn:
    errors.print(f"chappe-chaos: {why}", highlight=False, soft_wrap=True, markup=False)
    raise typer.Exit(code)


def main() -> None:
    """Run the command line of this process; never returns."""
    app()
