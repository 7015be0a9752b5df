"""Two whole nodes on the same PostgreSQL, Redis and Cassandra: what a client at one of them notices of the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from chaos.stack.node import CONFIG, serving, until
from chappe import app
from chappe.app import Node, now_ms
from chappe.bus.values import Timing as BusTiming
from chappe.crypto import device_list
from chappe.protocol import calls
from chappe.protocol.codes import CloseCode, ErrorCode
from chappe.protocol.frames import Error, Event, Presence, Receipt, Typing
from chappe.workers import rereads
from tests.services import Services, services
from tests.system.shared import Sections, shared_stores, to_toml

from .raw import (
    Person,
    RawClient,
    connected,
    entry_of,
    linked,
    message,
    receive,
    register,
    running_node,
    send,
    settings,
    signed_in,
)
from .test_spans import Memory

__all__ = ["services"]

Open = Callable[..., Any]


@pytest.fixture
def sections(services: Services) -> Iterator[Sections]:
    with shared_stores(services, "chappe_nodes") as found:
        yield found


@pytest.fixture
def opened(sections: Sections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """How to run a node. Nobody is silent for long enough that inboxes are read for it, and nobody polls."""
    monkeypatch.setattr(app, "BusTiming", partial(BusTiming, silent_s=300.0))
    monkeypatch.setattr(rereads, "REFRESH_S", 3600.0)

    def open_one(name: str, **more: dict[str, object]) -> Any:
        mine = {section: dict(values) for section, values in sections.items()}
        for section, values in more.items():
            mine.setdefault(section, {}).update(values)
        return running_node(settings(tmp_path / name, **mine))

    return open_one


@asynccontextmanager
async def two(opened: Open, **more: dict[str, object]) -> AsyncIterator[tuple[Node, Node]]:
    """Run two nodes that know of each other."""
    async with opened("a", **more) as a, opened("b", **more) as b:
        await until(lambda: all(bus(node, "frames_received_total") >= 3 for node in (a, b)), "they beat")
        yield a, b


@pytest.fixture
async def nodes(opened: Open) -> AsyncIterator[tuple[Node, Node]]:
    async with two(opened) as both:
        yield both


@dataclass
class People:
    alice: Person
    bob: Person


@pytest.fixture
async def people(nodes: tuple[Node, Node], codes: dict[str, str]) -> People:
    """Two people, each registered at another node."""
    found = People(Person("alice", "+4915112345601"), Person("bob", "+4915112345602"))
    for node, person in zip(nodes, (found.alice, found.bob), strict=True):
        await register(node, person, codes)
    return found


def bus(node: Node, name: str) -> float:
    """Return one of the bus' counters."""
    return node.metrics.registry.get_sample_value(f"chappe_bus_{name}") or 0.0


def rereads_of(node: Node) -> float:
    """Return how often a node has had an inbox read again."""
    return node.metrics.registry.get_sample_value("chappe_inbox_rereads_total") or 0.0


def inbox_reads(node: Node) -> float:
    """Return how often a node has asked the message store for an inbox, or whether there is anything in one."""
    found = 0.0
    for metric in node.metrics.registry.collect():
        for sample in metric.samples:
            if sample.name == "chappe_store_request_seconds_count" and sample.labels["operation"] in (
                "days",
                "inbox",
            ):
                found += sample.value
    return found


async def watch(client: RawClient, person: Person) -> Presence:
    await client.call("presence.watch", calls.WatchPresence([person.user]))
    return await client.next(Presence)


# Presence


async def test_who_comes_and_goes_at_the_other_node_is_seen_here(
    nodes: tuple[Node, Node], people: People
) -> None:
    a, b = nodes
    async with signed_in(a, people.alice) as alice:
        assert (await watch(alice, people.bob)).online is False
        async with signed_in(b, people.bob):
            came = await alice.next(Presence)
            assert (came.user, came.online) == (people.bob.user, True)
        went = await alice.next(Presence)
        assert (went.user, went.online) == (people.bob.user, False)
        assert came.last_seen is not None
        assert went.last_seen is not None
        assert came.last_seen <= went.last_seen <= now_ms()


async def test_who_is_at_the_other_node_already_is_online_at_the_first_look(
    nodes: tuple[Node, Node], people: People
) -> None:
    a, b = nodes
    async with signed_in(b, people.bob), signed_in(a, people.alice) as alice:
        assert (await watch(alice, people.bob)).online is True


