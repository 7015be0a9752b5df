"""What one stored message costs the embedded store: CPU, wall time and fsyncs, by batch size.

`python bench/log_append.py [--busy] [--receipts] [--people N] [FOLDER]`: messages of 150 bytes with one wrap
of 100 go through the real `append()`; `--busy` keeps the trio thread computing meanwhile, as a loaded gateway
would, and `--receipts` adds two watermarks to each message. Put FOLDER on the disk that matters. fsyncs are
counted by strace, in a second run, where it is installed.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trio

from chappe.domain.messages import StoredMessage, Watermark
from chappe.ids import Cid, ConversationId, DeviceId, HybridClock, UserId
from chappe.protocol.frames import Kind
from chappe.stores.sqlite.messages import open_message_store
from chappe.stores.threads import SWITCH_INTERVAL_S

BATCHES = (1, 8, 64, 256)


def messages(count: int, people: int) -> list[StoredMessage]:
    """Return messages of random people to their one partner each, in id order."""
    clock = HybridClock(lambda: time.time_ns() // 1_000_000, node=1)
    pairs = [(os.urandom(16), os.urandom(16), os.urandom(16)) for _ in range(people)]
    made = []
    for n in range(count):
        conv, sender, device = pairs[n * 7919 % people]
        recipient = DeviceId(pairs[(n * 7919 + 1) % people][2])
        made.append(
            StoredMessage(
                clock.next(), ConversationId(conv), Kind.MESSAGE, UserId(sender), DeviceId(device),
                Cid(os.urandom(16)), None, os.urandom(150), {recipient: os.urandom(100)},
            )
        )  # fmt: skip
    return made


def cpu_s() -> float:
    """Return the CPU seconds that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def compute() -> None:
    """Keep the interpreter busy, giving way as often as a gateway does."""
    while True:
        sum(range(20_000))
        await trio.lowlevel.checkpoint()


async def measure(folder: Path, batch: int, options: argparse.Namespace) -> str:
    """Append in batches of this size; return a line for the table."""
    count = batch * max(40, min(400, 20_000 // batch))
    stored = messages(count, options.people)
    batches = [stored[n : n + batch] for n in range(0, count, batch)]
    waits = []
    async with open_message_store(folder / f"log-{batch}.sqlite3") as store, trio.open_nursery() as nursery:
        if options.busy:
            nursery.start_soon(compute)
        start, start_cpu = time.perf_counter(), cpu_s()
        for part in batches:
            before = time.perf_counter()
            marks = [
                Watermark(m.conv, m.sender, m.id, m.id) for m in part for _ in range(2 * options.receipts)
            ]
            await store.append(part, marks)
            waits.append(time.perf_counter() - before)
        used, took = cpu_s() - start_cpu, time.perf_counter() - start
        nursery.cancel_scope.cancel()
    cpu = "      -" if options.busy else f"{used / count * 1e6:7.1f}"
    waits.sort()
    middle, late = waits[len(waits) // 2] * 1e3, waits[len(waits) * 99 // 100] * 1e3
    return f"{batch:5} {count / took:10,.0f} {cpu} {middle:9.2f} {late:9.2f}"


def count_fsyncs(batch: int, options: argparse.Namespace) -> str:
    """Return how many times an append waited for the disk, from a run of its own under strace."""
    if shutil.which("strace") is None:
        return "-"
    again = [
        sys.executable,
        __file__,
        "--only",
        str(batch),
        "--people",
        str(options.people),
        str(options.folder),
    ]
    counted = subprocess.run(
        ["strace", "-f", "-c", "-e", "trace=fsync,fdatasync", *again, *(["--receipts"] if options.receipts
        else [])], capture_output=True, text=True, check=True,
    )  # fmt: skip
    calls = sum(
        int(line.split()[3]) for line in counted.stderr.splitlines() if re.search(r" f(data)?sync$", line)
    )
    return f"{calls / max(40, min(400, 20_000 // batch)):.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(tempfile.gettempdir()))
    parser.add_argument("--busy", action="store_true", help="keep the trio thread computing meanwhile")
    parser.add_argument("--receipts", action="store_true", help="add two watermarks to each message")
    parser.add_argument("--people", type=int, default=100, help="how many people write to each other")
    parser.add_argument("--only", type=int, help="one batch size, without counting fsyncs")
    options = parser.parse_args()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    print("batch messages/s CPU us/msg p50 ms    p99 ms fsyncs/append")
    for batch in BATCHES if options.only is None else (options.only,):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            line = trio.run(measure, Path(folder), batch, options)
        print(line, "" if options.only else f"{count_fsyncs(batch, options):>9}", flush=True)


if __name__ == "__main__":
    main()
