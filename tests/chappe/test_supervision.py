"""What the metrics and the log say of real supervisors, under a clock of their own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import structlog
import trio
from prometheus_client import CollectorRegistry
from trio.testing import MockClock, wait_all_tasks_blocked

from chappe.logs import on_supervisor_event
from chappe.supervision import MOST_DOWN, TreeMetrics
from supervisors import (
    BRUTAL,
    Backoff,
    ChildSpec,
    DynamicSupervisor,
    GaveUp,
    Ignore,
    Restart,
    Server,
    Strategy,
    Supervisor,
    child,
    server_child,
    supervisor_child,
)

STEADY = Backoff(first_s=2.0, factor=1.0, most_s=2.0, jitter=0.0)
CHILD = "node/job"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> TreeMetrics:
    return TreeMetrics(registry)


@pytest.fixture
def value(registry: CollectorRegistry) -> Callable[..., float | None]:
    """Return a sample by its name and its labels' values."""

    def read(name: str, path: str = CHILD, **labels: str) -> float | None:
        key = "supervisor" if "supervisor" in name or "keys" in name else "child"
        return registry.get_sample_value(name, {key: path, **labels})

    return read


Value = Callable[..., float | None]


class Job:
    """A child that crashes when it is told to."""

    def __init__(self) -> None:
        self.crash = trio.Event()

    async def run(self) -> None:
        await self.crash.wait()
        self.crash = trio.Event()
        raise OSError("the disk is full")


def tree(
    metrics: TreeMetrics, *children: ChildSpec, intensity: int = 3, period_s: float = 10.0
) -> Supervisor:
    return Supervisor(children, name="node", intensity=intensity, period_s=period_s, observer=metrics.observe)


async def test_an_end_its_reason_and_the_time_until_it_runs_again(
    autojump_clock: MockClock, metrics: TreeMetrics, value: Value, nursery: trio.Nursery
) -> None:
    job = Job()
    supervisor = tree(metrics, child(job.run, id="job", backoff=STEADY))
    await nursery.start(supervisor.run)
    job.crash.set()
    await trio.sleep(3.0)
    assert value("chappe_child_ends_total", reason="crashed") == 1
    assert value("chappe_child_restarts_total") == 1
    assert value("chappe_child_down_seconds_sum") == 2.0
    assert value("chappe_child_down_seconds_count") == 1
    await supervisor.stop()
    assert value("chappe_child_ends_total", reason="shutdown") == 1
    assert value("chappe_child_restarts_total") == 1


async def test_a_start_that_fails_on_the_way_counts_as_time_down(
    autojump_clock: MockClock, metrics: TreeMetrics, value: Value, nursery: trio.Nursery
) -> None:
    runs = 0

    async def job(*, task_status: trio.TaskStatus[None]) -> None:
        nonlocal runs
        runs += 1
        await trio.sleep(0.5)
        if runs == 2:
            raise OSError("not yet")
        task_status.started()
        if runs == 1:
            raise OSError("once")
        await trio.sleep_forever()

    supervisor = tree(metrics, child(job, backoff=STEADY))
    await nursery.start(supervisor.run)
    await trio.sleep(10.0)
    assert value("chappe_child_ends_total", reason="start_failed") == 1
    assert value("chappe_child_down_seconds_sum") == 2.0 + 0.5 + 2.0 + 0.5
    assert (value("chappe_child_start_seconds_count"), value("chappe_child_start_seconds_sum")) == (2, 1.0)
    await supervisor.stop()


async def test_a_child_that_will_not_come_back_is_not_waited_for(
    autojump_clock: MockClock, metrics: TreeMetrics, value: Value, nursery: trio.Nursery
) -> None:
    runs = 0

    async def job(*, task_status: trio.TaskStatus[None]) -> None:
        nonlocal runs
        runs += 1
        if runs > 1:
            raise Ignore
        task_status.started()
        raise OSError("once")

    supervisor = tree(metrics, child(job))
    await nursery.start(supervisor.run)
    await trio.sleep(1.0)
    assert value("chappe_child_ends_total", reason="ignored") == 1
    assert value("chappe_child_down_seconds_count") is None
    assert not metrics._down
    await supervisor.stop()


