"""Where a task is that will not end.

Slots ask when a child outlives its cancel: trio has no kill, so the line it hangs in is what can be told.
"""

from __future__ import annotations

from typing import Final

import trio

STUCK_AFTER_S: Final = 1.0
"""How long a cancelled child may run beyond its shutdown time before it is reported. Cancelled code needs a
moment.
"""


def innermost_frame(task: trio.lowlevel.Task) -> str:
    """Return file, line and function of the innermost frame that is not trio's.

    A task that waits for tasks of its own is where the first of those by name is.
    """
    while True:
        frames = list(task.iter_await_frames())
        waits_for_nursery = any(frame.f_code.co_name == "_nested_child_finished" for frame, _ in frames)
        inner = [child for nursery in task.child_nurseries for child in nursery.child_tasks]
        if not (waits_for_nursery and inner):
            break
        task = min(inner, key=lambda child: child.name)
    own = [
        (frame, line) for frame, line in frames if not frame.f_globals.get("__name__", "").startswith("trio.")
    ]
    frame, line = (own or frames)[-1]
    return f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_qualname}"
