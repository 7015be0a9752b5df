"""The event hub: everybody hears everything, and nobody waits for anybody."""

from __future__ import annotations

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from chappe.client.content import Resent, Retry, Text, decode, encode
from chappe.client.events import ConnectionChanged, Event, EventHub, EventsLost, EventStream
from chappe.client.values import ConnectionState
from chappe.crypto.errors import Tampered

ONLINE = ConnectionChanged(ConnectionState.ONLINE)


def numbered(count: int) -> list[Event]:
    return [ConnectionChanged(ConnectionState.OFFLINE, str(number)) for number in range(count)]


async def heard(stream: EventStream, count: int) -> list[Event]:
    return [await anext(stream) for _ in range(count)]


async def test_every_subscriber_hears_every_event_in_order() -> None:
    hub = EventHub()
    with hub.subscribe() as one, hub.subscribe() as other:
        hub.publish(numbered(5))
        assert await heard(one, 5) == await heard(other, 5) == numbered(5)
    hub.publish([ONLINE])


async def test_a_slow_subscriber_loses_the_oldest_and_is_told() -> None:
    hub = EventHub()
    with hub.subscribe(limit=3) as slow, hub.subscribe(limit=10) as fast:
        hub.publish(numbered(5))
        assert await heard(slow, 4) == [EventsLost(2), *numbered(5)[2:]]
        assert await heard(fast, 5) == numbered(5)
        hub.publish([ONLINE])
        assert await anext(slow) == ONLINE


async def test_a_cancelled_wait_loses_nothing(autojump_clock: trio.testing.MockClock) -> None:
    hub = EventHub()
    with hub.subscribe() as stream:
        with trio.move_on_after(1):
            await anext(stream)
        hub.publish([ONLINE])
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(stream)
        assert await anext(stream) == ONLINE


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_any_content_is_read_or_refused(data: bytes) -> None:
    try:
        content = decode(data)
    except Tampered:
        return
    assert decode(encode(content)) == content


ID = st.binary(min_size=16, max_size=16)
TEXT = st.builds(Text, ID, st.text(max_size=50), st.integers(0, 2**53 - 1), st.integers(0, 2**53 - 1), ID)


@settings(max_examples=50)
@given(TEXT | st.builds(Retry, ID, st.lists(ID, max_size=3)) | st.builds(Resent, ID, ID, TEXT))
def test_content_comes_back_as_it_was(content: Text | Retry | Resent) -> None:
    assert decode(encode(content)) == content
