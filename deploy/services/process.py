"""One server process: started on its own, found again by a later command, signalled only if it is still the same.

A pid alone is not enough: after a crash another program may have it. So a server's folder keeps the pid with the
time that process was started and the machine's boot, and a signal goes through a pidfd that was compared with both.
The services of this package say what to run and how to ask whether it is ready; Linux only, like they are.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from .errors import NotReady

POLL_S: Final = 0.02
KILLED_S: Final = 10.0  # after SIGKILL; a disk that hangs can hold a process that long
BURIED_S: Final = 10.0
LOG_TAIL_LINES: Final = 3


@dataclass(frozen=True, slots=True)
class Identity:
    """Which process: the pid, when it was started (clock ticks after boot), and of which boot."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the identity of a live process; None when there is none, or only its remains."""
        found = _look(pid)
        return cls(pid, found[1], _boot()) if found and found[0] not in "ZX" else None

    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        return Identity.of(self.pid) == self

    def signal(self, number: int) -> bool:
        """Send a signal; False when the process is gone."""
        with _pidfd(self.pid) as fd:
            # The descriptor holds on to whoever has the pid now, so comparing after opening leaves no gap.
            if fd is None or not self.is_alive():
                return False
            try:
                signal.pidfd_send_signal(fd, number)
            except ProcessLookupError:
                return False
            return True

    def wait(self, timeout_s: float) -> bool:
        """Wait until the process is gone; False when it is still there after `timeout_s`."""
        with _pidfd(self.pid) as fd:
            if fd is not None and self.is_alive():
                watch = select.poll()
                watch.register(fd, select.POLLIN)
                if not watch.poll(timeout_s * 1000):
                    return False
        self.reap()
        return True

    def reap(self) -> bool:
        """Bury the process if it has ended and is a child of ours; True when nothing is left of it."""
        if self.is_alive():
            return False
        with suppress(ChildProcessError):  # when an earlier command started it, and init buries it
            os.waitpid(self.pid, os.WNOHANG)
        found = _look(self.pid)
        return found is None or (found[1], _boot()) != (self.started, self.boot)


def _look(pid: int) -> tuple[str, int] | None:
    """Return a process's state and start time as the kernel has them."""
    try:
        # The second field is the program's name, which may hold anything; what follows it is numbers.
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return state, int(fields[18])


def write_whole(path: Path, text: str) -> None:
    """Write a file for this user alone, all of it or nothing: whoever looks meanwhile finds the old one."""
    new = path.with_name(f"{path.name}.new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(path)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class _pidfd:  # noqa: N801 - reads like the call it wraps
    def __init__(self, pid: int) -> None:
        try:
            self._fd: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._fd = None

    def __enter__(self) -> int | None:
        return self._fd

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            os.close(self._fd)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to run, and how to tell that it serves.

    `argv` is called at every start. `ask` returns None when the server answers in its own protocol, else why it does
    not. `stop_signal` is what asks this server to end in good order; `ready_s` is how long a start may take.
    """

    argv: Callable[[], list[str]]
    ask: Callable[[], str | None]
    stop_signal: signal.Signals = signal.SIGTERM
    ready_s: float = 60.0


class Server:
    """One server process and its folder: `log`, `process.json`, and whatever the server itself keeps there.

    The process has a session of its own: it outlives whoever started it, and no Ctrl-C at the terminal reaches it. All
    methods block.
    """

    def __init__(self, name: str, folder: Path, recipe: Recipe) -> None:
        self.name = name
        self.folder = folder
        self.log = folder / "log"
        self._recipe = recipe
        self._file = folder / "process.json"
        self._log_from = 0

    @property
    def identity(self) -> Identity | None:
        """The process, while it runs."""
        last = self._last()
        return last if last and last.is_alive() else None

    @property
    def is_ready(self) -> bool:
        """Whether it runs and answers."""
        return self.identity is not None and self._recipe.ask() is None

    def start(self) -> bool:
        """Start the process unless it runs; True when it was started. `wait_ready` says when it serves."""
        if self.identity:
            return False
        # PostgreSQL takes the remains of its predecessor for a live one, and init may take a second to bury them.
        deadline = time.monotonic() + BURIED_S
        while not self._is_buried() and time.monotonic() < deadline:
            time.sleep(POLL_S)
        argv = self._recipe.argv()
        self._log_from = self.log.stat().st_size if self.log.exists() else 0
        basic = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        # An interruption between the start and the note of it would leave a server that nobody knows of.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            pid = os.posix_spawn(
                argv[0],
                argv,
                basic | {"LANG": "C.UTF-8"},
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, str(self.log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGPIPE],  # Python ignores it, and would hand that on
            )
            if identity := Identity.of(pid):
                write_whole(self._file, json.dumps(asdict(identity)))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return True

    def wait_ready(self) -> None:
        """Return when the server answers.

        Raises: `NotReady` when it ends or takes too long.
        """
        deadline = time.monotonic() + self._recipe.ready_s
        while (why := self._recipe.ask()) is not None:
            if self.identity is None:
                self._is_buried()
                raise NotReady(
                    f"{self.name} ended while it started: {self._last_words()} (all of it: {self.log})"
                )
            if time.monotonic() > deadline:
                raise NotReady(
                    f"{self.name} is not ready after {self._recipe.ready_s:g} s: {why}; see {self.log}."
                )
            time.sleep(POLL_S)

    def stop(self, grace_s: float = 30.0) -> bool:
        """Ask the process to end, and kill it when it has not after `grace_s` (0: at once); True when there was one.

        Raises: `NotReady` when it does not even go by SIGKILL.
        """
        identity = self.identity
        if identity is None:
            self._is_buried()
            return False
        if not grace_s:
            return self.kill()
        identity.signal(self._recipe.stop_signal)
        identity.signal(signal.SIGCONT)
        return identity.wait(grace_s) or self.kill()

    def kill(self) -> bool:
        """End the process at once, as a crash would; True when there was one.

        Raises: `NotReady` when it does not go.
        """
        identity = self.identity
        if identity is None:
            self._is_buried()
            return False
        identity.signal(signal.SIGKILL)
        if not identity.wait(KILLED_S):
            raise NotReady(
                f"{self.name} (pid {identity.pid}) does not end, even by SIGKILL: look at its disk."
            )
        return True

    def freeze(self) -> None:
        """Stop the clocks of the process and its children; its connections stay open and nobody answers."""
        self._signal_family(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self._signal_family(signal.SIGCONT)

    def _signal_family(self, number: int) -> None:
        identity = self.identity
        if identity is None:
            raise NotReady(f"{self.name} does not run.")
        # The parent first: frozen, it can have no more children that would be missed.
        identity.signal(number)
        for child in _children(identity.pid):
            child.signal(number)

    def _last(self) -> Identity | None:
        try:
            return Identity(**json.loads(self._file.read_text()))
        except FileNotFoundError:
            return None

    def _is_buried(self) -> bool:
        last = self._last()
        return last is None or last.reap()

    def _last_words(self) -> str:
        if not self.log.exists():
            return "it said nothing"
        with self.log.open("rb") as log:
            log.seek(self._log_from)
            lines = [
                line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()
            ]
        return " / ".join(lines[-LOG_TAIL_LINES:]) or "it said nothing"


def _children(pid: int) -> Iterator[Identity]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread may end while one looks
            for child in (task / "children").read_text().split():
                if identity := Identity.of(int(child)):
                    yield identity
