"""What a running child can ask and say about itself: the functions that its own code calls.

They find the child by the context of the calling task, so every task that a child starts may use them. What the
supervisor does on its side is in `slot.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from .errors import NotSupervised
from .pid import Pid
from .slot import current_slot


def current_pid() -> Pid:
    """Return the identity of the run that the calling task belongs to.

    Raises: `NotSupervised`.
    """
    slot = current_slot()
    if slot is None or not slot.is_alive:
        raise NotSupervised("This task is not part of a supervised child.")
    return slot.pid()


def trap_stop() -> trio.Event:
    """Make the calling child one that is asked before it is cancelled; return the event that is set when it
    is asked.

    This is OTP's `process_flag(trap_exit, true)`: it holds until the child ends. Having been asked, the child
    has its shutdown time to return by itself. Outside any supervisor the event is never set.
    """
    slot = current_slot()
    return trio.Event() if slot is None else slot.trap_stop()


async def stop_requested() -> None:
    """Wait until the supervisor asks this child to stop; from this call on it is asked before it is
    cancelled.

    See `trap_stop`. Any task of the child may wait here.
    """
    await trap_stop().wait()


@contextmanager
def cleanup_scope() -> Iterator[trio.CancelScope]:
    """Shield a block of clean-up from the stop that caused it, until the child's shutdown time is over.

    Put it around what has to be awaited in a `finally`. The deadline is the supervisor's, that of a whole tree
    included: when its patience ends, the scope is cancelled and the block left, as any cancelled block is.
    Outside any supervisor nothing cancels it; give the scope a deadline of its own.
    """
    slot = current_slot()
    with trio.CancelScope(shield=True) as scope:
        if slot is None:
            yield scope
        else:
            with slot.cleaning(scope):
                yield scope
