"""`make bench`: starts the server, signs people up, measures, checks, prints; `measure` has the order."""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop

from . import echo, idle, pages, proc, report
from .accounts import Person, sign_up_all
from .errors import BenchError
from .node import Node, running
from .sampler import EVERY_S
from .traffic import Phase, pairs, run_phase

PAGE = pages.ROOT / "docs" / "performance.md"
QUIET_S = 1.0


def main() -> int:
    """Run the benchmark; 0 when every message was delivered exactly once, whatever the figures."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder.resolve()))
    try:
        _raise_file_limit(max(options.idle + idle.FIRST, 2 * options.pairs))
        run = uvloop.run(measure(options, folder))
    except BenchError as error:
        print(f"\n{error}\nThe data and the server's log are kept in {folder}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        return 130
    shutil.rmtree(folder)
    print(report.markdown(run))
    if options.json:
        options.json.write_text(report.as_json(run), encoding="utf-8")
    if options.write_docs:
        report.write_docs(PAGE, run)
    return 1 if run.lost_or_twice else 0


async def measure(options: argparse.Namespace, folder: Path) -> report.Run:
    """Sign up, let pairs write, restart and count idle memory; profile last, since it slows what it sees."""
    quiet = options.idle + idle.FIRST if options.idle else 0
    async with running(folder / "node") as node:
        people = await _sign_up(node, 2 * options.pairs + quiet)
        phases = await _phases(node, people[quiet:], options)
    run = report.Run(
        machine=proc.machine(),
        filesystem=proc.filesystem(folder),
        revision=pages.revision(),
        command=" ".join(["python -m bench", *sys.argv[1:]]),
        pairs=options.pairs,
        phases=phases,
        echo_us=await _yardstick(),
    )
    if options.idle:
        async with running(folder / "node") as node:
            run = replace(
                run, idle=await idle.measure(node, people[:quiet], _progress("idle connections", quiet))
            )
    if options.profile or options.write_docs:
        phase, profile = await _profile(folder / "profiled", options)
        run = replace(run, profiled=phase, profile=profile)
    return run


async def _yardstick() -> float:
    pages.say(f"yardstick: {echo.WARM_UP_S:g} + {echo.WINDOW_S:g} s")
    return await echo.measure()


async def _sign_up(node: Node, count: int) -> list[Person]:
    return await sign_up_all(node, count, _progress("signing up", count))


async def _phases(node: Node, people: list[Person], options: argparse.Namespace) -> list[Phase]:
    done = []
    async with pairs(node, people) as everybody:
        for count in options.in_flight:
            pages.say(
                f"{options.pairs} pairs, {count} in flight: {options.warm_up:g} + {options.seconds:g} s"
            )
            done.append(
                await run_phase(node, everybody, count, warm_up_s=options.warm_up, window_s=options.seconds)
            )
            await asyncio.sleep(QUIET_S)
    return done


async def _profile(folder: Path, options: argparse.Namespace) -> tuple[Phase, dict[str, Any]]:
    output = folder / "profile.json"
    in_flight = report.GOAL_IN_FLIGHT if report.GOAL_IN_FLIGHT in options.in_flight else options.in_flight[0]
    sampler = (sys.executable, "-m", "bench.sampler", str(output))
    async with (
        running(folder, under=sampler) as node,
        pairs(node, await _sign_up(node, 2 * options.pairs)) as everybody,
    ):
        pages.say(
            f"profile at {in_flight} in flight: {options.seconds:g} s, every {EVERY_S * 1e3:g} ms of CPU"
        )
        phase = await run_phase(
            node,
            everybody,
            in_flight,
            warm_up_s=options.warm_up,
            window_s=options.seconds,
            around=lambda: node.signal(signal.SIGUSR2),
        )
    return phase, json.loads(output.read_text(encoding="utf-8"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure the server: throughput, latency, CPU per message, idle memory.",
    )
    parser.add_argument("--pairs", type=int, default=50, help="pairs of people who write (50)")
    parser.add_argument(
        "--in-flight",
        type=lambda text: [int(part) for part in text.split(",")],
        default=[1, 8, 32],
        help="messages in flight per pair, one phase each (1,8,32)",
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measurement (10)")
    parser.add_argument("--warm-up", type=float, default=3.0, help="seconds before each measurement (3)")
    parser.add_argument(
        "--idle", type=int, default=2000, help="idle connections to measure; 0 leaves that out (2000)"
    )
    parser.add_argument("--profile", action="store_true", help="then run once more under the profiler")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument(
        "--write-docs", action="store_true", help="profile too, and put all into docs/performance.md"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=pages.ROOT / "var",
        help="where the server's data goes for the run: a real disk (var)",
    )
    options = parser.parse_args()
    if options.pairs < 1 or min(options.in_flight) < 1 or options.seconds <= 0 or options.idle < 0:
        parser.error("--pairs, --in-flight and --seconds must be positive")
    options.folder.mkdir(parents=True, exist_ok=True)
    return options


def _raise_file_limit(connections: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 500
    if soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise BenchError(
                f"{wanted} open files are needed but {hard} allowed: raise `ulimit -Hn` or lower --idle."
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))  # the server inherits it


def _progress(label: str, total: int) -> Callable[[int], None]:
    def show(done: int) -> None:
        if done % 250 == 0 or done == total:
            pages.say(f"{label}: {done} of {total}")

    return show


if __name__ == "__main__":
    sys.exit(main())
