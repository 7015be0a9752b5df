"""Supervisors as children of supervisors."""

from __future__ import annotations

from collections.abc import Callable

import trio

from .checks import is_a, is_callable, require
from .intensity import Backoff
from .lifecycle import Lifecycle
from .spec import INFINITY, ChildSpec, Restart, make_spec, policy_of


def supervisor_child(  # noqa: PLR0913 - these are the fields of OTP's child spec
    factory: Callable[[], Lifecycle],
    *,
    id: str,  # noqa: A002 - OTP's word
    restart: Restart = Restart.PERMANENT,
    shutdown: float = INFINITY,
    backoff: Backoff | None = None,
    significant: bool = False,
    start_timeout_s: float | None = None,
) -> ChildSpec:
    """Describe a child that is a supervisor. Each start calls `factory`, since a supervisor instance runs
    once.

    When its shutdown time is over (by default never) everything under it is cancelled at once.

    Raises: `BadSpec`.
    """
    is_factory = is_callable(factory) and not is_a(factory, Lifecycle)
    require(is_factory, "A supervisor as a child needs a function that makes one", factory)
    policy = policy_of(restart, shutdown, backoff, significant, start_timeout_s, (), True, True)
    return make_spec(_run_supervisor, (factory,), id, policy)


async def _run_supervisor(
    factory: Callable[[], Lifecycle], *, task_status: trio.TaskStatus[Lifecycle]
) -> None:
    await factory().run(task_status=task_status)
