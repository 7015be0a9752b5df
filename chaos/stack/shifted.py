"""The `chappe` command under a wrong wall clock: `python shifted.py SECONDS serve ...`.

Used by the clock test in place of libfaketime, which not every machine has. The clock is replaced before
anything of Chappe is imported; monotonic clocks, and so all timeouts, stay true, as they do when an
administrator sets the time.
"""

from __future__ import annotations

import sys
import time


def shift(seconds: float) -> None:
    true_s, true_ns = time.time, time.time_ns
    time.time = lambda: true_s() + seconds
    time.time_ns = lambda: true_ns() + int(seconds * 1e9)


if __name__ == "__main__":
    shift(float(sys.argv.pop(1)))
    from chappe.cli.main import run

    run()
