"""`python -m bench.supervisors`: measures, checks, prints; `_measured` has the order."""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bench import pages, proc
from bench.errors import BenchError

from . import report
from .cases import CASES
from .figures import Run
from .runs import Result, compile_erl, run

TRACED_MOST: Final = 10_000
"""Tracing memory is slow, and bytes per child do not change with their number."""


def main() -> int:
    """Run the benchmark; 0 when every case ran, whatever the figures."""
    options = _options()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-supervisors-") as folder:
            measured = _measured(options, Path(folder))
        if options.write:
            report.write(options.write, measured)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    print(report.markdown(measured))
    if options.json:
        options.json.write_text(report.as_json(measured), encoding="utf-8")
    return 0


def _measured(options: argparse.Namespace, folder: Path) -> Run:
    """Run all cases, each in a process of its own, in rounds, forwards and backwards in turn; then trace memory."""
    erl = None if options.no_erl else compile_erl(folder)
    wanted = [case for case in CASES if erl is not None or not case.is_erl]
    rounds: list[list[Result]] = []
    for number in range(options.rounds):
        results = []
        for count in options.children:
            for case in wanted if number % 2 == 0 else reversed(wanted):
                if case.most is None or count <= case.most:
                    pages.say(f"round {number + 1} of {options.rounds}: {count:,} x {case.label}")
                    results.append(run(case, count, folder))
        rounds.append(results)
    most = min(TRACED_MOST, max(options.children))
    traced = []
    for case in wanted:
        if not case.is_erl and case.has_gc:
            pages.say(f"memory: {most:,} x {case.label}")
            traced.append(run(case, most, folder, trace=True))
    return Run(
        machine=f"{proc.machine()}, trio {version('trio')}",
        revision=pages.revision(),
        command=_command(options),
        erl=erl,
        rounds=rounds,
        traced=traced,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.supervisors",
        description="Measure what a supervised child costs beside a bare trio task and beside Erlang/OTP.",
    )
    parser.add_argument(
        "--children",
        type=lambda text: [int(part) for part in text.split(",")],
        default=[1_000, 10_000, 100_000],
        help="how many children, one measurement each (1000,10000,100000)",
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often, for medians (3)")
    parser.add_argument("--no-erl", action="store_true", help="leave Erlang out even if it is there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument(
        "--write", type=Path, metavar="PAGE", help="put the report into PAGE, between its markers"
    )
    options = parser.parse_args()
    if min(options.children) < 1 or options.rounds < 1:
        parser.error("--children and --rounds must be positive")
    return options


def _command(options: argparse.Namespace) -> str:
    """Return the command that gives such figures, without where they went."""
    counts = ",".join(str(count) for count in options.children)
    return f"python -m bench.supervisors --children {counts} --rounds {options.rounds}" + (
        " --no-erl" if options.no_erl else ""
    )


if __name__ == "__main__":
    sys.exit(main())
