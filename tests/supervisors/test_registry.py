"""The registry: keys free before a restart, references that survive one; a model of runs that come and go."""

from __future__ import annotations

from typing import Any, cast

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisors import (
    BadSpec,
    DynamicSupervisor,
    NotSupervised,
    Pid,
    Reason,
    Strategy,
    Supervisor,
    child,
    current_pid,
)
from supervisors.calls import NoServer, ServerDied
from supervisors.mailbox import MailboxSpec
from supervisors.registry import AlreadyRegistered, Entry, Keys, NamedRef, Registry
from supervisors.server import Server, server_child

from .lab import Running


class Named(Server):
    """Registers itself, and may be told to crash."""

    def __init__(self, names: Registry[str, int], key: str) -> None:
        self.names = names
        self.key = key

    async def init(self) -> None:
        await trio.sleep(1)
        self.names.register(self.key, 5)

    async def whoami(self) -> Pid:
        return self.pid

    async def crash(self) -> None:
        raise ValueError


class Other(Server):
    """Some other class."""


async def test_rule_26_a_key_is_free_before_the_restart(autojump_clock: MockClock, running: Running) -> None:
    """Were it not, the second run would fail to start, with AlreadyRegistered."""
    names: Registry[str, int] = Registry()
    seen: list[Pid] = []

    async def work() -> None:
        seen.append(names.register("key", 1))
        if len(seen) < 4:
            raise ValueError
        await trio.sleep_forever()

    async with running(Supervisor([child(work)], intensity=3)):
        await wait_all_tasks_blocked()
        assert names.lookup("key") == (Entry(seen[3], 1),)
        assert [pid.is_alive for pid in seen] == [False, False, False, True]
        assert repr(names) == "<Registry registry: 1 entries, unique>"
    assert (len(names), names._holders, names._keys) == (0, {}, {})


async def test_a_named_reference_survives_a_restart(autojump_clock: MockClock, running: Running) -> None:
    names: Registry[str, int] = Registry(name="names")
    ref = names.ref(Named, "a")
    assert repr(ref) == "<NamedRef of Named 'a' of names>"
    spec = server_child(Named, names, "a", mailbox=MailboxSpec(10))
    with pytest.raises(NoServer, match=r"no server 'a' of names") as caught:
        await ref.call(Named.whoami)
    assert caught.value.pid is None
    ref.cast(Named.crash)  # nobody there: lost, as in OTP
    ref.info("x")
    async with running(Supervisor([spec])):
        first = await ref.call(Named.whoami)
        with pytest.raises(ServerDied):
            await ref.call(Named.crash)
        with pytest.raises(NoServer):
            await ref.call(Named.whoami)  # the next run is in its `init`
        assert (await names.wait_for("a")).value == 5
        assert await ref.call(Named.whoami) is names.whereis("a") is not first
    with pytest.raises(NoServer):
        ref.resolve()


async def test_a_named_reference_leads_to_its_class_only(autojump_clock: MockClock, running: Running) -> None:
    names: Registry[str, int] = Registry()
    async with running(Supervisor([server_child(Named, names, "a")])):
        names.register("plain", 1, pid=Pid(("x",)))
        for ref in (names.ref(Other, "a"), names.ref(Other, "plain")):
            with pytest.raises(TypeError, match="is no Other"):
                ref.info("x")
        assert isinstance(names.ref(Server, "a"), NamedRef)
        names.ref(Server, "a").info("x")


async def test_a_unique_key_has_one_holder_who_is_named(running: Running) -> None:
    names: Registry[str, int] = Registry()
    errors: list[AlreadyRegistered] = []
    pids: list[Pid] = []

    async def work() -> None:
        pids.append(current_pid())
        try:
            names.register("key", len(pids))
        except AlreadyRegistered as error:
            errors.append(error)
        await trio.sleep_forever()

    specs = [child(work, id="a"), child(work, id="b")]
    async with running(Supervisor(specs, name="top", strategy=Strategy.ONE_FOR_ONE)):
        await wait_all_tasks_blocked()
        assert len(errors) == 1
        holder = errors[0].pid
        assert names.whereis("key") is holder
        assert str(errors[0]) == f"'key' of registry is held by {'/'.join(holder.path)}."
        with pytest.raises(AlreadyRegistered):
            names.register("key", 3, pid=holder)
        names.unregister("key", pid=holder)
        names.unregister("key", pid=holder)
        assert (names.whereis("key"), names.keys(holder), len(holder._watchers)) == (None, (), 0)


