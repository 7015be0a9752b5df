"""The parent of a fleet: a supervision tree in which each worker process is a child.

`chappe serve` calls `run` when the settings say more than one worker. The parent serves no client: it holds the shared
port, so that it stays the same one, and keeps the workers running by the rules of every other tree. They start and
stop side by side; more restarts than allowed end the parent, and the service manager takes over.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import AsyncExitStack
from functools import partial
from itertools import count

import structlog
import trio
from prometheus_client import CollectorRegistry, Gauge, ProcessCollector

from supervisors import (
    Backoff,
    ChildSpec,
    DynamicSupervisor,
    Event,
    GaveUp,
    OnError,
    StartFailed,
    child,
)

from ..errors import ChappeError, SettingsError
from ..http.app import serve_application
from ..logs import configure, on_supervisor_event
from ..settings import ENV_PREFIX, Settings
from ..signals import on_signals
from ..sockets import listen, reserve
from ..supervision import TreeMetrics
from .endpoints import View, application
from .worker import Job, Worker

RESTARTS_PER_WORKER = 5
"""In a minute, of all workers together: whatever kills all of them at once, such as want of memory, may do so again."""

MOST_FAILURES = 10
"""In a row, of one worker. With the backoff that is half a minute of trying; the others serve meanwhile."""

START_WITHIN_S = 120.0
"""For a worker to be ready: on a busy machine the imports alone may take longer than it may be silent later."""

LAST_CALL_S = 2.0
"""For a worker, beyond its own drain and stop, to close its stores and be gone."""

log = structlog.get_logger("fleet")


class FleetFailed(ChappeError):
    """The workers cannot be kept running; they are stopped."""


class Fleet:
    """`workers` processes that do `job`, and the tree that runs them; `stop_s` is the time of each to stop."""

    def __init__(self, workers: int, job: Job, stop_s: float) -> None:
        self.registry = CollectorRegistry()
        self._metrics = TreeMetrics(self.registry)
        self._number, self._job, self._stop_s = workers, job, stop_s
        self._workers: dict[str, Worker] = {}
        self._asked = trio.Event()
        self.supervisor = DynamicSupervisor(
            name="fleet",
            intensity=RESTARTS_PER_WORKER * workers,
            period_s=60.0,
            max_failures=MOST_FAILURES,
            observer=self._observe,
        )
        self._metrics.watch(self.supervisor.snapshot)
        Gauge("chappe_workers", "Worker processes that serve.", registry=self.registry).set_function(
            lambda: sum(worker.ready is not None for worker in self._workers.values())
        )
        Gauge("chappe_workers_wanted", "Worker processes that should serve.", registry=self.registry).set(
            workers
        )
        ProcessCollector(registry=self.registry)

    @property
    def workers(self) -> list[Worker]:
        """The places for workers, oldest first."""
        return list(self._workers.values())

    def replace(self) -> None:
        """Have every worker replaced, one after the other."""
        self._asked.set()

    async def start(self, http: ChildSpec) -> None:
        """Start what the tree consists of; workers may not be there yet on return."""
        await self.supervisor.start_child(http)
        # A first start that fails is a mistake in the settings, more likely than not: nobody should wait for ten tries.
        self.supervisor.start_child_nowait(
            child(self._muster, id="roster", on_error={StartFailed: OnError.GIVE_UP})
        )

    async def _muster(self) -> None:
        """Start the workers that are missing, side by side; then replace them whenever asked."""
        try:
            async with trio.open_nursery() as starts:
                for _ in range(self._number - len(self._workers)):
                    starts.start_soon(self._start, self._free_name())
        except* StartFailed as failed:
            first = failed.exceptions[0]  # the others say the same
            raise first from first.__cause__
        while True:
            await self._asked.wait()
            self._asked = trio.Event()
            await self._replace_all()

    async def _replace_all(self) -> None:
        for old in self.workers:
            try:
                await self._start(self._free_name())
            except StartFailed as error:
                log.warning("replacement_failed", keeps=old.name, why=str(error))
                return
            await self.supervisor.terminate_child(old.name)
            del self._workers[old.name]
        log.info("workers_replaced", workers=[worker.name for worker in self.workers])

    def _free_name(self) -> str:
        """Take the first name that nobody has: N workers never need more than N + 1, so metrics have as many labels."""
        name = next(name for name in map("worker-{}".format, count(1)) if name not in self._workers)
        self._workers[name] = Worker(name, self._job)
        return name

    async def _start(self, name: str) -> None:
        """Raises: `StartFailed`, and then the name is free again."""
        run = self._workers[name].run
        spec = child(run, id=name, shutdown=self._stop_s, backoff=Backoff(), start_timeout_s=START_WITHIN_S)
        try:
            await self.supervisor.start_child(spec)
        except StartFailed:
            del self._workers[name]
            raise

    def _observe(self, event: Event) -> None:
        self._metrics.observe(event)
        on_supervisor_event(event)


def refuse_lonely_stores(settings: Settings) -> None:
    """Raises: `SettingsError`, when several workers could not share what the settings name."""
    stores = settings.stores
    has = {
        'stores.messages = "cassandra"': stores.messages == "cassandra",
        "stores.users_url on PostgreSQL": (stores.users_url or "").startswith("postgresql"),
        "bus.url": settings.bus.url is not None,
    }
    missing = [what for what, is_there in has.items() if not is_there]
    if missing:
        raise SettingsError(
            f"gateway.workers = {settings.gateway.workers} needs what workers can share: set {', '.join(missing)}."
        )


def job_of(settings: Settings, port: int) -> Job:
    """Return what a worker is to do: serve as these settings say, on this port, with endpoints of its own."""
    gateway = settings.gateway.model_copy(update={"port": port})
    http = settings.http.model_copy(update={"host": "127.0.0.1", "port": 0})
    order = settings.model_copy(update={"gateway": gateway, "http": http}).model_dump_json().encode()
    # The settings are all there; a variable would win over them.
    environment = {
        name: value for name, value in os.environ.items() if not name.upper().startswith(ENV_PREFIX)
    }
    command = (sys.executable, "-P", "-m", "chappe.fleet")  # -P: no module comes from the folder we are in
    return Job(command, environment, order, settings.timing.worker_silent_s)


async def supervise(fleet: Fleet, http: trio.SocketListener, node: str) -> None:
    """Run a fleet until SIGTERM or SIGINT, then let all workers drain; SIGHUP replaces them one by one. `node` is what
    metrics call it.

    Raises: `FleetFailed`.
    """
    stop = trio.Event()
    actions = {signal.SIGTERM: stop.set, signal.SIGINT: stop.set, signal.SIGHUP: fleet.replace}
    view = View(fleet.registry, fleet.supervisor.snapshot, lambda: fleet.workers, node)
    endpoints = application(view)
    try:
        # The nursery holds the root of the tree, above which there is nothing but the service manager.
        async with trio.open_nursery() as nursery:
            await nursery.start(on_signals, actions)
            await nursery.start(fleet.supervisor.run)
            await fleet.start(child(serve_application, http, endpoints, id="http"))
            await stop.wait()
            await fleet.supervisor.stop()
            nursery.cancel_scope.cancel()
    except* GaveUp as gave_up:
        raise FleetFailed(f"The workers cannot be kept running: {_last_words(gave_up)}") from gave_up


def _last_words(error: BaseException) -> BaseException:
    """Return what an error goes back to."""
    if isinstance(error, BaseExceptionGroup):
        return _last_words(error.exceptions[0])
    return error if error.__cause__ is None else _last_words(error.__cause__)


async def serve(settings: Settings) -> None:
    """Take the addresses, and run a fleet on them.

    Raises: `SettingsError`, `FleetFailed`.
    """
    gateway, timing = settings.gateway, settings.timing
    async with AsyncExitStack() as stack:
        port = await reserve(stack, gateway.host, gateway.port)
        http, *_ = await listen(stack, settings.http.host, settings.http.port, gateway.backlog)
        log.info("fleet", host=gateway.host, port=port, workers=gateway.workers)
        stop_s = timing.drain_s + timing.stop_s + LAST_CALL_S
        await supervise(Fleet(gateway.workers, job_of(settings, port), stop_s), http, settings.http.node_name)
    log.info("stopped")


def run(settings: Settings) -> None:
    """Run a fleet; blocks.

    Raises: `SettingsError`, `FleetFailed`.
    """
    refuse_lonely_stores(settings)
    configure(settings.log)
    trio.run(partial(serve, settings))