async def test_headroom_shrinks_and_comes_back_as_the_window_slides(
    autojump_clock: MockClock, metrics: TreeMetrics, value: Value, nursery: trio.Nursery
) -> None:
    job = Job()
    supervisor = tree(metrics, child(job.run, id="job"), intensity=3, period_s=10.0)
    await nursery.start(supervisor.run)
    seen = [value("chappe_supervisor_headroom_restarts", "node")]
    for _ in range(2):
        job.crash.set()
        await trio.sleep(4.0)
        seen.append(value("chappe_supervisor_headroom_restarts", "node"))
        assert seen[-1] == supervisor.snapshot().headroom
    await trio.sleep(4.0)
    seen.append(value("chappe_supervisor_headroom_restarts", "node"))
    await trio.sleep(4.0)
    seen.append(value("chappe_supervisor_headroom_restarts", "node"))
    assert seen == [3, 2, 1, 2, 3]
    assert not metrics._counted
    await supervisor.stop()
    assert value("chappe_supervisor_headroom_restarts", "node") is None


async def test_a_supervisor_that_gives_up_is_counted_and_its_headroom_goes_with_it(
    autojump_clock: MockClock, metrics: TreeMetrics, value: Value
) -> None:
    async def job() -> None:
        raise OSError("always")

    with pytest.raises(GaveUp):
        await tree(metrics, child(job), intensity=2).run()
    assert value("chappe_supervisors_gave_up_total", "node") == 1
    assert value("chappe_child_restarts_total") == 2
    assert value("chappe_supervisor_headroom_restarts", "node") is None


async def test_of_a_thousand_supervisors_the_least_headroom_counts_and_nothing_stays(
    autojump_clock: MockClock,
    metrics: TreeMetrics,
    value: Value,
    registry: CollectorRegistry,
    nursery: trio.Nursery,
) -> None:
    jobs: dict[int, Job] = {}

    async def connection(number: int) -> None:
        jobs[number] = job = Job()
        session = Supervisor([child(job.run, id="job")], name="session", intensity=5, period_s=30.0)
        await session.run()

    pool = DynamicSupervisor(name="connections", observer=metrics.observe)
    await nursery.start(pool.run)
    count = 1_000
    for number in range(count):
        pool.start_child_nowait(child(connection, number, id=str(number), restart=Restart.TEMPORARY))
    await wait_all_tasks_blocked()
    path = "connections/*/session"
    assert value("chappe_supervisor_headroom_restarts", path) == 5
    for times in (1, 2):
        jobs[7].crash.set()
        await wait_all_tasks_blocked()
        assert value("chappe_supervisor_headroom_restarts", path) == 5 - times
    labels = {
        sample.labels[key]
        for family in registry.collect()
        for sample in family.samples
        for key in ("child", "supervisor")
        if key in sample.labels
    }
    assert labels == {"connections", "connections/*", path, f"{path}/job"}
    assert len(metrics._supervisors) == count + 1
    await pool.stop()
    assert value("chappe_child_ends_total", f"{path}/job", reason="shutdown") == count
    assert value("chappe_child_stop_seconds_count", f"{path}/job") == count
    kept = (metrics._supervisors, metrics._counted, metrics._starting, metrics._stopping, metrics._down)
    assert [len(each) for each in kept] == [0] * 5


async def test_what_waits_for_a_restart_that_never_comes_is_bounded(
    autojump_clock: MockClock, metrics: TreeMetrics, nursery: trio.Nursery
) -> None:
    async def job() -> None:
        await trio.lowlevel.checkpoint()
        raise OSError("once")

    pool = DynamicSupervisor(name="pool", intensity=10 * MOST_DOWN, observer=metrics.observe)
    await nursery.start(pool.run)
    for number in range(MOST_DOWN + 10):
        pool.start_child_nowait(child(job, id=f"{number}", backoff=STEADY))
    await wait_all_tasks_blocked()
    for number in range(MOST_DOWN + 10):
        await pool.terminate_child(f"{number}")
    assert len(metrics._down) == MOST_DOWN
    await pool.stop()


async def test_how_long_a_stop_took_and_who_is_stuck(
    autojump_clock: MockClock, metrics: TreeMetrics, value: Value, nursery: trio.Nursery
) -> None:
    async def job() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(7.0)

    supervisor = tree(metrics, child(job, shutdown=BRUTAL))
    await nursery.start(supervisor.run)
    nursery.start_soon(supervisor.stop)
    await trio.sleep(0.5)
    assert value("chappe_children_stuck_now") is None
    await trio.sleep(1.0)
    assert (value("chappe_children_stuck_now"), value("chappe_children_stuck_total")) == (1, 1)
    await trio.sleep(10.0)
    assert (value("chappe_children_stuck_now"), value("chappe_children_stuck_total")) == (0, 1)
    assert value("chappe_child_stop_seconds_sum") == 7.0
    assert value("chappe_child_ends_total", reason="killed") == 1
    assert not metrics._stuck