async def test_a_node_that_stops_takes_its_people_offline(
    opened: Open, codes: dict[str, str], tmp_path: Path
) -> None:
    alice, bob = Person("alice", "+4915112345601"), Person("bob", "+4915112345602")
    async with opened("a") as a:
        await register(a, alice, codes)
        await register(a, bob, codes)
        async with signed_in(a, alice) as client:
            async with opened("b") as b, signed_in(b, bob):
                assert (await watch(client, bob)).online is True
                await b.supervisor.stop()
            went = await client.next(Presence)
            assert went.online is False
            assert went.last_seen is not None


@pytest.mark.slow
@pytest.mark.system
async def test_a_node_that_is_killed_takes_its_people_offline_when_their_claims_have_expired(
    opened: Open, sections: Sections, codes: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "BusTiming", BusTiming)  # as in production
    alice, bob = Person("alice", "+4915112345601"), Person("bob", "+4915112345602")

    @dataclass
    class Port:
        gateway_port: int

    unhurried: dict[str, object] = {"heartbeat_s": 3600.0}  # these clients answer no PING
    async with (
        opened("a", timing=unhurried) as a,
        serving(tmp_path / "b", config=CONFIG + "\n" + to_toml(sections)) as b,
    ):
        await register(a, alice, codes)
        await register(a, bob, codes)
        there: Any = Port(b.port)
        async with signed_in(a, alice) as client:
            async with connected(there) as other:
                await other.hello(bob)
                shown = await watch(client, bob)
                while not shown.online:
                    shown = await client.next(Presence)
                await b.kill()
                with trio.fail_after(3 * BusTiming().claim_ttl_s):
                    while shown.online:
                        shown = await client.next(Presence)
        # The last that anybody stored of him.
        stored = await a._rim.users.person(bob.user)
        assert stored is not None
        await until(lambda: bus(a, "silences_total") == 1, "the node's silence is told")
        again = shown
        async with signed_in(a, alice) as client:
            again = await watch(client, bob)
        assert again == Presence(bob.user, False, stored.last_seen_ms)


# Devices


async def test_a_device_that_connects_at_the_second_node_closes_the_first(
    nodes: tuple[Node, Node], people: People
) -> None:
    a, b = nodes
    async with signed_in(b, people.alice) as watcher, signed_in(a, people.bob) as first:
        assert (await watch(watcher, people.bob)).online is True
        async with signed_in(b, people.bob) as second:
            assert (await first.closed())[0] == CloseCode.REPLACED
            await second.call("settings.get", calls.Nothing())  # and this one stays
            assert (await watch(watcher, people.bob)).online is True
        while (await watcher.next(Presence)).online:
            pass


async def test_a_device_that_is_revoked_at_one_node_is_cut_off_at_the_other(
    nodes: tuple[Node, Node], people: People
) -> None:
    a, b = nodes
    async with signed_in(a, people.bob) as first:
        second = await linked(a, people.bob, first)
        async with signed_in(b, second) as client:
            signed = device_list.sign(people.bob.account, 3, now_ms(), [entry_of(people.bob)])
            await first.call("devices.update", calls.UpdateDevices(signed))
            assert (await client.closed())[0] == CloseCode.FORBIDDEN
        async with connected(b) as client:
            with pytest.raises(Exception, match="revoked"):
                await client.hello(second)


async def test_a_device_that_is_linked_at_one_node_is_written_to_at_the_other(
    nodes: tuple[Node, Node], people: People
) -> None:
    a, b = nodes
    async with signed_in(a, people.alice) as alice, signed_in(b, people.bob) as bob:
        conv = await alice.open(people.bob)
        await send(alice, message(conv, people.bob.device))
        [first] = await receive(bob)
        second = await linked(b, people.bob, bob)
        with trio.fail_after(30):
            while True:  # until the change has come
                await alice.send(message(conv, people.bob.device))
                await alice._read()
                if any(isinstance(frame, Error) for frame in alice.seen):
                    break
        assert (await alice.next(Error)).code is ErrorCode.MISMATCHED_DEVICES
        sent = await send(alice, message(conv, people.bob.device, second.device))
        async with signed_in(a, second) as other:
            assert sent.id in [event.id for event in await receive(other)]
        assert first.id < sent.id


# Messages


