"""A profiler for the server's event loop: `python -m bench.sampler OUTPUT serve ...` for `chappe serve ...`.

`__main__` does so for `--profile`. SIGUSR2 starts the sampling, a second one stops it and writes OUTPUT
(JSON). While it samples, a timer on the main thread's own CPU clock (timer_create(2)) raises SIGPROF; the
handler books the CPU time since the last one on the function that is running. C code (sockets, msgspec)
counts for the line that called it. The garbage collector runs inside whatever allocates: it is booked on its
own.

cProfile was tried first: its cost per call doubles the time of small functions, so it blames the wrong ones.
The usual ITIMER_PROF also ticks for the log writer's CPU, which samples the main thread where it waits.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from types import FrameType
from typing import ClassVar, Final

EVERY_S: Final = 0.002
"""Kernels without high-resolution CPU timers round it up to their tick, often 4 ms."""

_COLLECTOR: Final = ("(garbage collector)", "")

_libc = ctypes.CDLL(None, use_errno=True)


class _SignalEvent(ctypes.Structure):
    _fields_: ClassVar = [
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_char * 48),
    ]


class _Timer:
    """Raises SIGPROF after every so many seconds of this thread's CPU time. See timer_create(2)."""

    def __init__(self) -> None:
        self._id = ctypes.c_void_p()
        event = _SignalEvent(signal=signal.SIGPROF, notify=0)
        _check(_libc.timer_create(time.CLOCK_THREAD_CPUTIME_ID, ctypes.byref(event), ctypes.byref(self._id)))

    def set(self, every_s: float) -> None:
        """Start, or stop with 0."""
        ns = round(every_s * 1e9)
        interval_and_first = (ctypes.c_long * 4)(0, ns, 0, ns)
        _check(_libc.timer_settime(self._id, 0, interval_and_first, None))


class Sampler:
    """Adds up the main thread's CPU time by function and by line. Use from the main thread only."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._timer = _Timer()
        self._thread = threading.get_ident()
        self._is_running = False
        self._wakeup_fd = -1
        self._last = 0.0
        self._collection_began = 0.0
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
            # Otherwise every sample would also wake trio's loop, for nothing.
            self._wakeup_fd = signal.set_wakeup_fd(-1)
            gc.callbacks.append(self._collected)
            self._last = time.thread_time()
            self._timer.set(EVERY_S)
        else:
            self._timer.set(0)
            gc.callbacks.remove(self._collected)
            signal.set_wakeup_fd(self._wakeup_fd)
            self._write()

    def _sample(self, _number: int, frame: FrameType | None) -> None:
        if frame is None or frame.f_code is Sampler._collected.__code__:
            return  # the timer rang during a collection: the next sample gets what came before it
        now = time.thread_time()
        weight, self._last = now - self._last, now
        self._total += weight
        code = frame.f_code
        self._own[code.co_qualname, code.co_filename] += weight
        line = frame.f_lineno or code.co_firstlineno  # None on what the compiler added
        self._lines[code.co_qualname, code.co_filename, line] += weight
        seen = set()
        walk: FrameType | None = frame
        while walk is not None:
            code = walk.f_code
            seen.add((code.co_qualname, code.co_filename))
            walk = walk.f_back
        for function in seen:
            self._below[function] += weight

    def _collected(self, phase: str, _info: dict[str, int]) -> None:
        if threading.get_ident() != self._thread:
            return
        now = time.thread_time()
        if phase == "start":
            self._collection_began = now
        else:
            took = now - self._collection_began
            self._own[_COLLECTOR] += took
            self._total += took
            self._last += took

    def _write(self) -> None:
        def ranked(
            times: dict[tuple[str, str], float] | dict[tuple[str, str, int], float],
        ) -> list[list[object]]:
            return [[*where, seconds] for where, seconds in sorted(times.items(), key=lambda item: -item[1])]

        profile = {
            "total_s": self._total,
            "own": ranked(self._own),
            "lines": ranked(self._lines),
            "below": ranked(self._below),
        }
        self._output.write_text(json.dumps(profile), encoding="utf-8")


def main() -> None:
    """Start the command line with the sampler in place."""
    output, *arguments = sys.argv[1:]
    Sampler(Path(output)).install()
    sys.argv = ["chappe", *arguments]
    from chappe.cli.main import run  # noqa: PLC0415  # only a profiled server needs it, not the importer

    run()


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    main()
