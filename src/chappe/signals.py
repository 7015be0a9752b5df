"""What a long-running process does when it is sent a signal.

A node and the parent of a fleet run `on_signals` beside the root of their tree. It listens until it is cancelled, so a
second Ctrl-C does not cut short the drain that the first one began.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping

import structlog
import trio

log = structlog.get_logger("signals")


async def on_signals(
    actions: Mapping[signal.Signals, Callable[[], object]],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Call what `actions` says at each of these signals, until cancelled."""
    with trio.open_signal_receiver(*actions) as received:
        task_status.started()
        async for number in received:
            name = signal.Signals(number)
            log.info("signal", signal=name.name)
            actions[name]()
