"""A server's part, played by hand: devices whose steps run one by one, and a post office between them.

No sockets and no tasks: a test decides what arrives, when, how often, and what the server lies about.
"""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from msgspec.structs import replace

from chappe.client import enrol, incoming, outgoing
from chappe.client.events import Event as ClientEvent
from chappe.client.incoming import NeedList, Taken
from chappe.client.outgoing import Needs
from chappe.client.store import database as database_module
from chappe.client.store import messages, outbox, people, profile
from chappe.client.store.database import FILE, Database, Tx
from chappe.client.store.profile import Profile
from chappe.client.values import Message
from chappe.crypto import device_list, keys
from chappe.crypto.device_list import Entry
from chappe.ids import Cid, DeviceId, HybridClock, MessageId, UserId
from chappe.protocol.calls import Bundle, DeviceList, OneTimeKem, OneTimeKey
from chappe.protocol.codes import ErrorCode
from chappe.protocol.frames import Error, Event, Frame, PreKeys, Send, Sent

PASSPHRASE = "correct horse"


class Clock:
    """Milliseconds, moved by hand."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.ms


class Post:
    """An honest server: stores a message once, for the devices that the signed lists name."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ids = HybridClock(self.clock, 1)
        self.lists: dict[UserId, DeviceList] = {}
        self.prekeys: dict[DeviceId, tuple[bytes, PreKeys, list[OneTimeKey], list[OneTimeKem]]] = {}
        self.inboxes: dict[DeviceId, list[Event]] = defaultdict(list)
        self.accepted: dict[tuple[DeviceId, Cid], MessageId] = {}
        self.log: list[Event] = []

    def devices(self, user: UserId) -> set[DeviceId]:
        signed = self.lists[user]
        listed = device_list.verify(signed.signed, signed.account_key, 1)
        return {entry.device for entry in listed.entries}

    def claim(self, device: DeviceId) -> Bundle:
        key, prekeys, one_time, kem = self.prekeys[device]
        last = OneTimeKem(prekeys.kem_id, prekeys.kem_key, prekeys.kem_signature)
        first = kem.pop(0) if kem else last
        return Bundle(
            device, key, prekeys.signed_id, prekeys.signed_key, prekeys.signed_signature,
            first.id, first.key, first.signature, one_time.pop(0) if one_time else None,
        )  # fmt: skip

    def accept(self, sender: Device, peer: UserId, send: Send) -> Sent | Error:
        """Take a SEND in, as a gateway does."""
        key = (sender.own.device, send.cid)
        if key in self.accepted:
            return Sent(send.cid, self.accepted[key], duplicate=True)
        expected = (self.devices(sender.own.user) | self.devices(peer)) - {sender.own.device}
        if send.wraps.keys() != expected:
            return Error(ErrorCode.MISMATCHED_DEVICES, "Wrong devices.", cid=send.cid)
        self.clock.ms += 1
        self.accepted[key] = message = self.ids.next()
        origin = (send.conv, send.kind, sender.own.user, sender.own.device, send.cid)
        self.log.append(Event(0, message, *origin, b"", send.body))
        for device, wrap in send.wraps.items():
            self.inboxes[device].append(Event(0, message, *origin, wrap, send.body))
        return Sent(send.cid, message)


