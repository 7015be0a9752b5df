"""What a type checker must let pass, to the last inferred type. Never run."""

from __future__ import annotations

import random
from functools import partial
from typing import assert_type

import trio

from supervisors import (
    INFINITY,
    AutoShutdown,
    Backoff,
    ChildSpec,
    DynamicSupervisor,
    Event,
    OnError,
    Reply,
    Restart,
    Server,
    ServerRef,
    StartedChild,
    Strategy,
    Supervisor,
    child,
    server_child,
    supervisor_child,
    template,
)
from supervisors.partition import PartitionSupervisor
from supervisors.testing import CrashSchedule, Trace, crash, replay, wait_restarted


async def nothing() -> None: ...


async def serve(port: int, host: str = "localhost") -> None: ...


async def many(*names: str) -> None: ...


async def result() -> int:
    return 1


async def ready(port: int, *, task_status: trio.TaskStatus[str]) -> None:
    task_status.started("ready")


async def ready_or_not(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    task_status.started()


class Job:
    async def run(self, times: int) -> None: ...


class Called:
    async def __call__(self, times: int) -> None: ...


def observe(event: Event) -> None: ...


specs = [
    child(nothing),
    child(serve, 80),
    child(serve, 80, "::1"),
    child(partial(serve, host="::1"), 80),
    child(many, "a", "b"),
    child(result),
    child(ready, 80, start_timeout_s=3),
    child(ready_or_not),
    child(Job().run, 3),
    child(Called(), 3),
    child(trio.sleep, 1.5),
    child(
        nothing,
        id="a",
        restart=Restart.TRANSIENT,
        shutdown=INFINITY,
        backoff=Backoff(first_s=1),
        significant=True,
        on_error={OSError: OnError.STOP, ValueError: OnError.GIVE_UP},
    ),
    supervisor_child(Supervisor, id="b"),
    supervisor_child(lambda: DynamicSupervisor(max_children=3), id="c", restart=Restart.TRANSIENT),
    supervisor_child(partial(Supervisor, [child(nothing)], strategy=Strategy.ONE_FOR_ALL), id="d"),
    supervisor_child(lambda: PartitionSupervisor(lambda n: child(serve, n), partitions=4), id="e"),
]
assert_type(specs, list[ChildSpec])
supervisor = Supervisor(
    specs,
    strategy=Strategy.REST_FOR_ONE,
    auto_shutdown=AutoShutdown.ANY_SIGNIFICANT,
    on_give_up="crash",
    observer=observe,
    random=random.random,
)
visitor = template(serve)
assert_type(visitor(80, "::1"), ChildSpec)


class Counter(Server):
    def __init__(self, start: int) -> None:
        self.total = start

    async def add(self, n: int) -> int:
        self.total += n
        return self.total

    async def later(self, text: str) -> Reply[str]:
        return Reply()


async def main() -> None:
    assert_type(await supervisor.start_child(child(nothing)), StartedChild)
    seen: list[Event] = []
    pool = DynamicSupervisor(observer=seen.append, intensity_per_key=3)
    assert_type(pool.start_child_nowait(child(nothing), key=("user", 1)), str)
    started = await pool.start_child(server_child(Counter, 5))
    ref: ServerRef[Counter] = started.value
    assert_type(await ref.call(Counter.add, 1), int)
    assert_type(await ref.call(Counter.later, "a", timeout_s=1), str)
    ref.cast(Counter.add, 1)
    pid = crash(supervisor, "a", OSError())
    assert_type(await wait_restarted(supervisor, ("a",), after=pid) is pid, bool)


def app(rng: random.Random) -> Supervisor:
    return Supervisor([child(nothing)], random=rng.random)


assert_type(replay(app, CrashSchedule.of((1, "nothing", "boom")), 10, seed=1), Trace)