async def test_duplicate_keys_are_dispatched_to_all() -> None:
    topics: Registry[str, str] = Registry(Keys.DUPLICATE)
    first, second = Pid(("a",)), Pid(("b",))
    for pid, value in ((first, "x"), (second, "y"), (first, "z")):
        topics.register("topic", value, pid=pid)
    seen: list[tuple[Entry[str], ...]] = []
    topics.dispatch("topic", seen.append)
    topics.dispatch("nothing", seen.append)
    assert seen == [(Entry(first, "x"), Entry(first, "z"), Entry(second, "y"))]
    assert topics.values("topic", first) == ("x", "z")
    first.end(Reason.NORMAL)
    assert topics.lookup("topic") == (Entry(second, "y"),)
    with pytest.raises(BadSpec, match="needs unique keys"):
        topics.ref(Named, "topic")


async def test_who_waits_for_a_key_sees_the_first_to_come(autojump_clock: MockClock) -> None:
    names: Registry[str, int] = Registry()
    found: list[Entry[int]] = []

    async def wait() -> None:
        found.append(await names.wait_for("key"))

    pid, brief = Pid(("a",)), Pid(("brief",))
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1) as scope:
            await names.wait_for("key")
        assert scope.cancelled_caught
        assert names._arrivals == {}
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        names.register("key", 0, pid=brief)
        brief.end(Reason.NORMAL)  # gone before they could look: they wait on
        await wait_all_tasks_blocked()
        assert found == []
        names.register("key", 1, pid=pid)
    assert found == [Entry(pid, 1)] * 2
    assert names._arrivals == {}
    with trio.testing.assert_checkpoints():
        assert await names.wait_for("key") == Entry(pid, 1)


async def test_bad_use_is_told(running: Running) -> None:
    names: Registry[Any, int] = Registry()
    with pytest.raises(NotSupervised):
        names.register("key", 1)
    gone = Pid(("gone",))
    gone.end(Reason.NORMAL)
    with pytest.raises(NotSupervised, match="has ended and can hold no key"):
        names.register("key", 1, pid=gone)
    with pytest.raises(TypeError, match="unhashable"):
        names.register([], 1, pid=Pid(("a",)))
    with pytest.raises(BadSpec, match="Keys' members"):
        Registry(cast("Keys", "unique"))
    with pytest.raises(BadSpec, match="a class of Server"):
        names.ref(cast("type[Server]", dict), "key")
    assert (len(names), names._keys) == (0, {})


async def test_a_child_of_a_pool_is_found_while_it_lives(autojump_clock: MockClock, running: Running) -> None:
    names: Registry[str, int] = Registry()
    pool = DynamicSupervisor(max_children=10)
    async with running(pool):
        for key in "abc":
            await pool.start_child(server_child(Named, names, key, id=key))
        assert len(names) == 3
        await pool.terminate_child("b")
        assert [names.whereis(key) is None for key in "abc"] == [False, True, False]


VERBS = ["register", "unregister", "die"]
STEPS = st.lists(st.tuples(st.sampled_from(VERBS), st.sampled_from("xyz"), st.integers(0, 3)), max_size=60)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(Keys), STEPS)
def test_a_registry_keeps_its_word(kind: Keys, script: list[tuple[str, str, int]]) -> None:
    """It says what a plain list of (key, run, value) says, whatever is registered, given up, and dies."""
    names: Registry[str, int] = Registry(kind)
    pids = [Pid((str(number),)) for number in range(4)]
    model: list[tuple[str, Pid, int]] = []
    for step, (verb, key, number) in enumerate(script):
        pid = pids[number]
        if verb == "die":
            pid.end(Reason.CRASHED)
            pids[number] = Pid((str(number),))
            model = [row for row in model if row[1] is not pid]
        elif verb == "unregister":
            names.unregister(key, pid=pid)
            model = [row for row in model if row[:2] != (key, pid)]
        elif kind is Keys.UNIQUE and any(row[0] == key for row in model):
            with pytest.raises(AlreadyRegistered) as caught:
                names.register(key, step, pid=pid)
            assert [caught.value.pid] == [row[1] for row in model if row[0] == key]
        else:
            names.register(key, step, pid=pid)
            model.append((key, pid, step))
        assert len(names) == len(model)
        for each in "xyz":
            entries = [(each, entry.pid, entry.value) for entry in names.lookup(each)]
            assert sorted(entries, key=lambda row: row[2]) == [row for row in model if row[0] == each]
        for each_pid in pids:
            keys = {row[0] for row in model if row[1] is each_pid}
            assert set(names.keys(each_pid)) == keys
            assert len(each_pid._watchers) == bool(keys)
