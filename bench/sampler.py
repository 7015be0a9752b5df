"""A profiler for the server's event loop: run `python -m bench.sampler OUTPUT serve ...` in place of `chappe
serve ...`.

`__main__` does so for `--profile`. SIGUSR2 starts the sampling, a second one stops it and writes OUTPUT
(JSON). While it samples, SIGPROF comes after every two milliseconds of CPU time of the process; its
handler, which Python runs in the main thread, books the CPU time that the main thread used since the last
one on the function that is running. C code (sockets, msgspec, SQLite) counts for the line that called it.
cProfile was tried first: its cost per call doubles the time of small functions, so it blames the wrong
ones; py-spy cannot tell a thread's waiting from its work as exactly.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from types import FrameType
from typing import Final

EVERY_S: Final = 0.002


class Sampler:
    """Adds up the main thread's CPU time by function and by line. Use from the main thread only."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._is_running = False
        self._last = 0.0
        self._total = 0.0
        self._own: dict[tuple[str, str], float] = defaultdict(float)
        self._lines: dict[tuple[str, str, int], float] = defaultdict(float)
        self._below: dict[tuple[str, str], float] = defaultdict(float)

    def install(self) -> None:
        """Wait for the signals."""
        signal.signal(signal.SIGPROF, self._sample)
        signal.signal(signal.SIGUSR2, self._toggle)

    def _toggle(self, _number: int, _frame: FrameType | None) -> None:
        self._is_running = not self._is_running
        if self._is_running:
            self._last = time.thread_time()
            signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
        else:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self._write()

    def _sample(self, _number: int, frame: FrameType | None) -> None:
        now = time.thread_time()
        weight, self._last = now - self._last, now
        self._total += weight
        if frame is None:
            return
        code = frame.f_code
        self._own[code.co_qualname, code.co_filename] += weight
        self._lines[code.co_qualname, code.co_filename, frame.f_lineno] += weight
        seen = set()
        walk: FrameType | None = frame
        while walk is not None:
            code = walk.f_code
            seen.add((code.co_qualname, code.co_filename))
            walk = walk.f_back
        for function in seen:
            self._below[function] += weight

    def _write(self) -> None:
        def ranked(
            times: dict[tuple[str, str], float] | dict[tuple[str, str, int], float],
        ) -> list[list[object]]:
            rows = sorted(times.items(), key=lambda item: -item[1])
            return [[*where, seconds] for where, seconds in rows]

        profile = {
            "total_s": self._total,
            "own": ranked(self._own),
            "lines": ranked(self._lines),
            "below": ranked(self._below),
        }
        unfinished = self._output.with_suffix(".part")
        unfinished.write_text(json.dumps(profile), encoding="utf-8")
        unfinished.rename(self._output)


def main() -> None:
    """Start the command line with the sampler in place."""
    output, *arguments = sys.argv[1:]
    Sampler(Path(output)).install()
    sys.argv = ["chappe", *arguments]
    from chappe.cli.main import run  # noqa: PLC0415  # after the sampler: importing is part of the start, not of this module

    run()


if __name__ == "__main__":
    main()
