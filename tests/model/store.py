"""A message store that several gateways share, in memory, under the adversary's control.

It stands for Cassandra behind `chappe.stores.cassandra`, and assumes of it:

* a row is visible to every read from some moment on, and stays so: reads and writes are at a quorum, and a quorum read
  repairs what it saw. What was confirmed is visible before the confirmation;
* what was not confirmed may become visible row by row, at any time, or never;
* a message's log row is confirmed before its inbox rows are sent; what is too old by then is given up;
* an append ends, one way or the other, within 5 s;
* of several rows of one (device, cid) `find` returns the one that was written last.

`tests/chappe/stores/cassandra/test_messages.py` (the parts "Two steps" and "One of two tries") and
`tests/contracts/test_message_store.py` hold these against the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

import trio

from chappe.domain.messages import InboxRow, LogRow, StoredMessage, Watermark
from chappe.errors import OutcomeUnknown, StoreUnavailable
from chappe.ids import FIRST_ID, Cid, ConversationId, DeviceId, MessageId
from chappe.stores.cassandra.append import too_old
from chappe.stores.cassandra.messages import DEADLINE_S

from .network import Gate
from .rules import TIMING, Rules
from .schedule import Delay, Fate, Reads


@dataclass
class Rows:
    """All rows. The times are from when on they are visible, or `inf`; a log row also has the place it came with."""

    log: dict[tuple[ConversationId, MessageId], list[tuple[float, MessageId, LogRow]]] = field(
        default_factory=dict
    )
    inbox: dict[tuple[DeviceId, MessageId], tuple[float, InboxRow]] = field(default_factory=dict)


class SharedStore:
    """One gateway's access to the shared rows: fulfils `ports.MessageStore`. `gate` holds who is frozen."""

    is_exclusive = False

    def __init__(self, rows: Rows, rules: Rules, now_ms: Callable[[], int], gate: Gate) -> None:
        self.fates: list[Fate] = []
        self.reads: tuple[float, Reads] | None = None
        self._rows = rows
        self._rules = rules
        self._now_ms = now_ms
        self._gate = gate

    async def append(self, messages: Sequence[StoredMessage], watermarks: Sequence[Watermark]) -> None:
        """Store messages in two steps, as their fate has it."""
        if not messages:
            await trio.lowlevel.checkpoint()
            return
        fate = self.fates.pop(0) if self.fates else Fate()
        self._check_age(messages)
        steps = [("log", self._put_log), ("inbox", self._put_inbox)]
        if not self._rules.is_log_first:
            steps.reverse()
        try:
            with trio.fail_after(DEADLINE_S):
                for name, put in steps:
                    await self._gate()
                    delays = put(messages, fate)
                    await self._confirmed(delays, fate, name)
                    await self._gate()
                    if name == steps[0][0]:
                        self._check_age(messages)
        except (trio.TooSlowError, StoreUnavailable) as error:
            raise OutcomeUnknown(f"A write may have happened or not. {error}") from None

    async def _confirmed(self, delays: list[Delay], fate: Fate, name: str) -> None:
        waits = [fate.patience_s if delay is None else delay for delay in delays]
        is_confirmed = max(waits) < fate.patience_s and fate.loses != name
        await trio.sleep(max(waits) if is_confirmed else fate.patience_s)
        if not is_confirmed:
            raise StoreUnavailable("No quorum answered.")

    def _check_age(self, messages: Sequence[StoredMessage]) -> None:
        if self._rules.is_late_refused:
            too_old(messages, self._now_ms(), int(TIMING.write_deadline_s * 1000))

    def _put_log(self, messages: Sequence[StoredMessage], fate: Fate) -> list[Delay]:
        for m in messages:
            row = LogRow(m.id, m.conv, m.kind, m.sender, m.device, m.cid, m.ref, m.body)
            if fate.log is not None:
                self._rows.log.setdefault((m.conv, m.id), []).append((_at(fate.log), m.pos, row))
        return [fate.log]

    def _put_inbox(self, messages: Sequence[StoredMessage], fate: Fate) -> list[Delay]:
        delays: list[Delay] = []
        for m in messages:
            for number, device in enumerate(sorted(m.wraps)):
                delay = fate.inbox[min(number, len(fate.inbox) - 1)]
                delays.append(delay)
                if delay is not None:
                    row = InboxRow(
                        m.id, m.conv, m.kind, m.sender, m.device, m.cid, m.ref, m.wraps[device], m.body, m.pos
                    )
                    self._rows.inbox[device, m.pos] = (_at(delay), row)
        return delays

    async def find(self, conv: ConversationId, device: DeviceId, cid: Cid, after: MessageId) -> LogRow | None:
        """Return the row of (device, cid) that was written last."""
        return await self._read(lambda: self._find(conv, device, cid, after))

    def _find(self, conv: ConversationId, device: DeviceId, cid: Cid, after: MessageId) -> LogRow | None:
        found = [
            (pos, row)
            for writes in self._rows.log.values()
            for at, pos, row in writes
            if at <= trio.current_time()
            and (row.conv, row.device, row.cid) == (conv, device, cid)
            and row.id > after
        ]
        return max(found, key=itemgetter(0), default=(None, None))[1]

    async def inbox(self, device: DeviceId, after: MessageId, limit: int) -> list[InboxRow]:
        """Return rows of an inbox as they are at one moment."""
        return await self._read(lambda: self._inbox(device, after, limit))

    def _inbox(self, device: DeviceId, after: MessageId, limit: int) -> list[InboxRow]:
        now = trio.current_time()
        rows = [
            row
            for (owner, pos), (at, row) in self._rows.inbox.items()
            if owner == device and pos > after and at <= now
        ]
        return sorted(rows, key=lambda row: row.pos)[:limit]

    async def newest_id(self) -> MessageId:
        """Return the greatest position that is visible."""
        now = trio.current_time()
        writes = [pos for rows in self._rows.log.values() for at, pos, _ in rows if at <= now]
        await trio.lowlevel.checkpoint()
        return max(writes, default=FIRST_ID)

    async def _read(self, look):
        await self._gate()
        until, weather = self.reads or (0.0, Reads(0, 0))
        if until < trio.current_time():
            weather = Reads(0, 0)
        with trio.move_on_after(DEADLINE_S) as scope:
            await trio.sleep(weather.before_s)
            if weather.fails:
                raise StoreUnavailable("No quorum answered.")
            found = look()
            await trio.sleep(weather.after_s)
            await self._gate()
        if scope.cancelled_caught:
            raise StoreUnavailable("No answer in time.")
        return found


def _at(delay: float) -> float:
    return trio.current_time() + delay