async def test_a_message_wakes_its_device_at_the_other_node_by_the_bus_alone(
    nodes: tuple[Node, Node], people: People
) -> None:
    a, b = nodes
    async with signed_in(a, people.alice) as alice, signed_in(b, people.bob) as bob:
        conv = await alice.open(people.bob)
        reads, again, wakes = inbox_reads(b), rereads_of(b), bus(a, "wakes_sent_total")
        assert reads > 0  # signing in has read it
        for _ in range(5):
            sent = await send(alice, message(conv, people.bob.device))
            with trio.fail_after(30):
                [event] = await receive(bob)
            assert event.id == sent.id
        assert bus(a, "wakes_sent_total") == wakes + 5
        assert (inbox_reads(b), rereads_of(b), bus(b, "holes_total")) == (reads, again, 0)


async def test_a_wake_that_is_lost_is_made_up_for_by_reading(
    nodes: tuple[Node, Node], people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same without the path that the test above is about: then, and only then, is the inbox read."""
    a, b = nodes
    async with signed_in(a, people.alice) as alice, signed_in(b, people.bob) as bob:
        conv = await alice.open(people.bob)
        reads = inbox_reads(b)
        lost = 0

        def lose(*_row: object) -> None:
            nonlocal lost
            lost += 1

        monkeypatch.setattr(type(b._sink), "wake", lose)
        sent = await send(alice, message(conv, people.bob.device))
        await until(lambda: lost == 1, "the wake has come")
        assert not [frame for frame in bob.seen if isinstance(frame, Event)]
        assert inbox_reads(b) == reads
        b._sink.stale()
        with trio.fail_after(30):
            [event] = await receive(bob)
        assert event.id == sent.id
        assert (inbox_reads(b) > reads, rereads_of(b) > 0) == (True, True)


async def test_receipts_and_typing_pass_between_nodes(nodes: tuple[Node, Node], people: People) -> None:
    a, b = nodes
    async with signed_in(a, people.alice) as alice, signed_in(b, people.bob) as bob:
        conv = await alice.open(people.bob)
        await bob.send(Typing(conv, active=True))
        assert await alice.next(Typing) == Typing(conv, True, people.bob.user)
        sent = await send(alice, message(conv, people.bob.device))
        await receive(bob)
        await bob.send(Receipt(conv, sent.id, sent.id))
        assert await alice.next(Receipt) == Receipt(conv, sent.id, sent.id, people.bob.user)


# Limits


async def test_what_a_device_spent_at_one_node_is_spent_at_the_other(
    opened: Open, codes: dict[str, str]
) -> None:
    limits: dict[str, object] = {"messages_burst": 5, "messages_per_s": 0.001}
    alice, bob = Person("alice", "+4915112345601"), Person("bob", "+4915112345602")
    async with two(opened, limits=limits) as (a, b):
        await register(a, alice, codes)
        await register(a, bob, codes)
        async with signed_in(a, alice) as client:
            conv = await client.open(bob)
            for _ in range(5):
                await send(client, message(conv, bob.device))
            await client.send(message(conv, bob.device))
            assert (await client.next(Error)).code is ErrorCode.RATE_LIMITED
        with trio.fail_after(30):
            while await a._rim.bus.load_limits(alice.device) is None:  # noqa: ASYNC110 - Redis does not tell
                await trio.sleep(0.02)
        async with signed_in(b, alice) as client:
            await client.send(message(conv, bob.device))
            refused = await client.next(Error)
            assert refused.code is ErrorCode.RATE_LIMITED
            assert refused.retry_after_ms is not None
        async with signed_in(b, bob) as other:  # who spent nothing may
            await send(other, message(conv, alice.device))


# Traces


async def test_the_way_of_a_message_over_two_nodes_is_one_trace(
    nodes: tuple[Node, Node], people: People
) -> None:
    a, b = nodes
    here, there = Memory(node="a"), Memory(node="b")
    a.metrics.traces.spans, b.metrics.traces.spans = here.spans, there.spans
    async with signed_in(a, people.alice) as alice, signed_in(b, people.bob) as bob:
        conv = await alice.open(people.bob)
        frame = message(conv, people.bob.device)
        await send(alice, frame)
        await receive(bob)
        assert set(await here.until(frame.cid, "send", "append", "publish")) == {"send", "append", "publish"}
        [delivery] = (await there.until(frame.cid, "deliver")).values()
    assert delivery.parent is not None
    assert delivery.parent.span_id == here.of(frame.cid)["send"].context.span_id
    assert delivery.resource.attributes["service.instance.id"] == "b"
