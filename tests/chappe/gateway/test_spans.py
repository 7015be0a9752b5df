"""Spans of one message, in OpenTelemetry's own exporter that keeps them in memory."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
import trio
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chappe.app import Node
from chappe.errors import SettingsError, StoreUnavailable
from chappe.ids import Cid
from chappe.protocol.frames import Error
from chappe.spans import Spans
from chappe.stores.sqlite.messages import SqliteMessageStore

from .raw import Person, message, receive, running_node, send, settings, signed_in

LOW, HIGH = Cid(b"\1" * 8 + b"\0" * 7 + b"\1"), Cid(b"\1" * 8 + b"\xff" * 8)


class Memory:
    """Spans, and where they end up."""

    def __init__(self, share: float = 1.0, node: str = "here") -> None:
        self._exporter = InMemorySpanExporter()
        self.spans = Spans(SimpleSpanProcessor(self._exporter), share, node)

    def of(self, cid: Cid) -> dict[str, ReadableSpan]:
        """Return the spans of a message by name."""
        trace = int.from_bytes(cid, "big")
        found = [span for span in self._exporter.get_finished_spans() if span.context.trace_id == trace]
        return {span.name: span for span in found}

    async def until(self, cid: Cid, *names: str) -> dict[str, ReadableSpan]:
        """Wait for spans of a message, and return all that there are then."""
        with trio.fail_after(10):
            while not set(names) <= self.of(cid).keys():  # noqa: ASYNC110 - nobody tells when there is one
                await trio.sleep(0.01)
        return self.of(cid)


def took_ns(span: ReadableSpan) -> int:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.end_time - span.start_time


async def test_the_way_of_a_message_is_one_trace(node: Node, alice: Person, bob: Person) -> None:
    memory = Memory()
    node.metrics.traces.spans = memory.spans
    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        conv = await a.open(bob)
        frame = message(conv, bob.device)
        await send(a, frame)
        await receive(b)
        found = await memory.until(frame.cid, "send", "append", "deliver")
    assert set(found) == {"send", "append", "deliver"}
    root = found["send"]
    assert root.parent is None
    assert root.context.span_id == int.from_bytes(frame.cid[8:], "big")
    for name in ("append", "deliver"):
        parent = found[name].parent
        assert parent is not None
        assert parent.span_id == root.context.span_id
    assert 0 < took_ns(found["append"]) <= took_ns(root)
    assert root.status.is_unset
    assert root.resource.attributes["service.instance.id"] == "here"


async def test_a_try_that_failed_says_why_and_the_next_one_is_in_the_same_trace(
    node: Node, alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise StoreUnavailable("The disk is full.")

    memory = Memory()
    node.metrics.traces.spans = memory.spans
    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        conv = await a.open(bob)
        frame = message(conv, bob.device)
        with monkeypatch.context() as patch:
            patch.setattr(SqliteMessageStore, "append", full)
            await a.send(frame)
            await a.next(Error)
        failed = memory.of(frame.cid)
        assert (failed["append"].status.description, failed["send"].status.description) == (
            "The disk is full.",
            "unknown",
        )
        await send(a, frame)
        await receive(b)
        again = await memory.until(frame.cid, "deliver")
    assert again["send"].status.is_unset


@pytest.mark.parametrize(("share", "names"), [(0.0, set()), (0.5, {LOW}), (1.0, {LOW, HIGH})])
def test_a_share_of_messages_has_spans_the_same_everywhere(share: float, names: set[Cid]) -> None:
    for _ in range(2):
        memory = Memory(share)
        for cid in (LOW, HIGH):
            memory.spans.record("deliver", cid, 0.1)
        assert {cid for cid in (LOW, HIGH) if memory.of(cid)} == names


def test_about_as_many_as_were_asked_for() -> None:
    memory = Memory(0.25)
    cids = [Cid(secrets.token_bytes(16)) for _ in range(2000)]
    for cid in cids:
        memory.spans.record("send", cid, 0.1)
    assert 350 < len([cid for cid in cids if memory.of(cid)]) < 650  # twelve standard deviations and more


def test_a_cid_that_is_no_trace_id_is_left_out() -> None:
    memory = Memory()
    memory.spans.record("send", Cid(bytes(16)), 0.1)
    memory.spans.record("send", Cid(b"\1" * 8 + bytes(8)), 0.1)
    assert memory.of(Cid(bytes(16))) == {}


async def test_what_waits_is_exported_at_the_end() -> None:
    exporter = InMemorySpanExporter()
    spans = Spans(BatchSpanProcessor(exporter), 1.0, "here")
    spans.record("send", HIGH, 0.1)
    await spans.aclose()
    assert [span.name for span in exporter.get_finished_spans()] == ["send"]


async def test_an_exporter_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"'nothing' is not installed; there are console"):
        async with running_node(settings(tmp_path / "data", tracing={"exporter": "nothing"})):
            pass


async def test_a_node_has_spans_if_its_settings_say_so(tmp_path: Path) -> None:
    async with running_node(settings(tmp_path / "data", tracing={"exporter": "console"})) as node:
        assert isinstance(node.metrics.traces.spans, Spans)
    async with running_node(settings(tmp_path / "data")) as node:
        assert node.metrics.traces.spans is None
