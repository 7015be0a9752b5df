"""People for the system tests: signed-in devices, each of them a process that chats, and the verdict in the
end.

A test enrols people on a server, lets a `Crowd` of them chat while it breaks something, and asks for the
verdict of `chappe.history` over what all the devices wrote down. What one device does is in `person.py`.
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

import msgspec
import trio

from chappe.client import Client, DeliveryState, Message, login, register
from chappe.history import Tick, Verdict, check, load
from chappe.ids import UserId, direct_conversation
from tests.system.person import Plan
from tests.system.processes import READY_S, Server, until

PASSPHRASE = "correct horse"
PASSWORD = "battery staple 42"
DRAIN_S = 180.0


@dataclass(frozen=True)
class Profile:
    """A device that is signed in: what it takes to open it."""

    folder: Path
    username: str
    user: bytes

    def client(self) -> Client:
        return Client(self.folder, PASSPHRASE)


async def enrol(server: Server, folder: Path, devices: dict[str, int]) -> dict[str, list[Profile]]:
    """Register everybody of `devices` (user name to number of devices) and link the further devices."""
    people: dict[str, list[Profile]] = {}
    for number, (username, count) in enumerate(devices.items()):
        phone = f"+49151123456{number:02}"
        first = folder / f"{username}-1"
        me = await register(
            server.url,
            first,
            PASSPHRASE,
            username=username,
            phone=phone,
            password=PASSWORD,
            ask_code=partial(server.code, phone),
        )
        people[username] = [Profile(first, username, me.user)]
        for further in range(2, count + 1):
            profile = Profile(folder / f"{username}-{further}", username, me.user)
            await _link(server, people[username][0], profile)
            people[username].append(profile)
    return people


async def _link(server: Server, first: Profile, further: Profile) -> None:
    async with first.client() as client:
        await client.online()

        async def approve(code: str) -> None:
            await client.link(code)

        await login(
            server.url,
            further.folder,
            PASSPHRASE,
            username=further.username,
            password=PASSWORD,
            device_name=further.folder.name,
            show_code=approve,
        )


class Person:
    """A device of `person.py` as a process; may be killed and started again."""

    def __init__(
        self, folder: Path, profile: Profile, peers: Sequence[bytes], seed: int, per_s: float
    ) -> None:
        self.name = profile.folder.name
        self.user = profile.user
        self.history = folder / f"{self.name}.jsonl"
        self._folder = folder
        self._plan = Plan(
            profile=str(profile.folder),
            passphrase=PASSPHRASE,
            history=str(self.history),
            peers=[peer.hex() for peer in peers],
            seed=seed,
            per_s=per_s,
        )
        self.process: trio.Process | None = None

    async def start(self) -> None:
        """Start it on its profile."""
        plan = self._folder / f"{self.name}.plan"
        plan.write_bytes(msgspec.json.encode(self._plan))
        command = [sys.executable, str(Path(__file__).with_name("person.py")), str(plan)]
        with self._file("out").open("ab") as out, self._file("err").open("ab") as err:
            self.process = await trio.lowlevel.open_process(
                command, stdin=subprocess.PIPE, stdout=out, stderr=err
            )

    async def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.kill()
            with trio.CancelScope(shield=True):
                await self.process.wait()

    async def stop(self) -> None:
        """Let it stop sending, and wait until nothing of it is queued."""
        await self._order({"do": "stop"})
        printed = self._file("out")
        await until(
            lambda: printed.exists() and "stopped" in printed.read_text(),
            f"{self.name} has nothing queued",
            DRAIN_S,
        )

    async def finish(self, ids: list[str]) -> None:
        """Let it wait for these ids, write the last record and exit."""
        await self._order({"do": "finish", "ids": ids})
        assert self.process is not None
        with trio.fail_after(DRAIN_S):
            assert await self.process.wait() == 0, self.errors

    @property
    def errors(self) -> str:
        path = self._file("err")
        return path.read_text()[-4000:] if path.exists() else ""

    async def _order(self, order: dict[str, object]) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        try:
            await self.process.stdin.send_all(msgspec.json.encode(order) + b"\n")
        except trio.BrokenResourceError as error:
            raise AssertionError(f"{self.name} has died:\n{self.errors}") from error

    def _file(self, kind: str) -> Path:
        return self._folder / f"{self.name}.{kind}"


class Crowd:
    """The devices of several people, all chatting at random."""

    def __init__(
        self,
        folder: Path,
        profiles: dict[str, list[Profile]],
        talks: Iterable[tuple[str, str]],
        seed: int,
        per_s: float,
    ) -> None:
        self._talks = [(UserId(profiles[one][0].user), UserId(profiles[two][0].user)) for one, two in talks]
        self.people = [
            Person(folder, device, self._peers(device.user), seed, per_s)
            for devices in profiles.values()
            for device in devices
        ]

    def _peers(self, user: bytes) -> list[bytes]:
        return [peer for talk in self._talks if user in talk for peer in talk if peer != user]

    async def start(self) -> None:
        """Start every device."""
        await _all_of([person.start for person in self.people])

    async def kill(self) -> None:
        """End every device."""
        for person in self.people:
            await person.kill()

    def acknowledged(self) -> int:
        """Return how many messages were acknowledged so far."""
        paths = [person.history for person in self.people if person.history.exists()]
        return sum(path.read_bytes().count(b'"state":"sent"') for path in paths)

    async def chat(self, messages: int) -> None:
        """Wait until so many more messages were acknowledged."""
        enough = self.acknowledged() + messages
        await until(lambda: self.acknowledged() >= enough, f"{enough} acknowledged messages")

    async def verdict(self) -> Verdict:
        """Let everybody stop, wait until everything acknowledged has arrived, and judge."""
        await _all_of([person.stop for person in self.people])
        ids: dict[str, set[str]] = {}
        for person in self.people:
            for _, tick in load(person.history).each(Tick):
                if tick.id is not None:
                    ids.setdefault(tick.conv, set()).add(tick.id)
        convs = {talk: direct_conversation(*talk).hex() for talk in self._talks}
        await _all_of(
            [
                partial(
                    person.finish,
                    [
                        name
                        for talk in self._talks
                        if person.user in talk
                        for name in ids.get(convs[talk], ())
                    ],
                )
                for person in self.people
            ]
        )
        verdict = check([load(person.history) for person in self.people])
        print(verdict.to_text())
        return verdict


async def _all_of(calls: Sequence[Callable[[], Awaitable[object]]]) -> None:
    """Do several things at once."""

    async def one(call: Callable[[], Awaitable[object]]) -> None:
        await call()

    async with trio.open_nursery() as nursery:
        for call in calls:
            nursery.start_soon(one, call)


@asynccontextmanager
async def crowd(
    server: Server, folder: Path, devices: dict[str, int], seed: int, *, per_s: float = 1.0
) -> AsyncIterator[Crowd]:
    """Enrol people and let every pair of them chat; all of their processes are gone at the end."""
    people = Crowd(folder, await enrol(server, folder, devices), combinations(devices, 2), seed, per_s)
    try:
        await people.start()
        yield people
    except BaseException:
        for person in people.people:
            print(f"{person.name}: {person.errors}")
        raise
    finally:
        await people.kill()


@asynccontextmanager
async def two_people(server: Server, folder: Path) -> AsyncIterator[tuple[Client, Client]]:
    """Yield Alice and Bob, clients in this process, online."""
    profiles = await enrol(server, folder, {"alice": 1, "bob": 1})
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
