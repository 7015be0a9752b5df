"""Prometheus and Alertmanager over a Chappe of two workers: nobody is called while all is well; whoever is on call
hears when sending breaks, once and not twice, and hears when it is over.

The rules are those of production, sixty times faster. What a busy machine alone may set off is left out of the healthy
part: it says that the machine is slow, which is true.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from chaos.stack.node import READY_S, Node, until
from chaos.watch import Watch
from chappe.ids import ConversationId
from chappe.protocol import calls
from chappe.protocol.codes import RequestError
from chappe.protocol.frames import Ack, Event, Sent
from deploy.services import WATCHERS, Fleet, Wishes
from tests.chappe.gateway.raw import Person, RawClient, message, register, signed_in
from tests.services import Services
from tests.system.workers import Codes, Port, config, server, services
from tests.webhook import Webhook, serving

__all__ = ["config", "server", "services"]

pytestmark = [pytest.mark.system, pytest.mark.slow]

OF_A_SLOW_MACHINE = {"DeliveriesAreLate", "DiskNearlyFull", "EventLoopLate", "StoreSlow"}
PATIENCE_S = 4 * READY_S


class Watchers(Watch):
    """Prometheus and Alertmanager of a test."""

    def names(self) -> set[str]:
        """Return the names of the alerts that fire."""
        return {labels["alertname"] for labels, _ in self.query('ALERTS{alertstate="firing"}')}

    def is_silenced(self, name: str, severity: str) -> bool:
        """Return whether Alertmanager has an alert and keeps it back because of another one."""
        return any(
            alert["status"]["inhibitedBy"]
            for alert in self.alerts()
            if (alert["labels"]["alertname"], alert["labels"]["severity"]) == (name, severity)
        )


@pytest.fixture
async def hook() -> AsyncIterator[Webhook]:
    with serving(Webhook()) as webhook:
        yield webhook


@pytest.fixture
async def watchers(server: Node, hook: Webhook, tmp_path: Path) -> AsyncIterator[Watchers]:
    fleet = Fleet(
        tmp_path / "watchers",
        Wishes(scrape=[f"http://127.0.0.1:{server.http_port}"], pace=60, webhook=hook.url),
    )
    await trio.to_thread.run_sync(fleet.up, WATCHERS)
    yield Watchers(fleet)
    await trio.to_thread.run_sync(partial(fleet.down, grace_s=0))


class Load:
    """Somebody who writes twenty times a second and looks into the history, and somebody who gets it all."""

    def __init__(self) -> None:
        self.sent = 0

    async def write(self, client: RawClient, conv: ConversationId, to: Person) -> None:
        while True:
            await client.send(message(conv, to.device))
            await trio.sleep(0.05)

    async def look(self, client: RawClient, conv: ConversationId) -> None:
        while True:
            with suppress(RequestError):  # in the outage
                await client.call("history.get", calls.GetHistory(conv, limit=5))
            await trio.sleep(0.2)

    async def read(self, client: RawClient) -> None:
        while True:
            await client._read()
            self.sent += sum(isinstance(frame, Sent) for frame in client.seen)
            events = [frame.n for frame in client.seen if isinstance(frame, Event)]
            client.seen.clear()
            if events:
                await client.send(Ack(events[-1]))


@asynccontextmanager
async def load(server: Node) -> AsyncIterator[Load]:
    node: Any = Port(server.port)
    people = [
        Person("ann", "+4915112345678"),
        Person("ben", "+4915112345679"),
        Person("cem", "+4915112345670"),
    ]
    for person in people:
        await register(node, person, Codes(server))
    ann, ben, cem = people
    running = Load()
    async with (
        signed_in(node, ann) as a,
        signed_in(node, ben) as b,
        signed_in(node, cem) as c,
        trio.open_nursery() as nursery,
    ):
        conv, other = await a.open(ben), await c.open(ben)
        nursery.start_soon(running.write, a, conv, ben)
        nursery.start_soon(running.read, a)
        nursery.start_soon(running.read, b)
        nursery.start_soon(running.look, c, other)
        yield running
        nursery.cancel_scope.cancel()


async def test_an_outage_is_told_of_when_it_begins_and_when_it_ends(
    server: Node, watchers: Watchers, hook: Webhook, services: Services
) -> None:
    async def settled(condition: Any, what: str) -> None:
        await until(condition, what, PATIENCE_S)

    async with load(server) as running:
        for slo in ("send", "delivery", "history"):
            await settled(
                lambda slo=slo: watchers.value(f'slo:errors:ratio_rate6h{{slo="{slo}"}}') is not None,
                f"there is a ratio for {slo}",
            )
        await settled(
            lambda: (watchers.value("sum(chappe_sends_total)") or 0) > 200, "200 messages were sent"
        )
        assert watchers.value('sum(chappe_sends_total{outcome="ok"})') == watchers.value(
            "sum(chappe_sends_total)"
        )
        assert watchers.value("sum(chappe_sends_total)") <= running.sent + 40  # those of the last moments
        for slo in ("send", "history"):
            assert watchers.value(f'slo:errors:ratio_rate5m{{slo="{slo}"}}') == 0
            assert watchers.value(f'slo:error_budget_left:ratio{{slo="{slo}"}}') == 1
        assert {labels["instance"].partition("/")[2] for labels, _ in watchers.query("up")} == {
            "parent", "worker-1", "worker-2",
        }  # fmt: skip
        assert watchers.names() <= OF_A_SLOW_MACHINE
        assert hook.alerts("/pages", "SendsFail") == []

        [cassandra] = services("cassandra").cassandra.servers
        cassandra.freeze()
        try:
            await settled(lambda: hook.alerts("/pages", "SendsFail"), "whoever is on call hears of it")
            await settled(lambda: watchers.is_silenced("SendsFail", "ticket"), "the ticket is kept back")
            await settled(lambda: "StoreErrors" in watchers.names(), "the cause is told too")
        finally:
            cassandra.thaw()
        first = hook.alerts("/pages", "SendsFail")[0]
        assert (first["status"], first["labels"]["slo"]) == ("firing", "send")
        assert "of the messages that people send" in first["annotations"]["summary"]

        await settled(
            lambda: hook.alerts("/pages", "SendsFail")[-1]["status"] == "resolved",
            "it is told that it is over",
        )
        before = running.sent
        await settled(lambda: running.sent > before + 20, "messages are sent again")
        assert watchers.value('slo:error_budget_left:ratio{slo="send"}') < 1
