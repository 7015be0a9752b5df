"""Runs one case in a fresh process and takes its figures from outside: CPU time from the process's own clock, which
counts in nanoseconds, and resident memory from /proc.

`__main__` calls it. Both sides speak the protocol of `worker`. CPU time and not the time on the wall, since other
programs share the machine.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import proc
from bench.errors import BenchError

from .cases import Case
from .worker import CRASHES, WARM_UP

ROOT: Final = Path(__file__).parents[2]

ERL_FLAGS: Final = ("+S", "1", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none")
"""One scheduler, as trio has one thread; and none that spins while it waits, which would count as work."""


REPORTS: Final = WARM_UP + CRASHES


@dataclass(frozen=True, slots=True)
class Phase:
    """What a phase used: CPU seconds, `count` times the same work in them, and how much larger the process is after it.

    `allocated` is what the process itself says it allocated: `erlang:memory(total)`, or tracemalloc if that is on.
    """

    count: int
    cpu_s: float
    rss: int
    allocated: int

    @property
    def us(self) -> float:
        """CPU microseconds for each."""
        return self.cpu_s / self.count * 1e6


@dataclass(frozen=True, slots=True)
class Result:
    """One process: its case, with how many children, and its phases by name."""

    case: Case
    count: int
    phases: dict[str, Phase]


def compile_erl(folder: Path) -> str | None:
    """Compile the Erlang side into a folder and return what Erlang this is; None if there is none."""
    erlc, erl = shutil.which("erlc"), shutil.which("erl")
    if erlc is None or erl is None:
        return None
    subprocess.run([erlc, "-o", str(folder), str(Path(__file__).with_name("pool.erl"))], check=True)
    ask = "io:put_chars(erlang:system_info(system_version)), halt()."
    asked = subprocess.run([erl, "-noshell", "-eval", ask], capture_output=True, text=True, check=True)
    return asked.stdout.strip()


def run(case: Case, count: int, folder: Path, *, trace: bool = False) -> Result:
    """Run a case. `folder` holds the compiled Erlang side and gets the logs.

    Raises: `BenchError` when the process ends early.
    """
    log = folder / "log"
    log.unlink(missing_ok=True)
    command = _erl(case, count, folder) if case.is_erl else _python(case, count, folder, trace=trace)
    with (
        (folder / "errors").open("w+") as errors,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        phases = _watch(process)
        if process.wait() != 0 or "stop" not in phases:
            errors.seek(0)
            raise BenchError(f"{case.label} with {count} children ended early:\n{errors.read()}")
    if case.report is not None and log.read_text(encoding="utf-8").count(case.report) != REPORTS:
        raise BenchError(f"{case.label} with {count} children did not report every crash.")
    return Result(case, count, phases)


def _watch(process: subprocess.Popen[str]) -> dict[str, Phase]:
    assert process.stdin is not None
    assert process.stdout is not None
    phases: dict[str, Phase] = {}
    before_s, mark_s = 0.0, math.inf
    before_rss = before_allocated = 0
    for line in process.stdout:
        now_s, now_rss = cpu_s(process.pid), proc.memory(process.pid).rss
        name, count, allocated = line.split()
        if name == "nothing":  # the worker's first few lines, to learn what a line itself costs
            mark_s = min(mark_s, now_s - before_s)
        phases[name] = Phase(
            int(count),
            max(0.0, now_s - before_s - mark_s),
            now_rss - before_rss,
            int(allocated) - before_allocated,
        )
        before_s, before_rss, before_allocated = now_s, now_rss, int(allocated)
        process.stdin.write("\n")
        process.stdin.flush()
    return phases


def cpu_s(pid: int) -> float:
    """Return the CPU time of all threads of a process: `clock_getcpuclockid(3)`, which Python lacks."""
    return time.clock_gettime((~pid << 3) | 2)


def _python(case: Case, count: int, folder: Path, *, trace: bool) -> list[str]:
    flags = [*([] if case.has_gc else ["--no-gc"]), *(["--trace"] if trace else [])]
    return [sys.executable, "-m", "bench.supervisors.worker", case.key, str(count), str(folder), *flags]


def _erl(case: Case, count: int, folder: Path) -> list[str]:
    # OTP's default handler at its default level, to a file as ours.
    handler = f'[{{handler,default,logger_std_h,#{{config=>#{{file=>"{folder / "log"}"}}}}}}]'
    program = shutil.which("erl") or "erl"
    start = ["-run", "pool", "main", case.key, str(count)]
    return [program, *ERL_FLAGS, "-noinput", "-pa", os.fspath(folder), "-kernel", "logger", handler, *start]
