"""Any `MessageStore` against the simplest one there is, under random work, with restarts in between."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chappe.domain.messages import StoredMessage, Watermark, merged
from chappe.ids import FIRST_ID, Cid, ConversationId, DeviceId, MessageId, UserId, before
from chappe.ports import MessageStore
from chappe.protocol.frames import Kind

from . import samples
from .conftest import OpenMessages

FEW = st.integers(0, 3).map(lambda n: bytes([n]) * 16)
MILLIS = st.integers(0, 2).map(lambda ms: ms.to_bytes(6, "big"))
IDS = st.builds(
    lambda ms, n: MessageId(ms + b"\x70\x00\x80" + bytes(6) + bytes([n])), MILLIS, st.integers(1, 20)
)
# A cursor is an id, or a bound that nobody ever made as one.
CURSORS = (
    IDS
    | IDS.map(before)
    | st.builds(lambda ms, rest: MessageId(ms + rest), MILLIS, st.binary(min_size=10, max_size=10))
)
WATERMARKS = st.builds(Watermark, FEW.map(ConversationId), FEW.map(UserId), st.none() | IDS, st.none() | IDS)


@st.composite
def stored(draw: st.DrawFn, at: MessageId) -> StoredMessage:
    return StoredMessage(
        at,
        ConversationId(draw(FEW)),
        draw(st.sampled_from(Kind)),
        UserId(draw(FEW)),
        DeviceId(draw(FEW)),
        Cid(draw(FEW)),
        draw(st.none() | IDS),
        draw(st.sampled_from((b"", b"short", bytes(1025)))),
        draw(st.dictionaries(FEW.map(DeviceId), st.binary(max_size=3), max_size=3)),
    )


@st.composite
def work(draw: st.DrawFn) -> list[list[StoredMessage | Watermark | None]]:
    """Batches to append, each id once, in any order; None is a restart of the store."""
    ids = draw(st.lists(IDS, unique=True, max_size=25))
    items = [draw(stored(at)) for at in ids] + draw(st.lists(WATERMARKS | st.none(), max_size=12))
    mixed = draw(st.permutations(items))
    cuts = sorted(draw(st.lists(st.integers(0, len(mixed)), max_size=6)))
    return [list(mixed[a:b]) for a, b in zip([0, *cuts], [*cuts, len(mixed)], strict=True)]


class Model:
    """Everything in a list."""

    def __init__(self) -> None:
        self.messages: list[StoredMessage] = []
        self.marks: dict[tuple[ConversationId, UserId], Watermark] = {}

    def append(self, messages: Sequence[StoredMessage], watermarks: Sequence[Watermark]) -> None:
        self.messages = sorted([*self.messages, *messages], key=lambda m: m.id)
        for mark in watermarks:
            key = mark.conv, mark.user
            self.marks[key] = merged(self.marks.get(key), mark)

    async def check(self, store: MessageStore, cursor: MessageId, limit: int) -> None:
        newest = self.messages[-1].id if self.messages else FIRST_ID
        assert await store.newest_id() == newest
        for n in range(4):
            conv, device, cid = ConversationId(bytes([n]) * 16), DeviceId(bytes([n]) * 16), Cid(bytes(16))
            log = [m for m in self.messages if m.conv == conv and m.kind < Kind.CONTROL]
            older = [samples.log_row(m) for m in reversed(log) if m.id < cursor]
            assert await store.history(conv, cursor, limit) == older[:limit]
            assert await store.history(conv, None, 100) == [samples.log_row(m) for m in reversed(log)]
            heard = [samples.inbox_row(m, device) for m in self.messages if device in m.wraps]
            assert await store.inbox(device, FIRST_ID, 100) == heard
            assert await store.inbox(device, cursor, limit) == [r for r in heard if r.id > cursor][:limit]
            same = [samples.log_row(m) for m in log if (m.device, m.cid) == (device, cid) and m.id > cursor]
            found = await store.find(conv, device, cid, cursor)
            assert found in same if same else found is None
            marks = await store.watermarks([conv])
            assert {(m.conv, m.user): m for m in marks} == {
                k: m for k, m in self.marks.items() if k[0] == conv
            }


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=work(), cursor=CURSORS, limit=st.integers(1, 4))
def test_a_store_behaves_like_a_list(
    open_messages: OpenMessages,
    batches: list[list[StoredMessage | Watermark | None]],
    cursor: MessageId,
    limit: int,
) -> None:
    async def main() -> None:
        model = Model()
        with tempfile.TemporaryDirectory() as folder:
            async with AsyncExitStack() as stack:
                store = await stack.enter_async_context(open_messages(Path(folder)))
                for batch in batches:
                    if None in batch:
                        await stack.aclose()
                        store = await stack.enter_async_context(open_messages(Path(folder)))
                    said = [item for item in batch if isinstance(item, StoredMessage)]
                    marks = [item for item in batch if isinstance(item, Watermark)]
                    await store.append(said, marks)
                    model.append(said, marks)
                await model.check(store, cursor, limit)

    trio.run(main)