class Device:
    """A device of a person: the real store and the real steps, run in this thread."""

    def __init__(self, post: Post, folder: Path) -> None:
        self.post = post
        self.folder = folder
        self.events: list[ClientEvent] = []
        self._stack = ExitStack()
        self.database: Database
        self._open()

    def _open(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.database = database_module._open(self.folder / FILE, PASSPHRASE, self.post.clock, os.urandom)

    @classmethod
    def register(cls, post: Post, folder: Path) -> Device:
        """Make an account with this device, known to the post office."""
        device = cls(post, folder)
        wanted = Profile("ws://nowhere", UserId(b""), folder.name, "+4915100000000", "first", complete=False)
        draft, _, frame = device.database.run_sync(enrol._draft, wanted, "password")
        listed = DeviceList(frame.user, frame.account_key, frame.device_list)
        device.database.run_sync(enrol._complete, draft, listed)
        post.lists[frame.user] = listed
        device.sign_in()
        device.publish()
        return device

    @classmethod
    def linked(cls, approver: Device, folder: Path) -> Device:
        """Make a further device of an account, signed into its list."""
        device = cls(approver.post, folder)
        _, device_keys, _, _ = device.database.run_sync(enrol._announce, "ws://nowhere", "")
        account = approver.database.run_sync(profile.account)
        listed = approver.sign(
            [*approver.entries(), Entry(device_keys.device_id, device_keys.public, folder.name)]
        )
        draft = Profile("ws://nowhere", approver.own.user, "", "", folder.name, complete=False)
        device.database.run_sync(enrol._link, draft, account, listed)
        device.sign_in()
        device.publish()
        return device

    def sign_in(self) -> None:
        self.me, self.own = self.database.run_sync(profile.identity)

    def publish(self) -> None:
        """Put prekeys and one-time keys where others can claim them."""

        def refill(tx: Tx) -> tuple[bytes, PreKeys, list[OneTimeKey], list[OneTimeKem]]:
            filled, one_time, kem = keys.refill(profile.device(tx), 3, 3, tx.random)
            profile.put_device(tx, filled)
            return filled.public, keys.prekeys(filled), one_time, kem

        self.post.prekeys[self.own.device] = self.database.run_sync(refill)

    def entries(self) -> list[Entry]:
        signed = self.post.lists[self.own.user]
        return list(device_list.verify(signed.signed, signed.account_key, 1).entries)

    def sign(self, entries: list[Entry]) -> DeviceList:
        """Sign the next device list, and hand it in."""
        account = self.database.run_sync(profile.account)
        signed = self.post.lists[self.own.user]
        version = device_list.verify(signed.signed, signed.account_key, 1).version + 1
        listed = DeviceList(
            self.own.user, account.public, device_list.sign(account, version, self.post.clock.ms, entries)
        )
        self.post.lists[self.own.user] = listed
        return listed

    def close(self) -> None:
        self.database.close()

    def restart(self, folder: Path | None = None) -> None:
        """Close, and open again: what was not stored is gone."""
        self.close()
        self.folder = folder or self.folder
        self._open()
        self.events.clear()

    def write(self, peer: Device, text: str) -> Message:
        return self.database.run_sync(outgoing.write, self.own, peer.own.user, text, None)

    def learn(self, user: UserId) -> bool:
        return self.database.run_sync(people.learn, self.own, user, self.post.lists[user])

    def encrypt(self, row: outbox.Queued) -> Send:
        """Encrypt a row, fetching what it needs."""
        bundles: dict[DeviceId, Bundle] | None = None
        while True:
            made = self.database.run_sync(outgoing.encrypt, self.own, row, bundles)
            if not isinstance(made, Needs):
                return made
            for user in made.lists:
                self.learn(user)
            for devices in made.bundles.values():
                bundles = (bundles or {}) | {device: self.post.claim(device) for device in devices}

    def again(self, row: outbox.Queued) -> Send:
        """Return what is posted for a row that was posted before."""
        return self.database.run_sync(outgoing.again, self.own, row)

    def flush(self, *, but: Cid | None = None) -> None:
        """Send everything that is queued, in order, and take the answers in; `but` is refused for now."""
        while rows := [row for row in self.database.run_sync(outbox.heads) if row.cid != but]:
            for row in rows:
                frame = self.encrypt(row) if row.frame is None else self.again(row)
                answer = self.post.accept(self, row.peer, frame)
                if isinstance(answer, Error):
                    for user in (row.peer, self.own.user):
                        self.learn(user)
                    frame = self.encrypt(row)
                    answer = self.post.accept(self, row.peer, frame)
                self.take([answer])

    def take(self, frames: list[Frame]) -> Taken:
        """Take one batch in."""
        asked: set[UserId] = set()
        while True:
            try:
                taken = self.database.run_sync(incoming.take, self.own, frames, frozenset(asked))
            except NeedList as need:
                asked.add(need.user)
                if need.user in self.post.lists:
                    self.learn(need.user)
            else:
                self.events.extend(taken.events)
                return taken

    def fetch(self) -> Taken:
        """Take everything in that the post office has for this device; it stays there, as after a lost ACK."""
        inbox = self.post.inboxes[self.own.device]
        return self.take([replace(event, n=number) for number, event in enumerate(inbox, 1)])

    def texts(self, peer: Device) -> list[str | None]:
        """Return the conversation as it is shown."""
        return [message.text for message in self.shown(peer)]

    def shown(self, peer: Device) -> list[Message]:
        conv = self.database.run_sync(messages.put_conversation, self.own, peer.own.user)
        return self.database.run_sync(messages.page, conv, None, 1000)
