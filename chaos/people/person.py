"""Devices that chat at random and write down all that they do and see: one process, one task for each device.

Started by `crowd.Group` as `python -m chaos.people.person PLANS.json`; it may be killed at any moment and started
again on the same profiles and histories. Orders come on standard input, one JSON object a line: `{"do": "meet",
"peers": {name: [user id, ...]}}` gives devices more people to talk to. `{"do": "stop"}` stops sending, and "stopped" is
printed once nothing is queued anywhere; `{"do": "finish", "ids": {name: [id, ...]}}` has each device wait until its ids
are on the screen and write the last record, then the process exits. The end of standard input means that whoever
watches is gone.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import trio
from msgspec.structs import replace

from chappe.client import (
    Client,
    ConnectionChanged,
    EventsLost,
    EventStream,
    Message,
    MessageChanged,
    MessageReceived,
    ServerSuspected,
    Undecryptable,
)
from chappe.history import Finish, Invoke, Page, Read, Recorder, Row, Shown, Start, Tick, load
from chappe.ids import ConversationId, MessageId, UserId

EVERYTHING = 1_000_000
PATIENCE_S = 120.0
# The client's own 60 s is for a server that is down; here it dies every few seconds and is back at once.
MOST_WAIT_S = 2.0
CANNOT_READ = "cannot read"  # so begins the note of each message that came and could not be read
OPENING_AT_ONCE = 4  # a profile opens with a password hash of 64 MiB


class Plan(msgspec.Struct, frozen=True):
    """What a device does: `peers` are user ids in hex; `answers` and `reads` are chances, from 0 to 1."""

    name: str
    profile: str
    passphrase: str
    server: str
    history: str
    peers: list[str]
    seed: int
    per_s: float = 5.0
    answers: float = 0.4
    reads: float = 0.5
    patience_s: float = PATIENCE_S


class Orders:
    """What the whole process was told: whom else to talk to, to stop sending, what to wait for; by device."""

    def __init__(self) -> None:
        self.stop = trio.Event()
        self.finish = trio.Event()
        self.ids: dict[str, list[str]] = {}
        self.peers: dict[str, list[str]] = {}


class Person:
    """The device at work: one task sends, one shows what comes. `name` tells its lives apart."""

    def __init__(self, plan: Plan, client: Client, recorder: Recorder, name: str) -> None:
        self._plan = plan
        self._client = client
        self._recorder = recorder
        self._name = name
        self._random = random.Random(f"{plan.seed}/{name}")
        self._newest: dict[ConversationId, MessageId] = {}
        self._screen: set[str] = set()
        self._moved = trio.Event()

    async def live(self, orders: Orders, stopped: Callable[[], None]) -> None:
        """Chat until told to finish; `stopped` hears when nothing is queued any more."""
        me = self._client.me
        async with self._client.events() as events, trio.open_nursery() as nursery:
            # Older events may still wait in `events`: a state on this page would make them look like a step back.
            pages = tuple(map(_stateless, await self._pages()))
            self._screen |= {row.id for page in pages for row in page.rows if row.id is not None}
            self._recorder.write(Start(user=me.user.hex(), device=me.device.hex(), pages=pages))
            nursery.start_soon(self._chat, orders)
            nursery.start_soon(self._watch, events)
            await orders.stop.wait()
            await self._until_nothing_is_queued()
            stopped()
            await orders.finish.wait()
            with trio.move_on_after(self._plan.patience_s):
                while not self._screen.issuperset(orders.ids.get(self._plan.name, ())):
                    await self._moved.wait()
            nursery.cancel_scope.cancel()
        # Nothing is recorded any more between reading the pages and writing them down.
        self._recorder.write(Finish(pages=await self._pages()))

    async def _watch(self, events: EventStream) -> None:
        async for event in events:
            match event:
                case MessageReceived(message):
                    await self._show(message)
                case MessageChanged(message):
                    self._tick(message)
                case ConnectionChanged(state, reason):
                    self._note(f"{state.value}: {reason}")
                case Undecryptable(sender=sender, device=device, id=id, reason=reason):
                    self._note(
                        f"{CANNOT_READ} {id.hex()} of {sender.hex()}'s device {device.hex()}: {reason}"
                    )
                case ServerSuspected(what):
                    self._note(f"suspects the server: {what}")
                case EventsLost(count):
                    raise RuntimeError(f"{count} events were lost: this history would prove nothing.")
                case _:
                    continue
            self._moved.set()
            self._moved = trio.Event()

    def _note(self, what: str) -> None:
        """Say something for whoever looks for the reason of a verdict."""
        print(f"{time.time():.1f} {self._name} {what}", file=sys.stderr)

    async def _chat(self, orders: Orders) -> None:
        number = 0
        while True:
            with trio.move_on_after(self._random.expovariate(self._plan.per_s)):
                await orders.stop.wait()
                return
            number += 1
            peers = [*self._plan.peers, *orders.peers.get(self._plan.name, ())]
            peer = UserId(bytes.fromhex(self._random.choice(peers)))
            conv = self._client.conversation(peer)
            answers = self._newest.get(conv) if self._random.random() < self._plan.answers else None
            text = f"{self._name}/{number}"
            self._recorder.write(Invoke(conv=conv.hex(), to=peer.hex(), text=text, answers=_hex(answers)))
            await self._client.send(peer, text, reply_to=answers)

    async def _show(self, message: Message) -> None:
        if message.id is None or message.text is None:
            return
        conv, name = message.conv.hex(), message.id.hex()
        answers, device = _hex(message.reply_to), message.device.hex()
        self._recorder.write(Shown(conv=conv, id=name, device=device, text=message.text, answers=answers))
        self._screen.add(name)
        self._newest[message.conv] = max(message.id, self._newest.get(message.conv, message.id))
        if not message.mine and self._random.random() < self._plan.reads:
            self._recorder.write(Read(conv=conv, id=name))
            await self._client.mark_read(message.conv, message.id)

    def _tick(self, message: Message) -> None:
        if message.text is None:  # of another own device, and sealed until that one sends it again
            return
        state = message.state.name.lower()
        record: dict[str, str | None] = {"what": "tick", "conv": message.conv.hex(), "text": message.text}
        record |= {"state": state, "id": _hex(message.id), "reason": message.reason}
        self._recorder.write(msgspec.convert(record, Tick))
        if message.id is not None:
            self._screen.add(message.id.hex())

    async def _until_nothing_is_queued(self) -> None:
        moved = self._moved
        while any(row.state == "queued" for page in await self._pages() for row in page.rows):
            await moved.wait()
            moved = self._moved

    async def _pages(self) -> tuple[Page, ...]:
        pages = []
        for conversation in await self._client.conversations():
            messages = await self._client.history(conversation.conv, limit=EVERYTHING)
            if messages and all(message.text is None for message in messages):
                continue  # a stranger's poison; of a friend's, the check would miss every message
            pages.append(Page(conv=conversation.conv.hex(), rows=tuple(map(_row, messages))))
        return tuple(pages)


def _stateless(page: Page) -> Page:
    return replace(page, rows=tuple(replace(row, state=None) for row in page.rows))


def _row(message: Message) -> Row:
    state = message.state.name.lower() if message.mine else None
    row = {"text": message.text or "(sealed)", "device": message.device.hex(), "id": _hex(message.id)}
    return msgspec.convert(row | {"answers": _hex(message.reply_to), "state": state}, Row)


def _hex(name: bytes | None) -> str | None:
    return None if name is None else name.hex()


async def _listen(orders: Orders, end: trio.CancelScope) -> None:
    """Take orders until there are none any more; then whoever gave them has gone, and everything ends."""
    buffer = b""
    async with trio.lowlevel.FdStream(0) as stream:
        async for chunk in stream:
            *lines, buffer = (buffer + chunk).split(b"\n")
            for order in map(msgspec.json.decode, lines):
                if order["do"] == "stop":
                    orders.stop.set()
                elif order["do"] == "meet":
                    orders.peers = order["peers"]
                else:
                    orders.ids = order["ids"]
                    orders.finish.set()
    end.cancel()


async def live(plan: Plan, orders: Orders, opening: trio.Semaphore, stopped: Callable[[], None]) -> None:
    """Open a profile and chat."""
    name = f"{plan.name}/{_lives(Path(plan.history))}"
    with Recorder(Path(plan.history), lambda: time.time_ns() // 1_000_000) as recorder:
        async with AsyncExitStack() as stack:
            client = Client(Path(plan.profile), plan.passphrase, server=plan.server, most_wait_s=MOST_WAIT_S)
            async with opening:
                await stack.enter_async_context(client)
            await Person(plan, client, recorder, name).live(orders, stopped)


def _lives(history: Path) -> int:
    return sum(1 for _ in load(history).each(Start)) if history.exists() else 0


async def live_all(plans: Sequence[Plan]) -> None:
    """Follow all plans, and the orders."""
    orders = Orders()
    opening = trio.Semaphore(OPENING_AT_ONCE)
    waiting = len(plans)

    def stopped() -> None:
        nonlocal waiting
        waiting -= 1
        if not waiting:
            print("stopped", flush=True)

    async with trio.open_nursery() as listening:
        listening.start_soon(_listen, orders, listening.cancel_scope)
        async with trio.open_nursery() as nursery:
            for plan in plans:
                nursery.start_soon(live, plan, orders, opening, stopped)
        listening.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(live_all, msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=list[Plan]))
