"""Everybody's account key and devices as last verified, the ratchets with those devices, and the contacts.

`learn` is the one way in for a device list: it pins an account's key at first sight, refuses forged, older and
contradicting lists, and keeps what was known when it refuses. Receiving goes by the newest key, sending by the
trusted one: a changed key is reported, and nothing is sent to it until somebody trusts it.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ...crypto import device_list
from ...crypto.device_list import Entry
from ...crypto.errors import CryptoError
from ...crypto.sessions import PairSessions
from ...ids import DeviceId, UserId
from ...protocol import calls
from ...protocol.decoders import decoder_of
from ..errors import ServerLied
from .database import Tx
from .profile import Own


class KnownDevice(Struct, frozen=True):
    """A device that a verified list named. `until_ms`: the time of the first list without it, by the signer's clock."""

    key: bytes
    name: str
    until_ms: int | None = None


class Person(Struct, frozen=True):
    """What is known of an account.

    `versions` holds the newest list version seen under each account key, so that going back to an earlier key
    cannot bring an earlier list back.
    """

    user: UserId
    account_key: bytes
    trusted_key: bytes
    signed: bytes
    versions: dict[bytes, int]
    devices: dict[DeviceId, KnownDevice]

    @property
    def version(self) -> int:
        """The version of the list in use."""
        return self.versions[self.account_key]

    @property
    def is_trusted(self) -> bool:
        """Whether messages may be sent to the present key."""
        return self.account_key == self.trusted_key

    @property
    def active(self) -> dict[DeviceId, KnownDevice]:
        """The devices on the list in use."""
        return {device: known for device, known in self.devices.items() if known.until_ms is None}


def get_person(tx: Tx, user: UserId) -> Person | None:
    """Return what is known of an account."""
    row = tx.one("SELECT value FROM people WHERE user = ?", user)
    return None if row is None else decoder_of(Person).decode(tx.open("people", user, row[0]))


def active_entries(person: Person | None) -> list[Entry]:
    """Return the devices on somebody's list in use, as a list names them."""
    active = person.active if person else {}
    return [Entry(device, known.key, known.name) for device, known in active.items()]


def _put_person(tx: Tx, person: Person) -> None:
    sealed = tx.seal("people", person.user, msgspec.msgpack.encode(person))
    tx.run("INSERT OR REPLACE INTO people VALUES (?, ?)", person.user, sealed)


def learn(tx: Tx, own: Own, user: UserId, answer: calls.DeviceList) -> bool:
    """Take in a device list as the server gave it for `user`; return whether the account's key is a new one.

    Raises: `ServerLied` for a list that must not be used; what was known stays.
    """
    if answer.user != user:
        raise ServerLied("The server gave somebody else's device list; it was not used.")
    known = get_person(tx, user)
    expected = own.account_public if user == own.user else answer.account_key
    if answer.account_key != expected:
        raise ServerLied("The server gave another key for the own account; it was not used.")
    versions = known.versions if known else {}
    try:
        listed = device_list.verify(answer.signed, answer.account_key, versions.get(answer.account_key, 1))
    except CryptoError as error:
        raise ServerLied(f"The server gave a device list that does not verify: {error}") from error
    entries = {entry.device: KnownDevice(entry.key, entry.name) for entry in listed.entries}
    is_same_key = known is not None and known.account_key == answer.account_key
    if known is not None and is_same_key:
        if known.version == listed.version and known.signed != answer.signed:
            raise ServerLied(
                "The server gave two different device lists of one version; the first one stays."
            )
        gone = {
            device: was if was.until_ms is not None else replace(was, until_ms=listed.time_ms)
            for device, was in known.devices.items()
            if device not in entries
        }
        entries = gone | entries
    elif known is not None:
        tx.run("DELETE FROM sessions WHERE user = ?", user)
    _put_person(
        tx,
        Person(
            user,
            answer.account_key,
            known.trusted_key if known else answer.account_key,
            answer.signed,
            versions | {answer.account_key: listed.version},
            entries,
        ),
    )
    return known is not None and not is_same_key


def trust(tx: Tx, user: UserId) -> bool:
    """Trust the present key of an account; return whether that changed anything."""
    person = get_person(tx, user)
    if person is None or person.is_trusted:
        return False
    _put_person(tx, replace(person, trusted_key=person.account_key))
    return True


def get_session(tx: Tx, device: DeviceId) -> PairSessions | None:
    """Return the sessions with a device."""
    row = tx.one("SELECT state FROM sessions WHERE device = ?", device)
    return None if row is None else PairSessions.from_bytes(tx.open("sessions", device, row[0]))


def put_session(tx: Tx, user: UserId, device: DeviceId, pair: PairSessions) -> None:
    """Store the sessions with a device."""
    sealed = tx.seal("sessions", device, pair.to_bytes())
    tx.run("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)", device, user, sealed)


def put_contacts(tx: Tx, contacts: list[calls.Contact]) -> None:
    """Replace the contacts."""
    tx.run("DELETE FROM contacts")
    for contact in contacts:
        put_contact(tx, contact)


def put_contact(tx: Tx, contact: calls.Contact) -> None:
    """Add or replace a contact."""
    sealed = tx.seal("contacts", contact.user, msgspec.msgpack.encode(contact))
    tx.run("INSERT OR REPLACE INTO contacts VALUES (?, ?)", contact.user, sealed)


def remove_contact(tx: Tx, user: UserId) -> None:
    """Remove a contact."""
    tx.run("DELETE FROM contacts WHERE user = ?", user)


def get_contacts(tx: Tx) -> list[calls.Contact]:
    """Return the contacts, by name."""
    found = [
        decoder_of(calls.Contact).decode(tx.open("contacts", user, value))
        for user, value in tx.all("SELECT user, value FROM contacts")
    ]
    return sorted(found, key=lambda contact: ((contact.name or contact.username).casefold(), contact.user))
