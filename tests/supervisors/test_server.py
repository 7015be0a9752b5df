"""Rule 26 and the rest of a server: typed messages in order, calls that end once, and every way down."""

from __future__ import annotations

import gc
import weakref
from collections import Counter as Tally
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, cast

import mypy.api
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisors import (
    BRUTAL,
    AlreadyRan,
    BadSpec,
    Down,
    DynamicSupervisor,
    Ignore,
    NotRunning,
    OnError,
    Pid,
    Reason,
    Restart,
    StartFailed,
    Supervisor,
    current_pid,
)
from supervisors.calls import CalledItself, CallTimedOut, NoServer, ServerDied, ServerRef
from supervisors.mailbox import MailboxFull, MailboxSpec, Overflow
from supervisors.replies import Reply, ReplyError
from supervisors.server import Server, run_server, server_child

from .lab import Running


class Counter(Server):
    """Counts, slowly if asked, and remembers what it was told."""

    def __init__(self, start: int = 0) -> None:
        self.total = start
        self.seen: list[object] = []
        self.open: list[Reply[int]] = []

    async def add(self, n: int, delay_s: float = 0.0) -> int:
        if delay_s:
            await trio.sleep(delay_s)
        self.total += n
        self.seen.append(n)
        return self.total

    async def crash(self, text: str) -> int:
        raise ValueError(text)

    async def refuse(self) -> int:
        raise ReplyError(LookupError("not here"))

    async def later(self) -> Reply[int]:
        self.open.append(Reply())
        return self.open[-1]

    async def answer(self, n: int) -> None:
        self.open.pop(0).send(n)

    async def ask_itself(self) -> int:
        return await self.ref.call(Counter.add, 1)

    async def quit(self) -> str:
        self.stop()
        return "bye"

    async def handle_info(self, message: object) -> None:
        self.seen.append(message)

    async def everything(self) -> list[object]:
        return self.seen

    def not_async(self) -> None: ...

    async def by_keyword(self, *, n: int) -> None: ...

    async def any_number(self, *numbers: int) -> int:
        return sum(numbers)


async def started(nursery: trio.Nursery, server: Server, **options: Any) -> ServerRef[Any]:
    ref: ServerRef[Any] = await nursery.start(partial(run_server, server, **options))
    return ref


async def end_of(call: Callable[[], Any]) -> object:
    """Return how a call ended: its value, or its error."""
    try:
        return await call()
    except Exception as error:  # noqa: BLE001 - to be looked at
        return error


class Results(dict[str, Any]):
    """Runs calls in tasks, and keeps how each ended and when."""

    def start(self, nursery: trio.Nursery, name: str, call: Callable[[], Any]) -> None:
        async def run() -> None:
            assert name not in self
            result = await end_of(call)
            self[name] = (result, trio.current_time())

        nursery.start_soon(run)


# What a server does


