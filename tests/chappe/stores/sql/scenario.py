"""One life of the SQL stores: every method that a node calls, with the same values each time it runs.

`recording.py` writes down which statements a release sends for it; the tests of the migrations send them again
to later schemas. Ids come from a seed, so two runs leave the same rows.
"""

from __future__ import annotations

from random import Random

from chappe.domain.accounts import Account, ContactRow, Device, Direct, PendingDevice, Registration
from chappe.ids import DeviceId, UserId, direct_conversation
from chappe.protocol.calls import OneTimeKem, OneTimeKey, Privacy, Settings
from chappe.protocol.frames import PreKeys
from chappe.stores.sql.keys import SqlKeyStore
from chappe.stores.sql.users import SqlUserStore

NOW_MS = 1_700_000_000_000


class _People:
    def __init__(self, seed: int) -> None:
        self.bytes = Random(seed).randbytes

    def prekeys(self) -> PreKeys:
        return PreKeys(1, self.bytes(32), self.bytes(64), 2**53 - 1, self.kem(), self.bytes(64))

    def kem(self) -> bytes:
        return self.bytes(1) * 1184  # it packs well: recordings are kept

    def registration(self, username: str, phone: str) -> Registration:
        user = UserId(self.bytes(16))
        account = Account(user, username, phone, "$argon2id$x", self.bytes(32), b"list 1", 1)
        device = Device(DeviceId(self.bytes(16)), user, self.bytes(32), "phone", NOW_MS)
        return Registration(phone, account, device, self.prekeys(), self.bytes(32), 3, NOW_MS + 600_000)

    def pending(self, user: UserId) -> PendingDevice:
        return PendingDevice(
            DeviceId(self.bytes(16)), user, self.bytes(32), "laptop", self.prekeys(), NOW_MS + 600_000
        )


async def live(users: SqlUserStore, keys: SqlKeyStore, seed: int) -> None:
    """Register two people, link and revoke a device, hand out keys, keep contacts and settings."""
    make = _People(seed)
    one = make.registration(f"Zoë{seed}", f"+4930{seed:04}1")
    other = make.registration(f"bob{seed}", f"+4930{seed:04}2")
    gone = make.registration(f"eve{seed}", f"+4930{seed:04}3")
    for registration in (one, other, gone):
        await users.put_registration(registration)
        assert await users.get_registration(registration.phone) is not None
        await users.spend_attempt(registration.phone)
    for registration in (one, other):
        await users.create_account(registration)
    await users.expire(NOW_MS)

    user, device = one.account.user, one.device.device
    await users.account(user)
    await users.account_by_name(one.account.username)
    await users.account_by_phone(one.phone)
    await users.device(device)

    laptop = make.pending(user)
    await users.put_pending(laptop)
    await users.pending(laptop.device)
    await users.replace_device_list(
        user, b"list 2", 2, now_ms=NOW_MS, link=(laptop.device, b"sealed"), revoke=[]
    )
    await users.devices(user)

    await keys.replace_prekeys(device, make.prekeys())
    await keys.add_one_time(
        device,
        [OneTimeKey(n, make.bytes(32)) for n in range(1, 5)],
        [OneTimeKem(n, make.kem(), make.bytes(64)) for n in range(1, 4)],
    )
    await keys.claim(user, [device, laptop.device])
    await keys.add_one_time(device, [OneTimeKey(1, make.bytes(32))], [])
    await keys.count(device)
    await users.replace_device_list(user, b"list 3", 3, now_ms=NOW_MS, link=None, revoke=[laptop.device])

    friend = other.account
    for name in ("Bob", "Bobby"):
        await users.put_contact(ContactRow(user, friend.user, friend.username, name, friend.phone), 10)
    await users.put_contact(ContactRow(friend.user, user, one.account.username, "", None), 10)
    await users.remove_contact(friend.user, user)
    await users.contacts(user)
    await users.who_has_contact(friend.user, [user])
    direct = Direct(direct_conversation(user, friend.user), (user, friend.user))
    await users.put_direct(direct)
    await users.direct(direct.conv)
    await users.put_settings(user, Settings(Privacy.NOBODY, Privacy.CONTACTS))
    await users.put_last_seen({user: NOW_MS, friend.user: NOW_MS + 1})
    await users.people([user, friend.user])
    await users.ping()
    await users.restored_ms()
