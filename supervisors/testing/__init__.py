"""Helpers for the tests of supervised programs: crash or hang a child, wait for what follows, record and replay it.

Tests and chaos drills call these; no supervisor does. They need trio only, whatever runs the tests, and with trio's
`MockClock` no test of theirs waits in real time.

    >>> from supervisors import Backoff, ChildRestarting, ChildStarted, Supervisor, child
    >>> from supervisors.testing import CrashSchedule, replay
    >>> async def store(*, task_status):
    ...     task_status.started()
    ...     await trio.sleep_forever()
    >>> def app(rng):
    ...     return Supervisor([child(store, backoff=Backoff(first_s=1))], name="app", random=rng.random)
    >>> schedule = CrashSchedule.of((2.0, "store", "disk full"))
    >>> trace = replay(app, schedule, seconds=10, seed=1)
    >>> print(trace.of(ChildStarted, ChildRestarting).to_text())
         0.000  ChildStarted          app/store  restarts=0
         2.000  ChildRestarting       app/store  delay_s=0.933 failures=1
         2.933  ChildStarted          app/store  restarts=1
    >>> replay(app, schedule, seconds=10, seed=1) == trace
    True
    >>> CrashSchedule.from_trace(trace) == schedule
    True
"""

from .faults import DidNotHappen, Injected, crash, wait_restarted, wait_until
from .hanging import hang
from .replays import replay, seeded_scheduling
from .schedule import Crash, CrashSchedule, play
from .trace import Entry, Recorder, Trace

__all__ = [
    "Crash",
    "CrashSchedule",
    "DidNotHappen",
    "Entry",
    "Injected",
    "Recorder",
    "Trace",
    "crash",
    "hang",
    "play",
    "replay",
    "seeded_scheduling",
    "wait_restarted",
    "wait_until",
]