async def test_messages_are_taken_one_at_a_time_and_in_order(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        ref: ServerRef[Counter] = await started(nursery, Counter(10))
        ref.cast(Counter.add, 1, 5.0)
        ref.info("note")
        ref.cast(Counter.add, 2)
        assert await ref.call(Counter.add, 3, timeout_s=6) == 16
        assert await ref.call(Counter.everything) == [1, "note", 2, 3]
        assert await ref.call(Counter.any_number, 1, 2, 3) == 6
        nursery.cancel_scope.cancel()


async def test_a_child_starts_anew_with_its_arguments_and_an_empty_mailbox(
    autojump_clock: MockClock, running: Running
) -> None:
    pool = DynamicSupervisor(name="pool", intensity=5)
    born: list[Counter] = []

    class Born(Counter):
        async def init(self) -> None:
            born.append(self)
            assert self.pid is current_pid()
            await trio.sleep(1)

    async with running(pool):
        ref = (await pool.start_child(server_child(Born, 7, id="counter"))).value
        assert trio.current_time() == 1
        assert await ref.call(Born.add, 1) == 8
        ref.cast(Born.crash, "boom")
        ref.cast(Born.add, 1)
        await trio.sleep(2)
        assert [server.total for server in born] == [8, 7]
        assert not ref.is_alive
        assert (ref.mailbox.lost, ref.pid.mailbox, ref.pid.server) == (1, None, None)
        again = born[1].ref
        assert again.pid.mailbox is again.mailbox
        assert (repr(again), again.mailbox.depth) == (f"<ServerRef of {Born.__qualname__} pool/counter>", 0)
        assert await again.call(Born.add, 1) == 8


async def test_a_server_without_an_id_has_the_name_of_its_class(running: Running) -> None:
    supervisor = Supervisor([server_child(Counter, 1)])
    async with running(supervisor):
        assert [info.id for info in supervisor.which_children()] == ["Counter"]


async def test_ignore_in_init_is_no_error(running: Running) -> None:
    class Nothing(Server):
        async def init(self) -> None:
            raise Ignore

    pool = DynamicSupervisor()
    async with running(pool):
        assert not (await pool.start_child(server_child(Nothing))).is_running


async def test_an_info_that_nobody_handles_is_counted(autojump_clock: MockClock) -> None:
    class Plain(Server):
        async def odd(self) -> int:
            return self.unexpected

    async with trio.open_nursery() as nursery:
        ref = await started(nursery, Plain())
        ref.info("what is this")
        assert await ref.call(Plain.odd) == 1
        nursery.cancel_scope.cancel()


async def test_a_method_is_found_in_the_class_of_the_server(autojump_clock: MockClock) -> None:
    class Double(Counter):
        async def add(self, n: int, delay_s: float = 0.0) -> int:
            return await super().add(2 * n, delay_s)

    async with trio.open_nursery() as nursery:
        ref: ServerRef[Counter] = await started(nursery, Double())
        assert await ref.call(Counter.add, 4) == 8
        nursery.cancel_scope.cancel()


async def test_a_server_of_a_plain_nursery_runs_once_and_crashes_the_nursery(
    autojump_clock: MockClock,
) -> None:
    server = Counter()
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - a nursery is one statement
        async with trio.open_nursery() as nursery:
            ref = await started(nursery, server, name="lonely")
            assert ref.pid.path == ("lonely",)
            ref.cast(Counter.crash, "boom")
    assert caught.group_contains(ValueError, match="boom")
    assert ref.pid.reason is Reason.CRASHED
    with pytest.raises(AlreadyRan):
        await run_server(server)


# Rule 26


async def test_rule_26_a_call_ends_at_once_when_its_server_dies(
    autojump_clock: MockClock, running: Running
) -> None:
    """The one in work, the one in the mailbox, the one in line and the one put off; each knows who died of what."""
    pool, results = DynamicSupervisor(name="pool"), Results()
    async with running(pool) as nursery:
        spec = server_child(Counter, 0, id="c", mailbox=MailboxSpec(1), restart=Restart.TEMPORARY)
        ref: ServerRef[Counter] = (await pool.start_child(spec)).value
        results.start(nursery, "put off", lambda: ref.call(Counter.later, timeout_s=100))
        await wait_all_tasks_blocked()
        ref.cast(Counter.add, 1, 3.0)
        await wait_all_tasks_blocked()
        for name in ("in work", "in the mailbox", "in line"):
            results.start(nursery, name, lambda: ref.call(Counter.crash, "boom", timeout_s=100))
            await wait_all_tasks_blocked()
        assert (ref.mailbox.depth, ref.mailbox.waiting) == (1, 2)
        await trio.sleep(4)
        assert len(results) == 4
        for error, at_s in results.values():
            assert type(error) is ServerDied
            assert at_s == 3
            assert str(error).startswith(
                "Server pool/c has ended (crashed: ValueError: boom) before it answered"
            )
            assert error.pid is ref.pid
        assert ref.mailbox.waiting == 0


async def test_rule_26_a_call_to_a_dead_server_fails_at_once(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        ref = await started(nursery, Counter())
        assert await ref.call(Counter.quit) == "bye"
        await wait_all_tasks_blocked()
        with pytest.raises(NoServer, match=r"Server Counter has ended \(normal\)"):
            await ref.call(Counter.add, 1)
        ref.cast(Counter.add, 1)
        ref.info("x")
        assert ref.mailbox.lost == 2
    assert trio.current_time() == 0


async def test_rule_26_the_time_out_covers_the_wait_for_the_reply(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        ref: ServerRef[Counter] = await started(nursery, Counter())
        with pytest.raises(CallTimedOut, match=r"did not answer Counter.add within 2 s") as caught:
            await ref.call(Counter.add, 1, 3.0, timeout_s=2)
        assert caught.value.was_sent
        assert isinstance(caught.value, trio.TooSlowError)
        assert trio.current_time() == 2
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("overflow", Overflow)
async def test_rule_26_the_time_out_covers_the_wait_for_room(
    autojump_clock: MockClock, overflow: Overflow
) -> None:
    async with trio.open_nursery() as nursery:
        ref: ServerRef[Counter] = await started(nursery, Counter(), mailbox=MailboxSpec(1, overflow))
        ref.cast(Counter.add, 1, 10.0)
        await wait_all_tasks_blocked()
        ref.cast(Counter.add, 2)
        with pytest.raises(CallTimedOut) as caught:
            await ref.call(Counter.add, 4, timeout_s=2)
        assert (caught.value.was_sent, trio.current_time()) == (False, 2)
        assert await ref.call(Counter.everything, timeout_s=20) == [1, 2]  # it never got in
        nursery.cancel_scope.cancel()


async def test_rule_26_room_and_reply_share_one_time_out(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        ref: ServerRef[Counter] = await started(nursery, Counter(), mailbox=MailboxSpec(1))
        ref.cast(Counter.add, 1, 3.0)
        await wait_all_tasks_blocked()
        ref.cast(Counter.add, 1)
        with pytest.raises(CallTimedOut) as caught:
            await ref.call(Counter.add, 1, 3.0, timeout_s=5)
        assert (caught.value.was_sent, trio.current_time()) == (True, 5)
        nursery.cancel_scope.cancel()


async def test_rule_26_a_late_reply_is_dropped_and_harms_nobody(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        ref: ServerRef[Counter] = await started(nursery, Counter())
        with pytest.raises(CallTimedOut):
            await ref.call(Counter.add, 1, 3.0, timeout_s=2)
        assert await ref.call(Counter.add, 10) == 11  # its own reply, not the late one
        with pytest.raises(CallTimedOut):
            await ref.call(Counter.later, timeout_s=2)
        await ref.call(Counter.answer, 5)
        assert await ref.call(Counter.add, 100) == 111
        assert len(ref.pid._watchers) == 1  # no call is remembered: what is left is the server's own
        nursery.cancel_scope.cancel()


async def test_rule_26_a_callers_end_never_ends_the_server(autojump_clock: MockClock) -> None:
    """A caller that is cancelled leaves its message behind, and the server works on it as on any other."""
    async with trio.open_nursery() as nursery:
        ref: ServerRef[Counter] = await started(nursery, Counter())
        ref.cast(Counter.add, 1, 3.0)
        with trio.move_on_after(1) as scope:
            await ref.call(Counter.add, 10)
        assert scope.cancelled_caught
        assert await ref.call(Counter.everything) == [1, 10]
        with trio.CancelScope() as before:
            before.cancel()
            await ref.call(Counter.add, 100)
        assert before.cancelled_caught
        assert await ref.call(Counter.everything) == [1, 10]  # cancelled beforehand: nothing was sent
        nursery.cancel_scope.cancel()


async def test_rule_26_cast_never_blocks(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        ref: ServerRef[Counter] = await started(nursery, Counter(), mailbox=MailboxSpec(2))
        with trio.testing.assert_no_checkpoints():
            ref.cast(Counter.add, 1)
            ref.info("x")
            with pytest.raises(MailboxFull):
                ref.cast(Counter.add, 2)
            with pytest.raises(MailboxFull):
                ref.info("y")
        assert (ref.mailbox.depth, ref.mailbox.dropped, ref.mailbox.high_water) == (2, 2, 2)
        assert await ref.call(Counter.everything) == [1, "x"]
        nursery.cancel_scope.cancel()


async def test_rule_26_a_call_that_is_dropped_is_told(autojump_clock: MockClock) -> None:
    results = Results()
    async with trio.open_nursery() as nursery:
        spec = MailboxSpec(1, Overflow.DROP_OLDEST)
        ref: ServerRef[Counter] = await started(nursery, Counter(), mailbox=spec)
        ref.cast(Counter.add, 1, 3.0)
        await wait_all_tasks_blocked()
        results.start(nursery, "call", lambda: ref.call(Counter.add, 2))
        await wait_all_tasks_blocked()
        ref.cast(Counter.add, 4)
        await wait_all_tasks_blocked()
        error, at_s = results["call"]
        assert isinstance(error, MailboxFull)
        assert at_s == 0
        assert await ref.call(Counter.everything) == [1, 4]
        nursery.cancel_scope.cancel()


async def test_rule_26_a_call_to_oneself_is_an_error(autojump_clock: MockClock, running: Running) -> None:
    pool = DynamicSupervisor()
    async with running(pool):
        ref = (await pool.start_child(server_child(Counter, restart=Restart.TEMPORARY))).value
        with pytest.raises(ServerDied, match=r"CalledItself: Server pool/#1 called its own add"):
            await ref.call(Counter.ask_itself)
    assert issubclass(CalledItself, Exception)
    assert trio.current_time() == 0


class Worker(Server):
    """Answers with the number it is given: soon, by an error, later, or never for a crash."""

    def __init__(self, current: list[ServerRef[Worker]]) -> None:
        self.current = current

    async def init(self) -> None:
        self.current[:] = [self.ref]

    async def work(self, number: int) -> int:
        await trio.sleep(0.002)
        if number % 97 == 0:
            raise OSError(number)
        if number % 31 == 0:
            raise ReplyError(LookupError(number))
        return number

    async def put_off(self, number: int) -> Reply[int]:
        reply = Reply[int]()
        self.send_after(number % 7 / 10, (reply, number))
        return reply

    async def handle_info(self, message: object) -> None:
        assert isinstance(message, tuple)
        message[0].send(message[1])


async def test_rule_26_a_thousand_callers_end_once_each(autojump_clock: MockClock, running: Running) -> None:
    """Mixed time-outs, cancels, crashes, refusals and put-off replies: each call ends once, and in its time."""
    ends: Tally[int] = Tally()
    kinds: Tally[str] = Tally()
    current: list[ServerRef[Worker]] = []

    async def call(number: int) -> None:
        random = Random(number)
        await trio.sleep(random.random())
        patience_s = random.choice([0.0, 0.01, 0.1, 1.0, 30.0])
        method = Worker.put_off if number % 3 == 0 else Worker.work
        began_s = trio.current_time()
        with trio.move_on_after(0.05 if number % 11 == 0 else 60) as scope:
            result = await end_of(lambda: current[0].call(method, number, timeout_s=patience_s))
            if isinstance(result, LookupError):
                result = result.args[0]
                kinds["refused"] += 1
            assert result == number or isinstance(result, CallTimedOut | ServerDied)
            kinds[type(result).__name__] += 1
            ends[number] += 1
        assert trio.current_time() <= began_s + patience_s + 1e-6
        if scope.cancelled_caught:
            kinds["cancelled"] += 1
            ends[number] += 1

    spec = server_child(Worker, current, mailbox=MailboxSpec(20))
    async with running(Supervisor([spec], intensity=1_000)):
        async with trio.open_nursery() as nursery:
            for number in range(1_000):
                nursery.start_soon(call, number)
        await trio.sleep(10)
        assert len(current[0].pid._watchers) == 1
        assert (current[0].mailbox.depth, current[0].mailbox.waiting) == (0, 0)
    assert ends == Tally(range(1_000))
    assert {"int", "CallTimedOut", "ServerDied", "refused", "cancelled"} == set(kinds)


# Replies


async def test_a_server_answers_with_an_error_and_lives(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        ref: ServerRef[Counter] = await started(nursery, Counter(1))
        with pytest.raises(LookupError, match="not here"):
            await ref.call(Counter.refuse)
        ref.cast(Counter.refuse)
        assert await ref.call(Counter.add, 1) == 2
        nursery.cancel_scope.cancel()


async def test_a_reply_may_come_later_from_anybody(autojump_clock: MockClock) -> None:
    server, results = Counter(), Results()
    async with trio.open_nursery() as nursery:
        ref: ServerRef[Counter] = await started(nursery, server)
        results.start(nursery, "answered", lambda: ref.call(Counter.later))
        await wait_all_tasks_blocked()
        results.start(nursery, "failed", lambda: ref.call(Counter.later))
        await trio.sleep(2)
        await ref.call(Counter.answer, 42)
        server.open[0].fail(LookupError("gone"))
        await wait_all_tasks_blocked()
        assert results["answered"] == (42, 2)
        assert isinstance(results["failed"][0], LookupError)
        ref.cast(Counter.later)
        await wait_all_tasks_blocked()
        server.open[1].send(0)  # nobody asked, nobody hears
        with pytest.raises(RuntimeError, match="only once"):
            server.open[1].send(1)
        nursery.cancel_scope.cancel()


async def test_one_reply_answers_all_who_got_it_even_after_it_was_sent(autojump_clock: MockClock) -> None:
    class Flight(Server):
        def __init__(self) -> None:
            self.shared = Reply[str]()

        async def join(self) -> Reply[str]:
            return self.shared

    server, results = Flight(), Results()
    async with trio.open_nursery() as nursery:
        ref: ServerRef[Flight] = await started(nursery, server)
        for name in "ab":
            results.start(nursery, name, lambda: ref.call(Flight.join))
        await wait_all_tasks_blocked()
        server.shared.send("landed")
        assert await ref.call(Flight.join) == "landed"
        nursery.cancel_scope.cancel()
    assert results == {"a": ("landed", 0), "b": ("landed", 0)}


def test_an_error_is_an_exception() -> None:
    with pytest.raises(TypeError, match="not with 'no' as its error"):
        ReplyError(cast("Any", "no"))
    with pytest.raises(TypeError, match="not with 'no' as its error"):
        Reply[int]().fail(cast("Any", "no"))


# Timers and monitors


async def test_timers_come_in_their_turn(autojump_clock: MockClock) -> None:
    """One that is due while a method runs comes before what was sent after that, as if it had been sent."""
    server = Counter()
    async with trio.open_nursery() as nursery:
        ref: ServerRef[Counter] = await started(nursery, server, mailbox=MailboxSpec(3))
        server.send_after(1.0, "first")
        server.send_after(4.0, "second")
        forgotten = server.send_after(2.0, "forgotten")
        await trio.sleep(1.5)
        assert server.seen == ["first"]
        ref.cast(Counter.add, 1, 5.0)
        assert forgotten.cancel()
        await trio.sleep(3.5)
        ref.cast(Counter.add, 2)
        await trio.sleep(2)
        assert server.seen == ["first", 1, "second", 2]
        nursery.cancel_scope.cancel()


async def test_a_timer_that_is_set_from_outside_moves_the_wait(autojump_clock: MockClock) -> None:
    server = Counter()
    async with trio.open_nursery() as nursery:
        await started(nursery, server)
        server.send_after(100.0, "late")
        await wait_all_tasks_blocked()
        server.send_after(1.0, "soon")
        await trio.sleep(1)
        await wait_all_tasks_blocked()
        assert server.seen == ["soon"]
        nursery.cancel_scope.cancel()


async def test_timers_and_downs_get_into_a_full_mailbox_and_end_with_the_run(
    autojump_clock: MockClock,
) -> None:
    server, other, last = Counter(), Pid(("other",)), Pid(("last",))
    async with trio.open_nursery() as nursery:
        ref: ServerRef[Counter] = await started(nursery, server, mailbox=MailboxSpec(1))
        server.monitor(other)
        server.monitor(other)
        server.monitor(last)
        server.demonitor(last)
        server.monitor(last)
        server.send_after(1.0, "timer")
        ref.cast(Counter.add, 1, 3.0)
        await wait_all_tasks_blocked()
        ref.cast(Counter.add, 2)
        await trio.sleep(2)
        other.end(Reason.CRASHED)
        timer = server.send_after(50.0, "never")
        assert ref.mailbox.depth == 3
        await trio.sleep(2)
        assert server.seen == [1, 2, "timer", Down(other, Reason.CRASHED)]
        server.monitor(other)
        await wait_all_tasks_blocked()
        assert server.seen[4:] == [Down(other, Reason.CRASHED)]
        assert len(last._watchers) == 1
        await ref.call(Counter.quit)
    assert not timer.is_pending
    assert len(last._watchers) == 0
    assert trio.current_time() == 4


# The ways down


class Careful(Counter):
    """Cleans up, and takes a second for it."""

    def __init__(self, log: list[object]) -> None:
        super().__init__()
        self.log = log

    async def terminate(self, reason: Reason) -> None:
        await trio.sleep(1)
        self.log.append((reason, self.seen))


async def test_who_cleans_up_is_asked_and_takes_what_came_before(
    autojump_clock: MockClock, running: Running
) -> None:
    log: list[object] = []
    pool, results = DynamicSupervisor(), Results()
    async with trio.open_nursery() as nursery:
        async with running(pool):
            ref = (await pool.start_child(server_child(Careful, log))).value
            ref.cast(Counter.add, 1, 2.0)
            results.start(nursery, "before", lambda: ref.call(Counter.add, 2))
            await wait_all_tasks_blocked()
            nursery.start_soon(pool.stop)
            await wait_all_tasks_blocked()
            results.start(nursery, "after", lambda: ref.call(Counter.add, 4))
        assert log == [(Reason.SHUTDOWN, [1, 2])]
        assert trio.current_time() == 3
    assert results["before"] == (3, 2)
    assert "has ended (shutdown)" in str(results["after"][0])
    assert ref.pid.reason is Reason.SHUTDOWN


@pytest.mark.parametrize(("shutdown", "asked"), [(0.5, [Reason.SHUTDOWN]), (BRUTAL, [])])
async def test_a_clean_up_has_the_shutdown_time(
    autojump_clock: MockClock, running: Running, shutdown: float, asked: list[Reason]
) -> None:
    log: list[object] = []

    class Listening(Careful):
        async def terminate(self, reason: Reason) -> None:
            log.append(reason)
            await super().terminate(reason)

    pool = DynamicSupervisor()
    async with running(pool):
        ref = (await pool.start_child(server_child(Listening, log, shutdown=shutdown))).value
    assert (log, ref.pid.reason, trio.current_time()) == (asked, Reason.KILLED, shutdown)


@pytest.mark.parametrize("is_supervised", [True, False])
async def test_a_clean_up_follows_a_stop_and_a_crash(autojump_clock: MockClock, is_supervised: bool) -> None:
    for method, args, reason in ((Careful.quit, (), Reason.NORMAL), (Careful.crash, ("x",), Reason.CRASHED)):
        log: list[object] = []
        pool = DynamicSupervisor()
        try:
            async with trio.open_nursery() as nursery:
                if is_supervised:
                    await nursery.start(pool.run)
                    spec = server_child(Careful, log, restart=Restart.TEMPORARY)
                    ref = (await pool.start_child(spec)).value
                else:
                    ref = await started(nursery, Careful(log))
                ref.cast(method, *args)
                ref.cast(Counter.add, 1)
                await trio.sleep(2)
                await pool.stop()
        except* ValueError:
            assert not is_supervised
        assert log == [(reason, [])]
        assert (ref.pid.reason, ref.mailbox.lost) == (reason, 1)


async def test_outside_of_supervision_a_cancel_leaves_time_to_clean_up(autojump_clock: MockClock) -> None:
    log: list[object] = []
    async with trio.open_nursery() as nursery:
        ref = await started(nursery, Careful(log))
        await started(nursery, Careful(log), shutdown_s=0.5)
        ref.cast(Counter.add, 1, 10.0)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert (log, trio.current_time()) == ([(Reason.SHUTDOWN, [])], 2)
    assert ref.pid.reason is Reason.SHUTDOWN


async def test_a_clean_up_that_fails_is_what_the_server_died_of(
    autojump_clock: MockClock, running: Running
) -> None:
    class Clumsy(Counter):
        async def terminate(self, reason: Reason) -> None:
            raise OSError(f"dropped it ({reason.value})")

    pool = DynamicSupervisor()
    async with running(pool):
        ref = (await pool.start_child(server_child(Clumsy, restart=Restart.TEMPORARY))).value
        with pytest.raises(ServerDied, match=r"OSError: dropped it \(crashed\)"):
            await ref.call(Counter.crash, "first")
        report = pool.crash_reports[-1]
        assert report.error == "OSError: dropped it (crashed)"
        assert "ValueError: first" in report.text
        assert "ExceptionGroup" not in report.text


async def test_a_server_that_is_stopped_from_outside_wakes_for_it(autojump_clock: MockClock) -> None:
    server = Counter()
    async with trio.open_nursery() as nursery:
        await started(nursery, server)
        await wait_all_tasks_blocked()
        server.stop()
    assert server.pid.reason is Reason.NORMAL


async def test_a_stopped_server_takes_no_more(autojump_clock: MockClock) -> None:
    server = Counter()
    async with trio.open_nursery() as nursery:
        ref = await started(nursery, server)
        await wait_all_tasks_blocked()
        ref.cast(Counter.add, 1)
        server.stop()
    assert (server.seen, ref.mailbox.lost) == ([], 1)


async def test_a_reference_keeps_nothing_of_a_server_that_is_gone(
    autojump_clock: MockClock, running: Running
) -> None:
    """Nor do a call that timed out, a put-off reply and a timer: state and arguments go with the run."""

    class Precious:
        pass

    kept: list[weakref.ref[Any]] = []

    class Hoarder(Careful):
        async def init(self) -> None:
            kept.append(weakref.ref(self))
            self.send_after(100.0, self)

        async def keep(self, thing: object) -> Reply[int]:
            kept.append(weakref.ref(thing))
            self.thing = thing
            return Reply()

    pool = DynamicSupervisor()
    async with running(pool):
        ref = (await pool.start_child(server_child(Hoarder, [], restart=Restart.TEMPORARY))).value
        with pytest.raises(CallTimedOut):
            await ref.call(Hoarder.keep, Precious())
        with pytest.raises(ServerDied):
            await ref.call(Hoarder.crash, "gone")
        await wait_all_tasks_blocked()
        gc.collect()
        assert [weak() for weak in kept] == [None, None]


# Bad use


async def test_what_can_be_no_message_is_the_senders_error(autojump_clock: MockClock) -> None:
    class Other(Server):
        async def thing(self) -> None: ...

    async with trio.open_nursery() as nursery:
        server = Counter(1)
        ref: ServerRef[Any] = await started(nursery, server)
        for wrong, args, words in [
            (Other.thing, (), "is no method of Counter: pass it as Counter.method"),
            (server.add, (1,), "is no method of Counter"),
            (lambda _: None, (), "is no method of Counter"),
            ("add", (1,), "is no method of Counter"),
            (Counter.not_async, (), "Counter.not_async must be an async def"),
            (Counter.by_keyword, (), "needs n by keyword"),
            (Counter.handle_info, ("x",), "is the server's own affair"),
            (Server.init, (), "is the server's own affair"),
            (Counter.add, (), "cannot take 0 arguments"),
            (Counter.add, (1, 2, 3), "cannot take 3 arguments"),
        ]:
            with pytest.raises(TypeError, match=words):
                await ref.call(wrong, *args)
            with pytest.raises(TypeError, match=words):
                ref.cast(wrong, *args)
        for patience_s in (-1.0, float("nan")):
            with pytest.raises(ValueError, match="time-out of 0 s or more"):
                await ref.call(Counter.add, 1, timeout_s=patience_s)
            with pytest.raises(ValueError, match="delay of 0 s or more"):
                server.send_after(patience_s, "x")
            with pytest.raises(BadSpec, match="shutdown time is 0 s or more"):
                await run_server(Counter(), shutdown_s=patience_s)
        assert await ref.call(Counter.add, 1) == 2
        nursery.cancel_scope.cancel()


async def test_a_server_that_does_not_run_has_no_reference() -> None:
    with pytest.raises(NotRunning, match="do this in `init`"):
        Counter().send_after(1.0, "x")


async def test_what_is_no_server_is_refused(running: Running) -> None:
    with pytest.raises(BadSpec, match="cannot be significant"):
        server_child(Counter, 0, significant=True)
    with pytest.raises(BadSpec, match="needs its class or a function that makes one"):
        server_child(cast("Any", Counter()))
    for mailbox in (cast("Any", 5), None):
        with pytest.raises(BadSpec, match="described by a MailboxSpec"):
            server_child(Counter, 0, mailbox=mailbox)
        with pytest.raises(BadSpec, match="described by a MailboxSpec"):
            await run_server(Counter(), mailbox=mailbox)
    with pytest.raises(BadSpec, match="has to be one"):
        await run_server(cast("Any", object()))
    pool = DynamicSupervisor()
    async with running(pool):
        with pytest.raises(StartFailed, match="has to be one"):
            await pool.start_child(server_child(cast("Any", dict)))


async def test_the_exception_decides_as_for_any_child(autojump_clock: MockClock, running: Running) -> None:
    pool = DynamicSupervisor()
    async with running(pool):
        spec = server_child(Counter, on_error={ValueError: OnError.STOP})
        ref = (await pool.start_child(spec)).value
        with pytest.raises(ServerDied):
            await ref.call(Counter.crash, "for good")
        await trio.sleep(1)
        assert pool.count_children().specs == 0


TYPED = """
from supervisors.calls import ServerRef
from supervisors.registry import NamedRef
from supervisors.replies import Reply
from supervisors.server import Server, server_child

class Adder(Server):
    def __init__(self, start: int) -> None: ...
    async def add(self, n: int) -> int: return n
    async def later(self) -> Reply[str]: return Reply()

class Other(Server):
    async def thing(self) -> None: ...

async def main(ref: ServerRef[Adder], named: NamedRef[Adder]) -> None:
    number: int = await ref.call(Adder.add, 1, timeout_s=2.0)
    text: str = await named.call(Adder.later)
    ref.cast(Adder.add, 1)
    server_child(Adder, 0, id="adder")
    await ref.call(Adder.add, "1")  # refused
    await named.call(Other.thing)  # refused
    ref.cast(Adder.add)  # refused
    wrong: str = await ref.call(Adder.add, 1)  # refused
    late: int = await ref.call(Adder.later)  # refused
    server_child(Adder, "0")  # refused
"""


def test_a_type_checker_refuses_wrong_messages(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(TYPED)
    options = ["--strict", "--config-file=", f"--cache-dir={tmp_path}", "--no-error-summary"]
    output, trouble, _ = mypy.api.run([*options, str(program)])
    refused = {int(line.split(":")[1]) for line in output.splitlines()}
    expected = {number for number, line in enumerate(TYPED.splitlines(), 1) if "refused" in line}
    assert (refused, trouble) == (expected, "")
