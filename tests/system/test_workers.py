"""`chappe serve --workers 2` on real PostgreSQL, Redis and Cassandra: two processes, one port, nothing lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import trio

from chaos.people.crowd import Habits, crowd
from chaos.stack.node import READY_S, Node, until
from chappe.protocol.codes import CloseCode
from tests.chappe.fleet.fleets import is_alive, until_gone
from tests.chappe.gateway.raw import Person, connected, message, receive, register, send, signed_in
from tests.system.workers import Codes, Port, config, counted, labels, online, ready, server, services

__all__ = ["config", "server", "services"]

pytestmark = [pytest.mark.system, pytest.mark.slow]


async def test_the_sums_over_all_targets_are_right(server: Node) -> None:
    node: Any = Port(server.port)
    ann, ben = Person("ann", "+4915112345678"), Person("ben", "+4915112345679")
    for person in (ann, ben):
        await register(node, person, Codes(server))
    sent = 0
    async with signed_in(node, ann) as a:
        conv = await a.open(ben)
        with trio.fail_after(READY_S):
            while True:
                async with signed_in(node, ben) as b:
                    apart = await trio.to_thread.run_sync(online, server)
                    ids = {(await send(a, message(conv, ben.device))).id for _ in range(5)}
                    sent += 5
                    while ids:  # what came before comes once more, and is not timed again
                        [event] = await receive(b)
                        ids.discard(event.id)
                if sorted(apart.values()) == [1.0, 1.0]:  # the kernel chose: these went over the bus
                    break

        def total(sample: str) -> float:
            return sum(counted(server, sample).values())

        await until(lambda: total("chappe_end_to_end_seconds_count") == sent, "all was acknowledged")
        for sample in (
            'chappe_sends_total{outcome="ok"}',
            "chappe_send_seconds_count",
            "chappe_delivery_seconds_count",
            "chappe_messages_stored_total",
        ):
            assert await trio.to_thread.run_sync(total, sample) == sent, sample
        assert await trio.to_thread.run_sync(total, "chappe_delivery_seconds_sum") < 5.0 * sent
        by_worker = await trio.to_thread.run_sync(counted, server, 'chappe_sends_total{outcome="ok"}')
    assert sorted(by_worker.values()) == [0.0, sent]  # those of the worker that has ann
    assert labels(server) == [
        {"node": server.folder.name, "worker": worker} for worker in ("parent", "worker-1", "worker-2")
    ]


async def test_workers_die_freeze_and_are_replaced_and_nothing_is_lost(
    server: Node, tmp_path: Path, seed: int
) -> None:
    async with crowd(server, tmp_path, {"alice": 2, "bob": 1}, Habits(seed, per_s=3.0)) as people:
        await people.chat(20)
        first = server.workers()
        os.kill(first["worker-1"], signal.SIGKILL)
        await people.chat(20)
        await ready(server)
        second = server.workers()
        assert (second["worker-2"], second["worker-1"] != first["worker-1"]) == (first["worker-2"], True)
        os.kill(second["worker-2"], signal.SIGSTOP)  # who is connected there is looked for elsewhere
        await until_gone(second["worker-2"])
        await ready(server)
        third = server.workers()
        assert server.process is not None
        server.process.send_signal(signal.SIGHUP)
        await people.chat(20)
        await until_gone(*third.values())
        await ready(server)
        await people.chat(5)
        verdict = await people.verdict()
    assert verdict.is_kept, verdict.to_text()
    assert verdict.acknowledged >= 60


async def test_a_stop_drains_all_workers_and_ends_with_0(server: Node, tmp_path: Path, seed: int) -> None:
    async with crowd(server, tmp_path, {"alice": 1, "bob": 1}, Habits(seed, per_s=3.0)) as people:
        await people.chat(10)
        pids = server.workers()
        assert await server.stop() == 0
        assert not any(map(is_alive, pids.values()))
        stopped = [
            line["worker"] for line in server.events() if line["event"] == "stopped" and "worker" in line
        ]
        assert sorted(stopped) == sorted(pids)
        await server.start()
        await ready(server)
        await people.chat(5)
        verdict = await people.verdict()
    assert verdict.is_kept, verdict.to_text()


async def test_workers_end_with_their_parent(server: Node) -> None:
    pids = server.workers()
    assert server.process is not None
    server.process.kill()  # and nobody else
    await server.process.wait()
    await until_gone(*pids.values())
    gone = [line for line in server.events() if line["event"] == "parent_gone"]
    assert sorted(line["worker"] for line in gone) == sorted(pids)


async def test_the_newer_connection_wins_whichever_worker_has_it(server: Node) -> None:
    node: Any = Port(server.port)
    person = Person("ann", "+4915112345678")
    await register(node, person, Codes(server))
    with trio.fail_after(READY_S):
        while True:
            async with signed_in(node, person) as older:
                before = await trio.to_thread.run_sync(online, server)
                async with connected(node) as newer:
                    await newer.hello(person)
                    assert (await older.closed())[0] == CloseCode.REPLACED
                    after = await trio.to_thread.run_sync(online, server)
            if before != after:  # the kernel chose another worker
                break
    assert [sorted(found.values()) for found in (before, after)] == [[0.0, 1.0]] * 2


async def test_secrets_are_not_for_all_to_see(server: Node) -> None:
    secret = server.config.read_text().partition('users_url = "')[2].partition('"')[0]
    pids = [server.pid, *server.workers().values()]
    shown = [
        file.read_text()
        for pid in pids
        for file in map(Path(f"/proc/{pid}").joinpath, ("cmdline", "environ"))
    ]
    assert (len(shown), any(secret in text for text in shown)) == (6, False)
