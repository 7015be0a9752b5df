"""One device of one person, as a process: chats at random and writes down all that it does and sees.

Started by `processes.Person` as `python person.py PLAN.json`; it may be killed at any moment and started
again on the same profile and history. Orders come on standard input, one JSON object a line: `{"do": "stop"}`
stops sending, and "stopped" is printed once nothing is queued; `{"do": "finish", "ids": [id, ...]}` waits
until all of these are on the screen, writes the last record and exits. The end of standard input means that
the test is gone.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

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
)
from chappe.history import Finish, Invoke, Page, Read, Recorder, Row, Shown, Start, Tick, load
from chappe.ids import ConversationId, MessageId, UserId

EVERYTHING = 1_000_000
PATIENCE_S = 120.0
# The client's own 60 s is for a server that is down; here it dies every few seconds and is back at once.
MOST_WAIT_S = 2.0


class Plan(msgspec.Struct, frozen=True):
    """What a person does: `peers` are user ids in hex; `answers` and `reads` are chances, from 0 to 1."""

    profile: str
    passphrase: str
    history: str
    peers: list[str]
    seed: int
    per_s: float = 5.0
    answers: float = 0.4
    reads: float = 0.5


class Person:
    """The device at work: one task sends, one shows what comes, one takes orders."""

    def __init__(self, plan: Plan, client: Client, recorder: Recorder, name: str) -> None:
        self._plan = plan
        self._client = client
        self._recorder = recorder
        self._name = name
        self._random = random.Random(f"{plan.seed}/{name}")
        self._newest: dict[ConversationId, MessageId] = {}
        self._screen: set[str] = set()
        self._stop = trio.Event()
        self._moved = trio.Event()

    async def live(self) -> None:
        """Chat until told to finish, or until nobody gives orders any more."""
        me = self._client.me
        async with self._client.events() as events, trio.open_nursery() as nursery:
            # Older events may still wait in `events`: a state on this page would make them look like a step back.
            pages = tuple(map(_stateless, await self._pages()))
            self._screen |= {row.id for page in pages for row in page.rows if row.id is not None}
            self._recorder.write(Start(user=me.user.hex(), device=me.device.hex(), pages=pages))
            nursery.start_soon(self._chat)
            nursery.start_soon(self._watch, events)
            is_finished = await self._obey()
            nursery.cancel_scope.cancel()
        if is_finished:  # and nothing is recorded any more between reading the pages and writing them down
            self._recorder.write(Finish(pages=await self._pages()))

    async def _watch(self, events: EventStream) -> None:
        async for event in events:
            match event:
                case MessageReceived(message):
                    await self._show(message)
                case MessageChanged(message):
                    self._tick(message)
                case ConnectionChanged(state, reason):
                    print(f"{time.time():.1f} {state.value}: {reason}", file=sys.stderr)
                case EventsLost(count):
                    raise RuntimeError(f"{count} events were lost: this history would prove nothing.")
                case _:
                    continue
            self._moved.set()
            self._moved = trio.Event()

    async def _chat(self) -> None:
        number = 0
        while not self._stop.is_set():
            with trio.move_on_after(self._random.expovariate(self._plan.per_s)):
                await self._stop.wait()
            number += 1
            peer = UserId(bytes.fromhex(self._random.choice(self._plan.peers)))
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
        state = message.state.name.lower()
        record = {"what": "tick", "conv": message.conv.hex(), "text": message.text, "state": state}
        record |= {"id": _hex(message.id), "reason": message.reason}
        self._recorder.write(msgspec.convert(record, Tick))
        if message.id is not None:
            self._screen.add(message.id.hex())

    async def _obey(self) -> bool:
        """Follow orders; return whether the last one was to finish."""
        async for order in _orders():
            if order["do"] == "stop":
                self._stop.set()
                await self._until_nothing_is_queued()
                print("stopped", flush=True)
            elif order["do"] == "finish":
                with trio.move_on_after(PATIENCE_S):
                    while not self._screen.issuperset(order["ids"]):
                        await self._moved.wait()
                return True
        return False

    async def _until_nothing_is_queued(self) -> None:
        moved = self._moved
        while any(row.state == "queued" for page in await self._pages() for row in page.rows):
            await moved.wait()
            moved = self._moved

    async def _pages(self) -> tuple[Page, ...]:
        pages = []
        for conversation in await self._client.conversations():
            messages = await self._client.history(conversation.conv, limit=EVERYTHING)
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


async def _orders() -> AsyncIterator[dict[str, Any]]:
    buffer = b""
    async with trio.lowlevel.FdStream(0) as stream:
        async for chunk in stream:
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                yield msgspec.json.decode(line)


async def live(plan: Plan, name: str, recorder: Recorder) -> None:
    """Open the profile and chat."""
    async with Client(Path(plan.profile), plan.passphrase, most_wait_s=MOST_WAIT_S) as client:
        await Person(plan, client, recorder, name).live()


def main(path: Path) -> None:
    """Follow the plan in a file."""
    plan = msgspec.json.decode(path.read_bytes(), type=Plan)
    history = Path(plan.history)
    lives = sum(1 for _ in load(history).each(Start)) if history.exists() else 0
    with Recorder(history, lambda: time.time_ns() // 1_000_000) as recorder:
        trio.run(live, plan, f"{history.stem}/{lives}", recorder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
