"""What one stored row costs a gateway in CPU, with Cassandra as the store: the driver, the bridge and the adapter.

`python bench/cassandra_append.py [--hosts 127.0.0.1] [--seconds 5]`: messages of 150 bytes with one wrap of 100, each
two rows (chat log, inbox), go through the real `append()` of a store on the keyspace `chappe_bench`, which is made and
emptied first. `in flight 8` is what a log writer makes of eight senders that each wait for their answer: batches of
eight, one after the other. Rows of indexes, and the one of the newest id, are not counted as rows, but their cost is.
The CPU is this process's, with all of its threads and the loop of the benchmark; Cassandra's is not in it.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import trio

from chappe.domain.messages import StoredMessage
from chappe.ids import Cid, ConversationId, DeviceId, HybridClock, UserId
from chappe.protocol.frames import Kind
from chappe.settings import Cassandra
from chappe.stores.cassandra.messages import CassandraMessageStore, Options, open_message_store
from chappe.stores.cassandra.migrate import migrate
from chappe.stores.cassandra.session import close, connect
from chappe.stores.threads import SWITCH_INTERVAL_S

IN_FLIGHT = (1, 8, 64, 256)
ROWS_PER_MESSAGE = 2
PAIRS = 100


def now_ms() -> int:
    """Return the wall clock in milliseconds."""
    return time.time_ns() // 1_000_000


def maker() -> Callable[[int], list[StoredMessage]]:
    """Return a function that makes so many messages of random people to their one partner each, in id order."""
    clock = HybridClock(now_ms, node=1)
    pairs = [(os.urandom(16), os.urandom(16), os.urandom(16), os.urandom(16)) for _ in range(PAIRS)]
    number = 0

    def make(count: int) -> list[StoredMessage]:
        nonlocal number
        made = []
        for _ in range(count):
            number += 1
            conv, sender, device, other = pairs[number % PAIRS]
            made.append(
                StoredMessage(
                    clock.next(), ConversationId(conv), Kind.MESSAGE, UserId(sender), DeviceId(device),
                    Cid(os.urandom(16)), None, bytes(150), {DeviceId(other): bytes(100)},
                )
            )  # fmt: skip
        return made

    return make


def cpu_s() -> float:
    """Return the CPU seconds that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measure(store: CassandraMessageStore, batch: int, seconds: float) -> str:
    """Append batches of this size one after the other; return a line for the table."""
    make = maker()
    for _ in range(20):
        await store.append(make(batch), [])
    making = cpu_s()
    for _ in range(50):
        make(batch)
    making = (cpu_s() - making) / (50 * batch)
    waits = []
    start, start_cpu, count = time.perf_counter(), cpu_s(), 0
    while (before := time.perf_counter()) - start < seconds:
        await store.append(make(batch), [])
        waits.append(time.perf_counter() - before)
        count += batch
    used, took = cpu_s() - start_cpu - making * count, time.perf_counter() - start
    waits.sort()
    rows = count * ROWS_PER_MESSAGE
    middle, late = waits[len(waits) // 2] * 1e3, waits[len(waits) * 99 // 100] * 1e3
    return f"{batch:9} {count / took:10,.0f} {used / rows * 1e6:10.1f} {middle:9.2f} {late:9.2f}"


async def main(options: argparse.Namespace) -> None:
    """Prepare the keyspace, print the table."""
    settings = Cassandra(
        hosts=tuple(options.hosts.split(",")),
        keyspace="chappe_bench",
        datacenter=options.datacenter,
        replicas=options.replicas,
    )
    await migrate(settings)
    await trio.to_thread.run_sync(empty, settings)
    print("in flight messages/s CPU us/row    p50 ms    p99 ms")
    async with open_message_store(settings, now_ms, replace(Options(), write_deadline_ms=60_000)) as store:
        for batch in map(int, options.in_flight.split(",")):
            print(await measure(store, batch, options.seconds), flush=True)


def empty(settings: Cassandra) -> None:
    """Throw away what an earlier run left."""
    session = connect(settings, settings.keyspace)
    for table in ("chatlog", "chatlog_buckets", "inbox", "inbox_days", "receipts", "newest"):
        session.execute(f"TRUNCATE {table}", timeout=60)
    close(session)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--hosts", default="127.0.0.1", help="addresses, with commas between")
    parser.add_argument(
        "--replicas", type=int, default=1, help="replication of the keyspace, when it is made (1)"
    )
    parser.add_argument("--datacenter", default=Cassandra().datacenter)
    parser.add_argument("--in-flight", default=",".join(map(str, IN_FLIGHT)), help="batch sizes")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement (5)")
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    trio.run(main, parser.parse_args())
