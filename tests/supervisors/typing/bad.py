"""What a type checker must refuse: the lines that say so, and no other, with these codes. Never run.

For an overloaded function mypy may say two things of one mistake.
"""

from __future__ import annotations

import random

import trio

from supervisors import (
    Backoff,
    DynamicSupervisor,
    OnError,
    Restart,
    Server,
    ServerRef,
    Strategy,
    Supervisor,
    child,
    server_child,
    supervisor_child,
    template,
)
from supervisors.partition import PartitionSupervisor
from supervisors.testing import crash, replay


async def nothing() -> None: ...


async def serve(port: int, host: str) -> None: ...


async def ready(port: int, *, task_status: trio.TaskStatus[str]) -> None:
    task_status.started(80)  # E: arg-type
    task_status.started()  # E: call-arg


def flat() -> None: ...


class Counter(Server):
    def __init__(self, start: int) -> None:
        self.total = start

    async def add(self, n: int) -> int:
        return self.total + n


# Functions and their arguments
child(serve)  # E: arg-type call-arg
child(serve, 80)  # E: arg-type
child(serve, "80", "::1")  # E: arg-type call-arg
child(serve, 80, "::1", 3)  # E: arg-type call-arg
child(serve, 80, host="::1")  # E: call-overload
child(ready)  # E: arg-type call-arg
child(ready, "80")  # E: arg-type
child(nothing, 1)  # E: arg-type
child(flat)  # E: arg-type call-arg
child(nothing())  # E: call-overload
child(3)  # E: call-overload

# Settings
child(nothing, restart="permanent")  # E: call-arg call-overload
child(nothing, shutdown="5")  # E: call-arg call-overload
child(nothing, backoff=1.0)  # E: call-arg call-overload
child(nothing, on_error={OSError: "stop"})  # E: call-arg dict-item
child(nothing, on_error={OSError(): OnError.STOP})  # E: call-arg dict-item
child(nothing, on_error={KeyboardInterrupt: OnError.STOP})  # E: call-arg dict-item
child(nothing, on_error=OSError)  # E: call-arg call-overload
child(nothing, restarts=Restart.PERMANENT)  # E: call-overload
Backoff(first_s="1")  # E: arg-type

# Supervisors
Supervisor([nothing])  # E: list-item
Supervisor([Supervisor()])  # E: list-item
Supervisor(child(nothing))  # E: arg-type
Supervisor(strategy="one_for_all")  # E: arg-type
Supervisor(strategy=Restart.PERMANENT)  # E: arg-type
Supervisor(intensity=1.5)  # E: arg-type
Supervisor(on_give_up="restart")  # E: arg-type
Supervisor(observer=flat)  # E: arg-type
Supervisor(random=0.5)  # E: arg-type
Supervisor([], Strategy.ONE_FOR_ALL)  # E: call-arg
DynamicSupervisor([child(nothing)])  # E: arg-type call-arg
DynamicSupervisor(strategy=Strategy.ONE_FOR_ALL)  # E: call-arg
DynamicSupervisor(max_children="3")  # E: arg-type
supervisor_child(Supervisor(), id="a")  # E: arg-type
supervisor_child(Supervisor)  # E: call-arg
supervisor_child(flat, id="a")  # E: arg-type
supervisor_child(lambda: child(nothing), id="a")  # E: arg-type return-value
PartitionSupervisor(child(nothing), partitions=2)  # E: arg-type
PartitionSupervisor(lambda n: child(serve, n), partitions=2)  # E: arg-type
PartitionSupervisor(lambda n: child(nothing))  # E: call-arg

# Pools and their templates
visitor = template(serve)
visitor(80)  # E: call-arg
visitor("80", "::1")  # E: arg-type

# Servers
server_child(Counter)  # E: arg-type
server_child(Counter, "5")  # E: arg-type
server_child(nothing)  # E: arg-type


async def main(ref: ServerRef[Counter], supervisor: Supervisor, pool: DynamicSupervisor) -> None:
    await ref.call(Counter.add)  # E: arg-type call-arg
    await ref.call(Counter.add, "1")  # E: arg-type
    await ref.call(Counter.add, 1, 2)  # E: arg-type call-arg
    text: str = await ref.call(Counter.add, 1)  # E: arg-type
    await ref.call(nothing)  # E: arg-type call-arg
    ref.cast(Counter.add, "1")  # E: arg-type
    ref.cast(flat)  # E: arg-type
    await supervisor.start_child(nothing)  # E: arg-type
    await supervisor.start_child(child(nothing), key="a")  # E: call-arg
    pool.start_child_nowait(child(nothing), key=["a"])  # E: arg-type
    await supervisor.terminate_child(child(nothing))  # E: arg-type
    crash(supervisor, 3)  # E: arg-type
    crash(supervisor, "a", "boom")  # E: arg-type
    print(text)


def needs_nothing() -> Supervisor:
    return Supervisor(random=random.random)


replay(needs_nothing, [], 10)  # E: arg-type
