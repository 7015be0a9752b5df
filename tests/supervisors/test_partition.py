"""Partitions: where keys go, and that the end of one partition is the affair of its keys alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from supervisors import (
    Backoff,
    BadSpec,
    ChildSpec,
    Down,
    NotFound,
    NotRunning,
    Status,
    Strategy,
    Supervisor,
    child,
    supervisor_child,
)
from supervisors.calls import ServerDied, ServerRef
from supervisors.partition import PartitionSupervisor
from supervisors.server import Server, server_child

from .lab import Lab, Running


def numbered(lab: Lab, **options: Any) -> Any:
    return lambda number: lab.spec(str(number), **options)


def idle(number: int) -> ChildSpec:
    return child(trio.sleep_forever)


@given(st.one_of(st.text(), st.binary(), st.integers()), st.integers(1, 64))
def test_a_key_has_one_partition_of_those_there_are(key: str | bytes | int, partitions: int) -> None:
    place, twin = (PartitionSupervisor(idle, partitions=partitions) for _ in range(2))
    assert 0 <= place.partition_of(key) < partitions == place.partitions
    assert place.partition_of(key) == twin.partition_of(key)
    if isinstance(key, int):
        assert place.partition_of(key) == key % partitions


@given(st.text(max_size=8), st.integers(2, 9))
def test_keys_are_spread_evenly(prefix: str, partitions: int) -> None:
    place = PartitionSupervisor(idle, partitions=partitions)
    counts = Counter(place.partition_of(f"{prefix}{number}") for number in range(partitions * 400))
    assert len(counts) == partitions
    assert min(counts.values()) > 270  # 400 are expected, and 20 is a standard deviation
    assert max(counts.values()) < 530


def test_text_goes_to_the_same_partition_in_every_process() -> None:
    # Written down, so that no later version moves anybody's keys.
    place = PartitionSupervisor(idle, partitions=1000)
    expected = [place.partition_of(key) for key in ("", "alice", "zoë", b"alice", "\ud800")]
    assert expected == [876, 729, 194, 729, 464]
    script = (
        "import trio; from supervisors import child; from supervisors.partition import PartitionSupervisor\n"
        "place = PartitionSupervisor(lambda _: child(trio.sleep_forever), partitions=1000)\n"
        "print([place.partition_of(key) for key in ('', 'alice', 'zo\\xeb', b'alice', '\\ud800')])"
    )
    for seed in "12":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        ran = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert ran.stdout.strip() == str(expected)


async def test_a_crash_of_one_partition_leaves_the_others_alone(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    async with running(PartitionSupervisor(numbered(lab), partitions=4)) as _:
        assert lab.take_log() == "+0 +1 +2 +3"
        await lab.crash("2")
        assert lab.take_log() == "-2 +2"
    assert lab.take_log() == "-3 -2 -1 -0"


async def test_partitions_may_depend_on_each_other(
    autojump_clock: MockClock, lab: Lab, running: Running
) -> None:
    async with running(PartitionSupervisor(numbered(lab), partitions=3, strategy=Strategy.REST_FOR_ONE)):
        lab.take_log()
        await lab.crash("1")
        assert lab.take_log() == "-1 -2 +1 +2"


class Tally(Server):
    """Counts what it is sent."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.seen = 0

    async def add(self, by: int) -> tuple[int, int]:
        if by < 0:
            raise ValueError(by)
        self.seen += by
        return self.number, self.seen


async def test_a_key_leads_to_the_present_run_of_its_partition(
    autojump_clock: MockClock, running: Running
) -> None:
    backoff = Backoff(first_s=10, most_s=10, jitter=0)
    place = PartitionSupervisor(
        lambda number: server_child(Tally, number, backoff=backoff), partitions=3, name="tally"
    )
    with pytest.raises(NotRunning, match=r"Partition 1 of tally is not running now \(stopped\)\."):
        place.value_for(1)
    async with running(place):
        before: ServerRef[Tally] = place.value_for(7)
        assert await before.call(Tally.add, 5) == (1, 5)
        other = place.value_for(0)
        at_its_end: list[str] = []

        def ask_at_its_end(_: Down) -> None:  # which its supervisor has not heard of yet
            with pytest.raises(NotRunning) as caught:
                place.value_for(7)
            at_its_end.append(str(caught.value))

        before.pid.watch("end", ask_at_its_end)
        with pytest.raises(ServerDied):
            await before.call(Tally.add, -1)
        assert at_its_end == ["Partition 1 of tally is not running now (restarting)."]
        with pytest.raises(NotRunning, match=r"Partition 1 of tally is not running now \(restarting\)\."):
            place.value_for(7)
        await trio.sleep(5)
        with pytest.raises(NotRunning, match=r"\(restarting\)"):
            place.value_for(7)
        assert place.value_for(0) is other
        await trio.sleep(5.1)
        after: ServerRef[Tally] = place.value_for(7)
        assert after is not before
        assert await after.call(Tally.add, 2) == (1, 2)
        await place.terminate_child("1")
        with pytest.raises(NotRunning, match=r"\(stopped\)"):
            place.value_for(7)
        await place.delete_child("1")
        with pytest.raises(NotFound):
            place.value_for(7)


async def test_it_is_a_supervisor_like_any_other(autojump_clock: MockClock, running: Running) -> None:
    def make() -> PartitionSupervisor:
        return PartitionSupervisor(lambda number: child(trio.sleep_forever, id="ignored"), partitions=2)

    root = Supervisor([supervisor_child(make, id="shards")], name="root")
    async with running(root):
        assert root.snapshot().to_text().splitlines() == ["root", "└─ shards", "   ├─ 0", "   └─ 1"]
        assert [info.status for info in root.which_children()] == [Status.RUNNING]


@pytest.mark.parametrize("key", [True, 1.0, None, ("a",)])
def test_a_key_that_is_none_is_refused(key: Any) -> None:
    with pytest.raises(TypeError, match="The key of a partition is a str, bytes or an int, not"):
        PartitionSupervisor(idle, partitions=2).partition_of(key)


@pytest.mark.parametrize("partitions", [0, -1, True, 2.0, "2", None])
def test_the_number_of_partitions_is_checked(partitions: Any) -> None:
    with pytest.raises(BadSpec, match="The number of partitions is 1 or more, not"):
        PartitionSupervisor(idle, partitions=partitions)


def test_what_makes_them_is_checked() -> None:
    wrong: Any = child(trio.sleep_forever)
    with pytest.raises(BadSpec, match="Partitions need a function that makes the spec of each"):
        PartitionSupervisor(wrong, partitions=2)
    with pytest.raises(BadSpec, match=r"What makes partitions returns what child\(\) returns, not None"):
        PartitionSupervisor(lambda number: None, partitions=2)  # type: ignore[arg-type,return-value]
    with pytest.raises(BadSpec, match="intensity"):
        PartitionSupervisor(idle, partitions=2, intensity=-1)
