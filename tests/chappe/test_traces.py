"""Lines about single messages: only for what failed or was slow, by cid, and not more than one a second."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog
import trio
from trio.testing import MockClock

from chappe.domain.messages import StoredMessage
from chappe.errors import StoreUnavailable
from chappe.ids import FIRST_ID, Cid, ConversationId, DeviceId, UserId
from chappe.protocol.frames import Kind
from chappe.traces import MOST_TRACES, SLOW_S, Traces


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


def message(number: int) -> StoredMessage:
    return StoredMessage(
        FIRST_ID,
        ConversationId(b"c" * 16),
        Kind.MESSAGE,
        UserId(b"u" * 16),
        DeviceId(b"d" * 16),
        Cid(bytes([number]) * 16),
        None,
        b"secret",
        {DeviceId(b"e" * 16): b"wrapped"},
    )


async def test_what_is_quick_has_no_line(lines: list[Any]) -> None:
    traces = Traces()
    traces.appended([message(1)], SLOW_S)
    traces.sent([message(1)], SLOW_S)
    traces.delivered(message(1).cid, SLOW_S)
    traces.called("history.get", SLOW_S, code=None, connection=1, rid=2)
    assert lines == []


async def test_one_message_is_found_by_one_id(lines: list[Any]) -> None:
    traces = Traces()
    one = message(7)
    traces.appended([one], 1.5)
    traces.sent([one], 1.6)
    traces.delivered(one.cid, 1.75)
    assert [(line["event"], line["seconds"], line["traces"]) for line in lines] == [
        ("append_slow", 1.5, ["07" * 16]),
        ("send_slow", 1.6, ["07" * 16]),
        ("delivery_slow", 1.75, ["07" * 16]),
    ]
    assert "secret" not in str(lines)


async def test_a_failed_batch_names_its_first_messages(lines: list[Any]) -> None:
    Traces().appended([message(number) for number in range(9)], 0.01, StoreUnavailable("The disk is full."))
    [line] = lines
    assert (line["event"], line["count"], line["error"]) == ("append_failed", 9, "The disk is full.")
    assert line["traces"] == [f"{number:02x}" * 16 for number in range(MOST_TRACES)]


async def test_calls_are_named_by_connection_and_rid(lines: list[Any]) -> None:
    traces = Traces()
    traces.called("history.get", 0.1, code="store_unavailable", connection=3, rid=4)
    traces.called("users.get", 2.0, code=None, connection=5, rid=6)
    assert [(line["event"], line["call"], line["connection"], line["rid"]) for line in lines] == [
        ("call_failed", "history.get", 3, 4),
        ("call_slow", "users.get", 5, 6),
    ]


async def test_an_outage_has_one_line_a_second_that_counts_the_others(
    lines: list[Any], autojump_clock: MockClock
) -> None:
    traces = Traces()
    for _ in range(9):
        traces.appended([message(1), message(2)], 0.0, StoreUnavailable("away"))
        traces.sent([message(3)], 2.0)  # another kind has a second of its own
        await trio.sleep(0.25)
    failed = [line for line in lines if line["event"] == "append_failed"]
    assert len(failed) == 3
    assert sum(line["count"] + line.get("left_out", 0) for line in failed) == 2 * 9
    assert len(lines) == 6
