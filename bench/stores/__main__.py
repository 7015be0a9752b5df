"""`python -m bench.stores`: starts the servers, lets the same pairs write on each setup, prints what it cost whom."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import uvloop

from deploy.services import Fleet, ServicesError, Wishes

from .. import pages, proc
from ..accounts import sign_up_all
from ..errors import BenchError
from ..node import running
from ..traffic import pairs, run_phase
from . import report
from .setups import Setup, disk_bytes, marks, real, sqlite

PAGE = pages.ROOT / "docs" / "capacity.md"
QUIET_S = 1.0
GOAL_IN_FLIGHT = 8


def main() -> int:
    """Run the benchmark; 0 when every message was delivered exactly once, 3 when something is not installed."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder.resolve()))
    folder.chmod(0o711)  # PostgreSQL's user has to get through
    fleet = Fleet(
        folder / "services", Wishes(cassandra_nodes=options.cassandra_nodes, measured=True), pages.say
    )
    try:
        fleet.up(("postgres", "redis", "cassandra"))
        text = uvloop.run(measure(options, folder, fleet))
    except ServicesError as error:
        print(error, file=sys.stderr)
        return 3
    except BenchError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        fleet.down(grace_s=0, wipe=True)
        shutil.rmtree(folder)
    print(text)
    if options.write_docs:
        pages.put(PAGE, report.BEGIN, report.END, text)
    return 0


async def measure(options: argparse.Namespace, folder: Path, fleet: Fleet) -> str:
    """Measure every setup, one after the other; then profile one worker, since looking costs something."""
    measured = await _phases(sqlite(), folder / "sqlite", options)
    for workers in (1, 2):
        setup = await asyncio.to_thread(real, fleet, workers)
        measured += await _phases(setup, folder / setup.settings["CASSANDRA__KEYSPACE"], options)
    stored = sum(one.phase.acknowledged for one in measured if one.workers == workers)
    kept = await asyncio.to_thread(disk_bytes, fleet, setup)
    cost = await _driver_cost(await asyncio.to_thread(real, fleet, 1), folder / "profiled", options)
    if wrong := sum(one.phase.lost + one.phase.twice for one in measured):
        raise BenchError(f"{wrong} messages were not delivered exactly once.")
    return "\n\n".join(
        [
            f"Machine: {proc.machine()}; data on {proc.filesystem(folder)}.",
            f"Revision {pages.revision()}, `{' '.join(['python -m bench.stores', *sys.argv[1:]])}`.",
            f"{options.pairs} pairs. CPU is per delivered message, of all processes and threads:",
            report.table(measured),
            report.driver(cost),
            f"A message takes {kept / stored:,.0f} bytes on the disk of each replica, body and both rows.",
            "Nothing lost, nothing twice.",
        ]
    )


async def _phases(setup: Setup, folder: Path, options: argparse.Namespace) -> list[report.Measured]:
    done = []
    async with running(folder, settings=setup.settings) as node:
        people = await sign_up_all(node, 2 * options.pairs, lambda _: None)
        async with pairs(node, people) as everybody:
            for count in options.in_flight:
                pages.say(f"{setup.stores}, {setup.workers} worker(s), {count} in flight")
                taken, take = marks(setup, node.pid)
                phase = await run_phase(
                    node, everybody, count,
                    warm_up_s=options.warm_up, window_s=options.seconds, around=take,
                )  # fmt: skip
                before, after = taken
                used = {name: after[name] - before[name] for name in after}
                done.append(report.Measured(setup.stores, setup.workers, phase, used))
                await asyncio.sleep(QUIET_S)
    return done


async def _driver_cost(setup: Setup, folder: Path, options: argparse.Namespace) -> report.DriverCost:
    """Run under the sampler: what the event loop does in the adapter or the driver is theirs, and all other threads."""
    output = folder / "profile.json"
    sampler = (sys.executable, "-m", "bench.sampler", str(output))
    async with running(folder, under=sampler, settings=setup.settings) as node:
        people = await sign_up_all(node, 2 * options.pairs, lambda _: None)
        async with pairs(node, people) as everybody:
            pages.say(f"{setup.stores}, profiled at {GOAL_IN_FLIGHT} in flight")
            phase = await run_phase(
                node, everybody, GOAL_IN_FLIGHT,
                warm_up_s=options.warm_up, window_s=options.seconds,
                around=lambda: node.signal(signal.SIGUSR2),
            )  # fmt: skip
    profile = json.loads(await asyncio.to_thread(output.read_text, encoding="utf-8"))
    theirs_s = sum(seconds for _name, path, seconds in profile["own"] if "/cassandra/" in path)
    rows = phase.delivered * report.ROWS_PER_MESSAGE / 1e6
    driver_s = phase.server.whole_s - phase.server.main_s
    return report.DriverCost(GOAL_IN_FLIGHT, driver_s / rows, theirs_s / rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.stores",
        description="The same traffic on SQLite and on Cassandra, PostgreSQL and Redis, with one worker and with two.",
    )
    parser.add_argument("--pairs", type=int, default=50, help="pairs of people who write (50)")
    parser.add_argument(
        "--in-flight",
        type=lambda text: [int(part) for part in text.split(",")],
        default=[8, 32],
        help="messages in flight per pair, one phase each (8,32)",
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measurement (10)")
    parser.add_argument("--warm-up", type=float, default=5.0, help="seconds before each measurement (5)")
    parser.add_argument(
        "--cassandra-nodes", type=int, choices=(1, 3), default=1, help="nodes of the ring (1)"
    )
    parser.add_argument("--write-docs", action="store_true", help="put the results into docs/capacity.md")
    parser.add_argument(
        "--folder", type=Path, default=Path("/var/tmp"), help="where the data goes: a real disk (/var/tmp)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
