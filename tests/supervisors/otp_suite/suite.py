"""What the cases share: a supervisor that runs to its end beside the test, its state as plain values, and
children.

The children are those of the laboratory next door; here are the few whose way of stopping or of failing is what
a case is about.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from supervisors import (
    ChildTerminated,
    DynamicSupervisor,
    GaveUp,
    Pid,
    Reason,
    Supervisor,
    SupervisorError,
    current_pid,
    trap_stop,
)

from ..lab import Lab
from .cases import CASES


def pending(case: str) -> tuple[pytest.MarkDecorator, ...]:
    """Return the mark for what the library does not do yet; `cases.py` says what, and the page shows it."""
    text = CASES[case].pending
    return (pytest.mark.xfail(strict=True, reason=text),) if text else ()


class Run:
    """A supervisor's run: whether it is over, and with which error it ended."""

    def __init__(self) -> None:
        self.is_over = False
        self.error: SupervisorError | None = None

    async def of(
        self,
        supervisor: Supervisor | DynamicSupervisor,
        *,
        task_status: trio.TaskStatus[Supervisor | DynamicSupervisor],
    ) -> None:
        try:
            await supervisor.run(task_status=task_status)
        except GaveUp as error:
            self.error = error
        finally:
            self.is_over = True

    @property
    def gave_up(self) -> bool:
        return isinstance(self.error, GaveUp)


@asynccontextmanager
async def run_of(supervisor: Supervisor | DynamicSupervisor) -> AsyncIterator[Run]:
    """Run a supervisor that may end before the block does; stop it at the end if it still runs."""
    run = Run()
    async with trio.open_nursery() as nursery:
        await nursery.start(run.of, supervisor)
        yield run
        await supervisor.stop()


def which(supervisor: Supervisor | DynamicSupervisor) -> list[tuple[str, str]]:
    """Return every child's id and status, newest first."""
    return [(info.id, info.status.value) for info in supervisor.which_children()]


def counts(supervisor: Supervisor | DynamicSupervisor) -> tuple[int, int, int, int]:
    """Return specs, active, supervisors and workers, in the order that OTP has them in."""
    counted = supervisor.count_children()
    return counted.specs, counted.active, counted.supervisors, counted.workers


def reasons(lab: Lab) -> dict[str, Reason]:
    """Return why each child ended the last time."""
    return {event.path[-1]: event.reason for event in lab.seen(ChildTerminated)}


def shutdown_exit() -> GaveUp:
    """Return what a child ends with that shuts down by itself, as with OTP's exit reason `shutdown`."""
    return GaveUp("enough", path=(), is_shutdown=True)


def shutdown_exit_with_a_term() -> BaseException:
    """Return the like of OTP's `{shutdown, Term}`: the same, wrapped by a nursery on its way."""
    return ExceptionGroup("some info", [shutdown_exit()])


async def traps(
    goodbye_s: float, error: BaseException | None = None, *, task_status: trio.TaskStatus[None]
) -> None:
    """Run until asked to stop, then take `goodbye_s` seconds and end with `error`."""
    asked = trap_stop()
    task_status.started()
    await asked.wait()
    await trio.sleep(goodbye_s)
    if error is not None:
        raise error


class Door:
    """A child whose start takes a second and then fails, for as long as the door is shut."""

    def __init__(self) -> None:
        self.is_shut = False
        self.crashed = trio.Event()

    async def work(self, *, task_status: trio.TaskStatus[None]) -> None:
        if self.is_shut:
            await trio.sleep(1)
            raise OSError("the door is shut")
        self.crashed = trio.Event()
        task_status.started()
        await self.crashed.wait()
        raise ValueError("told to crash")

    def shut_and_crash(self) -> None:
        self.is_shut = True
        self.crashed.set()


class Names:
    """Names that one run at a time can have; a name is free again when the run that has it ends."""

    def __init__(self) -> None:
        self.holders: dict[str, Pid] = {}

    def register(self, name: str) -> None:
        """Give the calling child a name.

        Raises: ValueError, when another run has it.
        """
        if name in self.holders:
            raise ValueError(f"{name} is taken by {'/'.join(self.holders[name].path)}")
        self.holders[name] = current_pid()
        self.holders[name].watch(name, lambda _: self.holders.pop(name))
