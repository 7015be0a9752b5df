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

from .calls import CalledItself, CallTimedOut, NoServer, Ref, ServerDied, ServerRef
from .current import cleanup_scope, current_pid, stop_requested, trap_stop
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
    NotSupervised,
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
    ChildStarting,
    ChildStopping,
    ChildStuck,
    ChildTerminated,
    Event,
    KeyGaveUp,
    Observer,
    Path,
    RestartCounted,
    SupervisorGaveUp,
    SupervisorStarted,
    SupervisorStopping,
    SupervisorTerminated,
)
from .exits import Cause, CrashReport, Reason
from .groups import GroupMonitor, Joined, Left, MissedChanges, ProcessGroups
from .intensity import Backoff
from .mailbox import Mailbox, MailboxFull, MailboxSpec, Overflow
from .nesting import supervisor_child
from .partition import PartitionSupervisor
from .pid import Down, Monitor, Pid
from .registry import AlreadyRegistered, Entry, Keys, NamedRef, Registry
from .replies import Reply, ReplyError
from .server import Server, run_server, server_child
from .spec import (
    BRUTAL,
    INFINITY,
    AutoShutdown,
    ChildSpec,
    OnError,
    Policy,
    Restart,
    Strategy,
    Template,
    child,
    template,
)
from .supervisor import Supervisor
from .timers import Timer
from .tree import ChildInfo, Counts, Node, StartedChild, Status

__all__ = [
    "BRUTAL",
    "INFINITY",
    "AlreadyPresent",
    "AlreadyRan",
    "AlreadyRegistered",
    "AlreadyStarted",
    "AutoShutdown",
    "Backoff",
    "BadSpec",
    "CallTimedOut",
    "CalledItself",
    "Cause",
    "ChildIgnored",
    "ChildInfo",
    "ChildRestarting",
    "ChildSpec",
    "ChildStartFailed",
    "ChildStarted",
    "ChildStarting",
    "ChildStopping",
    "ChildStuck",
    "ChildTerminated",
    "Counts",
    "CrashReport",
    "Down",
    "DynamicSupervisor",
    "Entry",
    "Event",
    "GaveUp",
    "GroupMonitor",
    "Ignore",
    "Joined",
    "KeyGaveUp",
    "Keys",
    "Left",
    "Mailbox",
    "MailboxFull",
    "MailboxSpec",
    "MissedChanges",
    "Monitor",
    "NamedRef",
    "NeverAcknowledged",
    "NoServer",
    "Node",
    "NotFound",
    "NotRunning",
    "NotSupervised",
    "Observer",
    "OnError",
    "Overflow",
    "PartitionSupervisor",
    "Path",
    "Pid",
    "Policy",
    "ProcessGroups",
    "Reason",
    "Ref",
    "Registry",
    "Reply",
    "ReplyError",
    "Restart",
    "RestartCounted",
    "Server",
    "ServerDied",
    "ServerRef",
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
    "SupervisorStarted",
    "SupervisorStopping",
    "SupervisorTerminated",
    "Template",
    "Timer",
    "TooManyChildren",
    "child",
    "cleanup_scope",
    "current_pid",
    "run_server",
    "server_child",
    "stop_requested",
    "supervisor_child",
    "template",
    "trap_stop",
]
