"""The oracle by hand: `python -m tests.oracle --scripts 50000 --seed 7`.

The exit code is 0 if both sides did the same, 1 if not, 2 if it cannot run. Progress goes to stderr.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from .compare import compare, shortest
from .generate import script
from .theirs import Erl, ErlDied, NoErl

BATCH = 250


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare until the scripts, or the minutes, are used up, or a difference is found."""
    options = _options(arguments)
    began_s = time.monotonic()
    done = 0
    try:
        with Erl() as erl:
            while done < options.scripts and time.monotonic() - began_s < options.minutes * 60:
                numbers = range(done, min(done + BATCH, options.scripts))
                scripts = [script(options.seed, number) for number in numbers]
                found = compare(erl, scripts)
                if found:
                    where = f"scripts {numbers[0]} to {numbers[-1]} of seed {options.seed}"
                    print(f"Difference in {where}, at its shortest:\n")
                    print(shortest(erl, found[0]))
                    return 1
                done = numbers[-1] + 1
                print(f"{done} scripts, {done / (time.monotonic() - began_s):.0f} a second", file=sys.stderr)
    except (NoErl, ErlDied) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{done} scripts of seed {options.seed}: no difference.")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.oracle",
        description="Play generated scripts on this library and on Erlang/OTP's supervisor, and compare.",
        epilog="Exit codes: 0 no difference, 1 a difference (printed at its shortest), 2 cannot run.",
    )
    parser.add_argument("--scripts", type=int, default=2000, help="how many (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (default: 0)")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop after so many (default: never)"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
