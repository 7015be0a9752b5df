"""Making a child hang: its task takes no further step until it is let go.

trio has nothing like `sys:suspend/1` of Erlang, https://www.erlang.org/doc/apps/stdlib/sys.html#suspend/1. But it
resumes a task by `Task.coro.send`, so another coroutine put in that place is resumed instead, and passes on what it was
given when the hang is over. Nothing of a supervisor or a child takes part, and a task that does not hang pays nothing.
"""

from __future__ import annotations

import types
from collections.abc import Generator
from typing import Any

import trio

from ..errors import NotRunning
from ..events import Path
from ..lifecycle import Lifecycle
from ..pid import Pid
from .faults import slot_at


def hang(supervisor: Lifecycle, path: str | Path, until: trio.Event) -> Pid:
    """Make a child's task stand still where it next wakes up, until `until` is set; return the run that hangs.

    Without a checkpoint. Cancels wait too: a stop meanwhile is `stuck`, as one of a child that shields itself. Nothing
    that was on its way to the child is lost: an item from a channel is taken, and dealt with late. Tasks that the child
    has started itself go on.

    Raises: `NotFound`; `NotRunning`, if the child is not running.
    """
    slot = slot_at(supervisor, path)
    task = slot.task
    if task is None:
        raise NotRunning(f"{'/'.join(slot.path)} cannot hang: no run of it has begun ({slot.status.value}).")
    standing: Any = _stand_still(task, until)
    standing.send(None)
    task.coro = standing
    return slot.pid()


@types.coroutine
def _stand_still(task: trio.lowlevel.Task, until: trio.Event) -> Generator[Any, Any, Any]:
    own = task.coro
    resumed_with = yield
    yield from _set(until).__await__()
    task.coro = own
    try:
        trap = own.send(resumed_with)
    except StopIteration as end:
        return end.value
    yield trap  # from here trio resumes the child itself, and nobody this


async def _set(until: trio.Event) -> None:
    with trio.CancelScope(shield=True):  # what woke the child may be a deadline of its own
        await until.wait()
