"""What a real node counts of real traffic: every send once and by whose fault, every delivery, every store."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog
import trio

from chappe.app import Node
from chappe.errors import OutcomeUnknown, StoreUnavailable
from chappe.gateway.router import Router
from chappe.protocol import calls
from chappe.protocol.codes import RequestError
from chappe.protocol.frames import Ack, Drained, Error, Event
from chappe.stores.sqlite.messages import SqliteMessageStore

from .raw import Person, connected, message, receive, register, running_node, send, settings, signed_in


def value(node: Node, name: str, **labels: str) -> float:
    """Return a sample, 0 when there is none yet."""
    return node.metrics.registry.get_sample_value(name, labels) or 0.0


async def until(node: Node, name: str, wanted: float, **labels: str) -> None:
    """Return when a sample is that."""
    with trio.fail_after(10):
        while value(node, name, **labels) != wanted:  # noqa: ASYNC110 - nobody tells when a metric changes
            await trio.sleep(0.01)


def sends(node: Node) -> dict[str, float]:
    return {
        outcome: value(node, "chappe_sends_total", outcome=outcome) for outcome in ("ok", "refused", "failed")
    }


async def test_a_send_counts_once_by_whose_fault_it_was(
    node: Node, alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with signed_in(node, alice) as a:
        conv = await a.open(bob)
        frame = message(conv, bob.device)
        await send(a, frame)
        await send(a, frame)  # answered from the first try
        assert sends(node) == {"ok": 2, "refused": 0, "failed": 0}

        await a.send(message(conv), message(conv, bob.device, body=b"x" * 65_537))
        assert {(await a.next(Error)).code for _ in range(2)} == {"mismatched_devices", "too_big"}
        assert sends(node) == {"ok": 2, "refused": 2, "failed": 0}

        async def full(*_: object) -> None:
            raise StoreUnavailable("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(SqliteMessageStore, "append", full)
            await a.send(message(conv, bob.device))
            assert (await a.next(Error)).code == "store_unavailable"
    assert sends(node) == {"ok": 2, "refused": 2, "failed": 1}
    assert value(node, "chappe_send_errors_total", code="store_unavailable") == 1
    assert value(node, "chappe_send_errors_total", code="too_big") == 1
    assert value(node, "chappe_errors_total", code="too_big") == 1
    assert value(node, "chappe_messages_stored_total") == value(node, "chappe_send_seconds_count") == 1


async def test_a_flood_is_the_clients_fault(tmp_path: Path, codes: dict[str, str]) -> None:
    config = settings(tmp_path / "data", limits={"messages_burst": 3, "messages_per_s": 0.001})
    people = [Person("alice", "+4915112345601"), Person("bob", "+4915112345602")]
    async with running_node(config) as node:
        for person in people:
            await register(node, person, codes)
        async with signed_in(node, people[0]) as a:
            conv = await a.open(people[1])
            await a.send(*(message(conv, people[1].device) for _ in range(5)))
            assert {(await a.next(Error)).code for _ in range(2)} == {"rate_limited"}
            await until(node, "chappe_sends_total", 3, outcome="ok")
        assert sends(node) == {"ok": 3, "refused": 2, "failed": 0}


async def test_a_bug_in_the_router_is_ours(
    node: Node, alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with signed_in(node, alice) as a:
        conv = await a.open(bob)

        def broken(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(Router, "_check_devices", broken)
        await a.send(message(conv, bob.device), message(conv, bob.device))
        assert (await a.closed())[0] == 1011
    assert sends(node) == {"ok": 0, "refused": 0, "failed": 2}


async def test_deliveries_are_timed_to_the_socket_and_to_the_ack(
    node: Node, alice: Person, bob: Person
) -> None:
    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        conv = await a.open(bob)
        for _ in range(3):
            await send(a, message(conv, bob.device))
        events = [await b.next(Event) for _ in range(3)]
        await until(node, "chappe_delivery_seconds_count", 3)
        assert value(node, "chappe_window_events") == 3
        assert value(node, "chappe_end_to_end_seconds_count") == 0
        await b.send(Ack(events[-1].n))
        await until(node, "chappe_end_to_end_seconds_count", 3)
        assert value(node, "chappe_events_acknowledged_total") == value(node, "chappe_events_sent_total") == 3
        assert value(node, "chappe_window_events") == value(node, "chappe_window_bytes") == 0
        assert 0 <= value(node, "chappe_delivery_seconds_sum") <= value(node, "chappe_end_to_end_seconds_sum")


async def test_what_waited_for_its_device_is_no_late_delivery(node: Node, alice: Person, bob: Person) -> None:
    async with signed_in(node, alice) as a:
        conv = await a.open(bob)
        await send(a, message(conv, bob.device))
        async with signed_in(node, bob) as b:
            await receive(b)
            await send(a, message(conv, bob.device))
            await receive(b)
            await until(node, "chappe_events_acknowledged_total", 2)
    assert value(node, "chappe_delivery_seconds_count") == 1
    assert value(node, "chappe_end_to_end_seconds_count") == 1


async def test_an_inbox_that_cannot_be_read_makes_late_deliveries(
    node: Node, alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SqliteMessageStore.inbox
    is_away = True

    async def inbox(self: SqliteMessageStore, *args: object) -> object:
        if is_away:
            raise StoreUnavailable("it is away")
        return await real(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(SqliteMessageStore, "inbox", inbox)
    async with connected(node) as b, connected(node) as a:
        await b.hello(bob)
        await a.hello(alice)
        conv = await a.open(bob)
        await send(a, message(conv, bob.device))
        await trio.sleep(0.02)  # so that it is later than the millisecond in which it was accepted
        is_away = False
        await receive(b)
        await until(node, "chappe_delivery_seconds_count", 1)
    assert value(node, "chappe_delivery_seconds_sum") >= 0.02


async def test_a_full_window_is_the_clients_own_delay(node: Node, alice: Person, bob: Person) -> None:
    async with signed_in(node, alice) as a, connected(node) as b:
        conv = await a.open(bob)
        await b.hello(bob, window=2)
        await b.next(Drained)
        for _ in range(4):
            await send(a, message(conv, bob.device))
        await until(node, "chappe_live_queue_events", 2)
        assert value(node, "chappe_live_queue_bytes") == 2 * 260
        await trio.sleep(0.02)
        events = [await b.next(Event) for _ in range(2)]
        await b.send(Ack(events[-1].n))
        await receive(b, 2)
        await until(node, "chappe_events_acknowledged_total", 4)
        assert value(node, "chappe_live_queue_bytes") == 0
    assert value(node, "chappe_delivery_seconds_count") == 2


async def test_calls_count_by_name_and_by_whose_fault(
    node: Node, alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def history(outcome: str) -> float:
        return value(node, "chappe_calls_total", call="history.get", outcome=outcome)

    async with signed_in(node, alice) as a:
        conv = await a.open(bob)
        assert (history("ok"), history("failed")) == (0, 0)
        await a.call("history.get", calls.GetHistory(conv))
        stranger = calls.GetHistory(type(conv)(bytes(16)))
        with pytest.raises(RequestError, match="No such conversation"):
            await a.call("history.get", stranger)

        async def away(*_: object) -> None:
            raise StoreUnavailable("it is away")

        monkeypatch.setattr(SqliteMessageStore, "history", away)
        with pytest.raises(RequestError, match="away"):
            await a.call("history.get", calls.GetHistory(conv))
        await until(node, "chappe_call_seconds_count", 3, call="history.get")
    assert (history("ok"), history("refused"), history("failed")) == (1, 1, 1)
    assert value(node, "chappe_calls_total", call="register", outcome="ok") == 2


async def test_all_stores_are_timed_alike(
    node: Node, alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unsure(*_: object) -> None:
        raise OutcomeUnknown("who knows")

    async with signed_in(node, alice) as a:
        conv = await a.open(bob)
        await send(a, message(conv, bob.device))
        with monkeypatch.context() as patch:
            patch.setattr(SqliteMessageStore, "append", unsure)
            await a.send(message(conv, bob.device))
            await a.next(Error)
        with pytest.raises(RequestError):
            await a.call("users.get", calls.UserRef(type(bob.user)(bytes(16))))

    def count(store: str, operation: str, outcome: str) -> float:
        return value(
            node,
            "chappe_store_operation_seconds_count",
            store=store,
            operation=operation,
            outcome=outcome,
        )

    assert count("messages", "append", "ok") == 1
    assert count("messages", "append", "unknown") == 1
    assert count("users", "create_account", "ok") == 2
    assert count("users", "put_direct", "ok") == 1


async def test_what_is_connected_is_counted(node: Node, alice: Person, bob: Person) -> None:
    async with signed_in(node, alice) as a, signed_in(node, bob), connected(node):
        await a.call("presence.watch", calls.WatchPresence([bob.user]))
        assert value(node, "chappe_connections") == 3
        assert value(node, "chappe_connections_idle") == 2
        assert value(node, "chappe_devices_online") == value(node, "chappe_accounts_online") == 2
        assert value(node, "chappe_presence_watches") == 1
    await until(node, "chappe_connections", 0)
    await until(node, "chappe_presence_watches", 0)


async def test_the_event_loop_says_how_late_it_is(node: Node) -> None:
    with trio.fail_after(10):
        while not value(node, "chappe_event_loop_lag_seconds_count"):  # noqa: ASYNC110 - it looks once a second
            await trio.sleep(0.05)
    assert value(node, "chappe_data_size_bytes") >= value(node, "chappe_data_free_bytes") > 0
    assert value(node, "process_open_fds") > 0


async def test_a_certificate_says_when_it_ends(tmp_path: Path) -> None:
    async with running_node(settings(tmp_path / "data", gateway={"self_signed": True})) as node:
        assert value(node, "chappe_tls_certificate_expiry_timestamp_seconds") > 1_700_000_000


async def test_a_message_that_was_not_stored_is_in_the_log_by_its_cid(
    node: Node, alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise StoreUnavailable("the disk is full")

    async with signed_in(node, alice) as a:
        conv = await a.open(bob)
        frame = message(conv, bob.device)
        monkeypatch.setattr(SqliteMessageStore, "append", full)
        monkeypatch.setattr(SqliteMessageStore, "history", full)
        with structlog.testing.capture_logs() as lines:
            await a.send(frame)
            await a.next(Error)
            with pytest.raises(RequestError):
                await a.call("history.get", calls.GetHistory(conv))
            await until(node, "chappe_calls_total", 1, call="history.get", outcome="failed")
    [failed] = [line for line in lines if line["event"] == "append_failed"]
    assert failed["traces"] == [frame.cid.hex()]
    [call] = [line for line in lines if line["event"] == "call_failed"]
    assert (call["call"], call["code"]) == ("history.get", "store_unavailable")
