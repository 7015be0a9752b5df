"""The gateway for blocking drivers: few at a time, each with a deadline."""

from __future__ import annotations

import threading

import pytest
import trio

from chappe.stores.threads import Threads


async def test_the_answer_and_the_error_come_through() -> None:
    threads = Threads(2, 5.0)
    assert await threads.run(pow, 2, 10) == 1024
    with pytest.raises(ZeroDivisionError):
        await threads.run(divmod, 1, 0)


async def test_no_more_run_at_once_than_allowed() -> None:
    threads, lock, running, most = Threads(2, 5.0), threading.Lock(), 0, 0
    both = threading.Barrier(2)

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait(5)
        with lock:
            running -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(threads.run, work)
    assert most == 2


async def test_a_call_past_its_deadline_is_given_up_and_keeps_its_place() -> None:
    threads, free, done = Threads(1, 0.05), threading.Event(), []
    with pytest.raises(trio.TooSlowError):
        await threads.run(free.wait, 10)
    with pytest.raises(trio.TooSlowError):  # the only place is still taken
        await threads.run(done.append, "too early")
    assert not await threads.drain()
    free.set()
    assert await Threads(1, 5.0).run(done.append, "other threads are not concerned") is None
    assert done == ["other threads are not concerned"]


async def test_draining_waits_for_work_that_was_given_up() -> None:
    threads, started, free, done = Threads(1, 5.0), threading.Event(), threading.Event(), []

    def work() -> None:
        started.set()
        free.wait(5)
        done.append("work")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(threads.run, work)
        await trio.to_thread.run_sync(started.wait, 5)
        nursery.cancel_scope.cancel()
    assert done == []
    threading.Timer(0.02, free.set).start()
    assert await threads.drain()
    assert done == ["work"]