async def test_a_key_that_gave_up_is_counted(
    autojump_clock: MockClock, metrics: TreeMetrics, value: Value, nursery: trio.Nursery
) -> None:
    async def job() -> None:
        await trio.lowlevel.checkpoint()
        raise OSError("always")

    pool = DynamicSupervisor(name="pool", intensity_per_key=2, observer=metrics.observe)
    await nursery.start(pool.run)
    pool.start_child_nowait(child(job), key="a")
    await trio.sleep(1.0)
    assert value("chappe_keys_gave_up_total", "pool") == 1
    assert value("chappe_supervisors_gave_up_total", "pool") == 0
    assert value("chappe_supervisor_headroom_restarts", "pool") == 0
    await pool.stop()


async def test_one_that_never_got_ready_is_no_supervisor_that_runs(
    autojump_clock: MockClock, metrics: TreeMetrics, value: Value
) -> None:
    async def job(*, task_status: trio.TaskStatus[None]) -> None:
        raise OSError("no")

    with pytest.raises(Exception, match="job"):
        await tree(metrics, child(job)).run()
    assert value("chappe_supervisor_headroom_restarts", "node") is None
    assert value("chappe_child_ends_total", reason="start_failed") == 1
    assert not metrics._starting


class Slow(Server):
    """A server that is busy with its first message for ever."""

    async def work(self) -> None:
        await trio.sleep_forever()


async def test_how_much_waits_for_the_servers_of_one_label(
    autojump_clock: MockClock, metrics: TreeMetrics, value: Value, nursery: trio.Nursery
) -> None:
    supervisor = tree(metrics, child(trio.sleep_forever))
    metrics.watch(supervisor.snapshot)
    assert value("chappe_mailbox_messages", "node/*") is None
    await nursery.start(supervisor.run)
    for number, messages in enumerate([1, 5, 3]):
        server = (await supervisor.start_child(server_child(Slow, id=str(number)))).value
        for _ in range(messages):
            server.cast(Slow.work)
    await wait_all_tasks_blocked()
    assert value("chappe_mailbox_messages", "node/*") == 0 + 4 + 2
    assert value("chappe_mailbox_max_messages", "node/*") == 4
    assert value("chappe_mailbox_messages", "node/sleep_forever") is None
    await supervisor.stop()


async def test_the_log_says_why(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    job, other = Job(), Job()

    def inner() -> Supervisor:
        return Supervisor([child(job.run, id="job")], intensity=0)

    specs = [child(other.run, id="other"), supervisor_child(inner, id="inner")]
    supervisor = Supervisor(specs, name="node", strategy=Strategy.ONE_FOR_ALL, observer=on_supervisor_event)
    with structlog.testing.capture_logs() as lines:
        await nursery.start(supervisor.run)
        job.crash.set()
        await wait_all_tasks_blocked()
        await supervisor.stop()
    said = {line["event"]: line for line in reversed(lines)}
    crashed = "node/inner/job crashed with OSError: the disk is full"
    assert said["child_crashed"]["child"] == "node/inner/job"
    assert said["child_crashed"]["report"].endswith("OSError: the disk is full\n")
    assert said["supervisor_gave_up"]["because"] == crashed
    [stopped] = [line for line in lines if line.get("child") == "node/other" and "because" in line][:1]
    assert stopped["because"] == f"stopped by one_for_all because node/inner gave up because {crashed}"
    assert {line["child"] for line in lines if line["event"] == "child_restarted"} == {
        "node/other",
        "node/inner",
    }
    assert said["tree_stopping"]["because"] == "stop() was called"


async def test_the_log_says_what_would_not_end(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    async def job() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(30.0)

    supervisor = Supervisor([child(job, shutdown=3.0)], name="node", observer=on_supervisor_event)
    with structlog.testing.capture_logs() as lines:
        await nursery.start(supervisor.run)
        await supervisor.stop()
    [stopping, stuck, killed] = lines
    assert (stopping["event"], stuck["event"], killed["event"]) == (
        "tree_stopping",
        "child_stuck",
        "child_killed",
    )
    assert __file__ in stuck["frame"]
    assert killed["because"] == "stopped with node because stop() was called"
