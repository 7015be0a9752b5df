"""Supervision trees on trio, with the semantics of Erlang/OTP.

A supervisor starts its children in order, restarts those that crash as its strategy says, gives up when they
crash too often, and stops them in reverse order. Nothing it started outlives it.

    >>> import trio
    >>> from supervisors import Restart, Strategy, Supervisor, child
    >>> async def store(*, task_status):
    ...     task_status.started()
    ...     await trio.sleep_forever()
    >>> async def job(results):
    ...     results.append(len(results))
    ...     if len(results) < 3:
    ...         raise OSError("the store is away")
    >>> async def main():
    ...     results = []
    ...     specs = [child(store), child(job, results, restart=Restart.TRANSIENT)]
    ...     supervisor = Supervisor(specs, strategy=Strategy.ONE_FOR_ALL, intensity=2, name="example")
    ...     async with trio.open_nursery() as nursery:
    ...         await nursery.start(supervisor.run)
    ...         await trio.testing.wait_all_tasks_blocked()
    ...         print(supervisor.snapshot().to_text())
    ...         await supervisor.stop()
    ...     print(results)
    >>> trio.run(main)
    example
    ├─ store (restarts: 2)
    └─ job (stopped, restarts: 2)
    [0, 1, 2]
"""

from .dynamic import DynamicSupervisor
from .errors import (
    AlreadyPresent,
    AlreadyRan,
    AlreadyStarted,
    BadSpec,
    GaveUp,
    Ignore,
    NeverAcknowledged,
    NotFound,
    NotRunning,
    StartFailed,
    StartTimedOut,
    StillRestarting,
    StillRunning,
    SupervisorError,
    TooManyChildren,
)
from .events import (
    ChildIgnored,
    ChildRestarting,
    ChildStarted,
    ChildStartFailed,
    ChildStuck,
    ChildTerminated,
    Event,
    Observer,
    Path,
    SupervisorGaveUp,
)
from .exits import CrashReport, Reason
from .intensity import Backoff
from .lifecycle import supervisor_child
from .slot import stop_requested, trap_stop
from .spec import BRUTAL, INFINITY, AutoShutdown, ChildSpec, Restart, Strategy, child
from .supervisor import Supervisor
from .tree import ChildInfo, Counts, Node, StartedChild, Status

__all__ = [
    "BRUTAL",
    "INFINITY",
    "AlreadyPresent",
    "AlreadyRan",
    "AlreadyStarted",
    "AutoShutdown",
    "Backoff",
    "BadSpec",
    "ChildIgnored",
    "ChildInfo",
    "ChildRestarting",
    "ChildSpec",
    "ChildStartFailed",
    "ChildStarted",
    "ChildStuck",
    "ChildTerminated",
    "Counts",
    "CrashReport",
    "DynamicSupervisor",
    "Event",
    "GaveUp",
    "Ignore",
    "NeverAcknowledged",
    "Node",
    "NotFound",
    "NotRunning",
    "Observer",
    "Path",
    "Reason",
    "Restart",
    "StartFailed",
    "StartTimedOut",
    "StartedChild",
    "Status",
    "StillRestarting",
    "StillRunning",
    "Strategy",
    "Supervisor",
    "SupervisorError",
    "SupervisorGaveUp",
    "TooManyChildren",
    "child",
    "stop_requested",
    "supervisor_child",
    "trap_stop",
]
