"""One of two tries: which of several rows of one (device, cid) is found. Tries that failed may leave any of them."""

from __future__ import annotations

from itertools import permutations

import pytest
import trio

from chappe.domain.messages import StoredMessage
from chappe.ids import FIRST_ID, Cid, ConversationId, HybridClock, MessageId
from chappe.stores.cassandra.messages import CassandraMessageStore
from chappe.stores.cassandra.statements import BUCKET_MS
from tests.contracts import samples

TIMES_MS = (1000, 2000, BUCKET_MS + 1000)  # the last one in the next bucket
IDS = [HybridClock(lambda ms=ms: ms, node=1).next() for ms in TIMES_MS]  # type: ignore[misc]


def at(message: StoredMessage, place: MessageId) -> StoredMessage:
    return StoredMessage(
        place, message.conv, message.kind, message.sender, message.device, message.cid, message.ref,
        message.body, message.wraps,
    )  # fmt: skip


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_the_try_that_was_written_last_is_found(
    store: CassandraMessageStore, order: tuple[int, ...]
) -> None:
    message = samples.message(ConversationId(samples.new_id()))
    for number in order:
        await store.append([at(message, IDS[number])], [])
        await trio.sleep(0.002)  # the driver stamps writes with microseconds
        found = await store.find(message.conv, message.device, message.cid, FIRST_ID)
        assert found is not None
        assert found.id == IDS[number]
    assert await store.find(message.conv, message.device, Cid(samples.new_id()), FIRST_ID) is None
