"""The terminal under `chat`: key by key instead of line by line, and back to normal whatever happens.

Ctrl-C and Ctrl-Z keep their meaning. After Ctrl-Z and `fg` the mode is set again, and a new window size is
reported.
"""

from __future__ import annotations

import signal
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

_LOCAL_FLAGS = 3
_CONTROL = 6


def is_interactive() -> bool:
    """Return whether there is a person at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()


@contextmanager
def key_by_key(fd: int = 0) -> Iterator[None]:
    """Deliver every key at once and unechoed, until the block is left."""
    before = termios.tcgetattr(fd)
    try:
        _set_mode(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _set_mode(fd: int) -> None:
    mode = termios.tcgetattr(fd)
    mode[_LOCAL_FLAGS] &= ~(termios.ECHO | termios.ICANON)
    mode[_CONTROL][termios.VMIN], mode[_CONTROL][termios.VTIME] = 1, 0
    termios.tcsetattr(fd, termios.TCSADRAIN, mode)


async def watch_terminal(changed: Callable[[], None], fd: int = 0) -> None:
    """Call `changed` after a resize and after a stop and `fg`. Runs until cancelled."""
    with trio.open_signal_receiver(signal.SIGWINCH, signal.SIGCONT) as received:
        async for number in received:
            if number == signal.SIGCONT:
                _set_mode(fd)
            changed()
