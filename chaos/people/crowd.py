"""A crowd: signed-in devices in processes of their own that chat, and the verdict in the end.

A scenario or a test enrols people, lets a `Crowd` of them chat while it breaks something, and asks for the verdict of
`chappe.history` over what all the devices wrote down. What one device does is in `person.py`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Protocol

import msgspec
import trio

from chappe.client import Client, DeliveryState, Message, login, register
from chappe.history import Tick, Verdict, check, load
from chappe.ids import UserId, direct_conversation

from ..stack.node import READY_S, until
from . import person
from .person import PATIENCE_S, Plan

PASSPHRASE = "correct horse"
PASSWORD = "battery staple 42"
DRAIN_S = 180.0
ENROLLING_AT_ONCE = 4
ROOT = Path(__file__).parents[2]
PERSON = [sys.executable, "-m", person.__name__]


class Door(Protocol):
    """Where people knock: one node, or the balancer of several."""

    @property
    def url(self) -> str: ...

    async def code(self, phone: str) -> str:
        """Return the verification code that was sent to a phone."""
        ...


@dataclass(frozen=True)
class Profile:
    """A device that is signed in: what it takes to open it."""

    folder: Path
    username: str
    user: bytes

    def client(self) -> Client:
        return Client(self.folder, PASSPHRASE)


async def enrol(
    door: Door, folder: Path, devices: dict[str, int], first_number: int = 0
) -> dict[str, list[Profile]]:
    """Register everybody of `devices` (user name to number of devices) and link the further devices. Phone numbers
    count from `first_number`.
    """
    people: dict[str, list[Profile]] = {}
    limit = trio.Semaphore(ENROLLING_AT_ONCE)

    async def one(number: int, username: str, count: int) -> None:
        async with limit:
            people[username] = await _enrol_one(door, folder, f"+4915112345{number:03}", username, count)

    async with trio.open_nursery() as nursery:
        for number, (username, count) in enumerate(devices.items(), first_number):
            nursery.start_soon(one, number, username, count)
    return people


async def _enrol_one(door: Door, folder: Path, phone: str, username: str, count: int) -> list[Profile]:
    first = folder / f"{username}-1"
    ask_code = partial(door.code, phone)
    me = await register(
        door.url, first, PASSPHRASE, username=username, phone=phone, password=PASSWORD, ask_code=ask_code
    )
    profiles = [Profile(folder / f"{username}-{n}", username, me.user) for n in range(1, count + 1)]
    for further in profiles[1:]:
        await _link(door, profiles[0], further)
    return profiles


async def _link(door: Door, first: Profile, further: Profile) -> None:
    async with first.client() as client:
        await client.online()

        async def approve(code: str) -> None:
            await client.link(code)

        await login(
            door.url,
            further.folder,
            PASSPHRASE,
            username=further.username,
            password=PASSWORD,
            device_name=further.folder.name,
            show_code=approve,
        )


class Group:
    """A process of `person.py` with some devices; may be killed and started again."""

    def __init__(
        self, folder: Path, name: str, plans: Sequence[Plan], program: Sequence[str] = tuple(PERSON)
    ) -> None:
        self._program = program
        self.name = name
        self.plans = plans
        self._folder = folder
        self._began_at = 0
        self.process: trio.Process | None = None

    async def start(self) -> None:
        """Start it on its profiles."""
        plans = self._file("plans")
        plans.write_bytes(msgspec.json.encode(self.plans))
        command = [*self._program, str(plans)]
        with self._file("out").open("ab") as out, self._file("err").open("ab") as err:
            self._began_at = out.tell()
            self.process = await trio.lowlevel.open_process(
                command, stdin=subprocess.PIPE, stdout=out, stderr=err, cwd=ROOT
            )

    async def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.kill()
            with trio.CancelScope(shield=True):
                await self.process.wait()

    async def stop(self) -> None:
        """Let all stop sending, and wait until nothing of them is queued."""
        await self._order({"do": "stop"})
        await until(self._has_stopped, f"{self.name} has nothing queued", DRAIN_S)

    async def meet(self, peers: dict[str, list[str]]) -> None:
        """Let devices talk to further people."""
        await self._order({"do": "meet", "peers": peers})

    async def finish(self, ids: dict[str, list[str]]) -> None:
        """Let each device wait for its ids and write its last record; then they exit."""
        await self._order({"do": "finish", "ids": ids})
        assert self.process is not None
        with trio.fail_after(DRAIN_S):
            assert await self.process.wait() == 0, self.errors

    @property
    def errors(self) -> str:
        path = self._file("err")
        return path.read_text()[-4000:] if path.exists() else ""

    def said(self, what: str) -> int:
        """Return how often its devices said something on standard error."""
        return self._file("err").read_text().count(what)

    def _has_stopped(self) -> bool:
        return b"stopped" in self._file("out").read_bytes()[self._began_at :]

    async def _order(self, order: dict[str, object]) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        try:
            await self.process.stdin.send_all(msgspec.json.encode(order) + b"\n")
        except trio.BrokenResourceError as error:
            raise AssertionError(f"{self.name} has died:\n{self.errors}") from error

    def _file(self, kind: str) -> Path:
        return self._folder / f"{self.name}.{kind}"


@dataclass(frozen=True)
class Habits:
    """How a crowd behaves: the seed of all chances, messages a second of each device, devices in one process, how long
    a device waits in the end for what it should have, and the command that such a process runs.
    """

    seed: int
    per_s: float = 1.0
    in_process: int = 1
    patience_s: float = PATIENCE_S
    program: Sequence[str] = tuple(PERSON)


class Crowd:
    """The devices of several people, all chatting at random."""

    def __init__(
        self,
        door: Door,
        folder: Path,
        profiles: dict[str, list[Profile]],
        talks: Iterable[tuple[str, str]],
        habits: Habits,
    ) -> None:
        self.folder = folder
        self.users = [UserId(devices[0].user) for devices in profiles.values()]
        self._talks = [(UserId(profiles[one][0].user), UserId(profiles[two][0].user)) for one, two in talks]
        self._owners: dict[str, bytes] = {}
        plans = []
        for device in (device for devices in profiles.values() for device in devices):
            name = device.folder.name
            self._owners[name] = device.user
            plans.append(
                Plan(
                    name=name,
                    profile=str(device.folder),
                    passphrase=PASSPHRASE,
                    server=door.url,
                    history=str(folder / f"{name}.jsonl"),
                    peers=[peer.hex() for peer in self._peers(device.user)],
                    seed=habits.seed,
                    per_s=habits.per_s,
                    patience_s=habits.patience_s,
                )
            )
        size = habits.in_process
        shares = [plans[n : n + size] for n in range(0, len(plans), size)]
        self.groups = [Group(folder, share[0].name, share, habits.program) for share in shares]
        self.histories = [Path(plan.history) for plan in plans]

    def _peers(self, user: bytes) -> list[bytes]:
        return [peer for talk in self._talks if user in talk for peer in talk if peer != user]

    async def start(self) -> None:
        """Start every device."""
        await _all_of([group.start for group in self.groups])

    async def kill(self) -> None:
        """End every device."""
        for group in self.groups:
            await group.kill()

    def acknowledged(self) -> int:
        """Return how many messages were acknowledged so far."""
        paths = [path for path in self.histories if path.exists()]
        return sum(path.read_bytes().count(b'"state":"sent"') for path in paths)

    def said(self, what: str) -> int:
        """Return how often devices said something on standard error, see `person.py`."""
        return sum(group.said(what) for group in self.groups)

    async def introduce(self) -> None:
        """Let everybody talk to everybody."""
        self._talks = list(combinations(self.users, 2))
        strangers = {name: [peer.hex() for peer in self._peers(user)] for name, user in self._owners.items()}
        await _all_of([partial(group.meet, strangers) for group in self.groups])

    async def chat(self, messages: int) -> None:
        """Wait until so many more messages were acknowledged."""
        enough = self.acknowledged() + messages
        await until(lambda: self.acknowledged() >= enough, f"{enough} acknowledged messages")

    async def verdict(self) -> Verdict:
        """Let everybody stop, wait until everything acknowledged has arrived, and judge."""
        await self.drain()
        verdict = check([load(path) for path in self.histories])
        print(verdict.to_text())
        return verdict

    async def drain(self) -> None:
        """Let everybody stop, and wait until everything acknowledged has arrived, as long as people are patient."""
        await _all_of([group.stop for group in self.groups])
        ids: dict[str, set[str]] = {}
        for path in self.histories:
            for _, tick in load(path).each(Tick):
                if tick.id is not None:
                    ids.setdefault(tick.conv, set()).add(tick.id)
        expected: dict[bytes, list[str]] = {}
        for talk in self._talks:
            for user in talk:
                expected.setdefault(user, []).extend(ids.get(direct_conversation(*talk).hex(), ()))
        await _all_of(
            [
                partial(
                    group.finish,
                    {plan.name: expected.get(self._owners[plan.name], []) for plan in group.plans},
                )
                for group in self.groups
            ]
        )


async def _all_of(calls: Sequence[Callable[[], Awaitable[object]]]) -> None:
    """Do several things at once."""

    async def one(call: Callable[[], Awaitable[object]]) -> None:
        await call()

    async with trio.open_nursery() as nursery:
        for call in calls:
            nursery.start_soon(one, call)


@asynccontextmanager
async def crowd(
    door: Door,
    folder: Path,
    devices: dict[str, int],
    habits: Habits,
    talks: Iterable[tuple[str, str]] | None = None,
) -> AsyncIterator[Crowd]:
    """Enrol people and let every pair of `talks` (all pairs) chat; all of their processes are gone at the end."""
    profiles = await enrol(door, folder, devices)
    people = Crowd(door, folder, profiles, combinations(devices, 2) if talks is None else talks, habits)
    async with chatting(people):
        yield people


@asynccontextmanager
async def chatting(people: Crowd) -> AsyncIterator[Crowd]:
    """Have people chat, each device going on with the history that it has; their processes are gone at the end."""
    try:
        await people.start()
        yield people
    except BaseException:
        for group in people.groups:
            print(f"{group.name}: {group.errors}")
        raise
    finally:
        await people.kill()


@asynccontextmanager
async def two_people(door: Door, folder: Path) -> AsyncIterator[tuple[Client, Client]]:
    """Yield Alice and Bob, clients in this process, online."""
    profiles = await enrol(door, folder, {"alice": 1, "bob": 1})
    async with profiles["alice"][0].client() as alice, profiles["bob"][0].client() as bob:
        with trio.fail_after(READY_S):
            await alice.online()
            await bob.online()
        yield alice, bob


async def say(sender: Client, recipient: Client, text: str) -> Message:
    """Send a message and wait until the other device has it."""
    with trio.fail_after(READY_S):
        message = await sender.send(recipient.me.user, text)
        message = await sender.wait(message.cid, DeliveryState.DELIVERED)
    assert text in [there.text for there in await recipient.history(message.conv)]
    return message
