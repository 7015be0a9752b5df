"""The readings of /proc agree with what a process did."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from bench import proc

ROUNDED_S = 1.1 * proc.ROUNDING_S  # of two readings, and of float


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_cpu_tells_the_main_thread_from_others() -> None:
    before = proc.cpu(os.getpid())
    burn(0.2)
    alone = proc.cpu(os.getpid()).since(before)
    other = threading.Thread(target=burn, args=(0.2,))
    other.start()
    other.join()
    both = proc.cpu(os.getpid()).since(before)
    assert 0.15 <= alone.main_s < alone.whole_s + ROUNDED_S
    assert both.whole_s - both.main_s >= 0.15
    assert both.main_s - alone.main_s <= 0.1


def test_cpu_of_a_process_with_a_confusing_name(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("7 (a) R b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 100")
    assert proc._cpu_s(stat) == 300 / os.sysconf("SC_CLK_TCK")


def test_memory_grows_with_what_is_touched() -> None:
    before = proc.memory(os.getpid())
    held = bytearray(os.urandom(1)) * (50 * 2**20)
    after = proc.memory(os.getpid())
    assert len(held) == 50 * 2**20
    assert after.rss - before.rss >= 40 * 2**20
    assert after.pss - before.pss >= 40 * 2**20


def test_filesystem_is_that_of_the_nearest_mount() -> None:
    assert proc.filesystem(Path("/proc/self")) == "proc"


def test_machine_names_cores_and_python() -> None:
    assert f"{os.cpu_count()} cores" in proc.machine()
