"""CPU time and memory of a process, from /proc: what the kernel says, not what the process thinks.

`traffic` and `idle` read the server's figures before and after a window. Source: proc(5).
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
ROUNDING_S = 4 / _TICKS_PER_S
"""How far `Cpu.since` may be off: user and system, earlier and now, are each cut to ticks by themselves."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds (user and system) so far: all threads, ended ones too, and the main thread alone."""

    whole_s: float
    main_s: float

    def since(self, earlier: Cpu) -> Cpu:
        """Return what was used after `earlier`."""
        return Cpu(self.whole_s - earlier.whole_s, self.main_s - earlier.main_s)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. `rss` counts shared pages fully, `pss` in proportion to how many share them."""

    rss: int
    pss: int


def cpu(pid: int) -> Cpu:
    """Return the CPU time of a process; the main thread of a server runs its event loop."""
    return Cpu(_cpu_s(Path(f"/proc/{pid}/stat")), _cpu_s(Path(f"/proc/{pid}/task/{pid}/stat")))


def family_s(pid: int) -> float:
    """Return the CPU seconds of a process and all that descends from it, ended children included."""
    fields = _fields(Path(f"/proc/{pid}/stat"))
    own = sum(map(int, fields[11:15])) / _TICKS_PER_S  # utime, stime, and both of those it has waited for
    return own + sum(map(family_s, _children(pid)))


def _children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text(encoding="ascii").split()
    ]


def memory(pid: int) -> Memory:
    """Return the memory of a process."""
    fields: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, amount, _unit = line.split()
        fields[name] = int(amount) * 1024
    return Memory(rss=fields["Rss:"], pss=fields["Pss:"])


def filesystem(path: Path) -> str:
    """Return the type of the file system of an absolute path; a tmpfs would not be durable."""
    best, kind = "", "unknown"
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _device, mount, fs_type, *_ = line.split()
        if path.is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, fs_type
    return kind


def machine() -> str:
    """Return one line about this machine."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{model}, {os.cpu_count()} cores, {gib:.0f} GiB, Linux {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}"
    )


def _fields(stat: Path) -> list[str]:
    # The second field, the name, may hold spaces and parentheses: count from the last one.
    return stat.read_text(encoding="utf-8").rpartition(")")[2].split()


def _cpu_s(stat: Path) -> float:
    fields = _fields(stat)
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
