"""What every `UserStore` promises."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import pytest
import trio

from chappe.domain.accounts import Account, ContactRow, Direct, Person, Registration
from chappe.errors import Missing, Stale, Taken
from chappe.ids import DeviceId, UserId, direct_conversation
from chappe.ports import KeyStore, UserStore
from chappe.protocol.calls import Privacy, Settings

from . import samples

NOW = 1_700_000_000_000


async def registered(users: UserStore, username: str | None = None) -> Registration:
    registration = samples.registration(username)
    await users.create_account(registration)
    return registration


async def test_a_registration_comes_back_as_it_went_in(users: UserStore) -> None:
    registration = samples.registration()
    await users.put_registration(registration)
    assert await users.get_registration(registration.phone) == registration
    assert await users.get_registration("+1") is None


async def test_a_second_registration_of_a_phone_replaces_the_first(users: UserStore) -> None:
    first = samples.registration()
    second = samples.registration(phone=first.phone)
    await users.put_registration(first)
    await users.spend_attempt(first.phone)
    await users.put_registration(second)
    assert await users.get_registration(first.phone) == second


async def test_registering_what_an_account_has_is_refused(users: UserStore) -> None:
    there = await registered(users, "Zoë")
    with pytest.raises(Taken) as name:
        await users.put_registration(samples.registration("ZOË"))
    with pytest.raises(Taken) as phone:
        await users.put_registration(samples.registration(phone=there.phone))
    assert (name.value.what, phone.value.what) == ("username", "phone")


async def test_attempts_run_out_and_take_the_registration_along(users: UserStore) -> None:
    registration = samples.registration()
    await users.put_registration(registration)
    assert [await users.spend_attempt(registration.phone) for _ in range(2)] == [2, 1]
    found = await users.get_registration(registration.phone)
    assert found is not None
    assert found.attempts_left == 1
    assert await users.spend_attempt(registration.phone) == 0
    assert await users.get_registration(registration.phone) is None
    assert await users.spend_attempt(registration.phone) == 0


async def test_attempts_at_the_same_time_are_all_counted(users: UserStore) -> None:
    registration = dataclasses.replace(samples.registration(), attempts_left=20)
    await users.put_registration(registration)
    left: list[int] = []

    async def guess() -> None:
        left.append(await users.spend_attempt(registration.phone))

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(guess)
    assert sorted(left) == list(range(12, 20))


async def test_an_account_is_found_by_id_name_and_phone(users: UserStore, keys: KeyStore) -> None:
    made = samples.registration("Großmann")
    await users.put_registration(made)
    await users.create_account(made)
    account, device = made.account, made.device
    assert await users.account(account.user) == account
    assert await users.account_by_name("GROSSMANN") == account
    assert await users.account_by_phone(account.phone) == account
    assert await users.device(device.device) == device
    assert await users.devices(account.user) == [device]
    assert await users.get_registration(made.phone) is None
    (bundle,) = await keys.claim(account.user, [device.device])
    assert bundle.signed_key == made.prekeys.signed_key


async def test_nobody_is_found_where_nobody_is(users: UserStore) -> None:
    nobody = UserId(samples.new_id())
    assert await users.account(nobody) is None
    assert await users.account_by_name("nobody") is None
    assert await users.account_by_phone("+1") is None
    assert await users.device(DeviceId(nobody)) is None
    assert await users.devices(nobody) == []
    assert await users.person(nobody) is None


Change = Callable[[Registration, Registration], Registration]


def _same_device(new: Registration, old: Registration) -> Registration:
    return dataclasses.replace(new, device=dataclasses.replace(new.device, device=old.device.device))


def _same(**fields: Callable[[Account], object]) -> Change:
    def change(new: Registration, old: Registration) -> Registration:
        taken = {name: value(old.account) for name, value in fields.items()}
        return dataclasses.replace(new, account=dataclasses.replace(new.account, **taken))  # type: ignore[arg-type]

    return change


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("username", _same(username=lambda account: account.username.swapcase())),
        ("phone", _same(phone=lambda account: account.phone)),
        ("user", _same(user=lambda account: account.user)),
        ("device", _same_device),
    ],
)
async def test_whatever_must_be_unique_is_taken_once(users: UserStore, what: str, change: Change) -> None:
    there = await registered(users)
    late = change(samples.registration(), there)
    with pytest.raises(Taken) as refused:
        await users.create_account(late)
    assert refused.value.what == what
    assert await users.account(there.account.user) == there.account
    for name in {late.account.username.casefold()} - {there.account.username.casefold()}:
        assert await users.account_by_name(name) is None, "something of the refused account is there"


async def test_of_many_who_want_one_name_one_gets_it(users: UserStore) -> None:
    rivals = [samples.registration("Highlander") for _ in range(8)]
    refused: list[str] = []

    async def create(registration: Registration) -> None:
        try:
            await users.create_account(registration)
        except Taken as error:
            refused.append(error.what)

    async with trio.open_nursery() as nursery:
        for rival in rivals:
            nursery.start_soon(create, rival)
    assert refused == ["username"] * 7
    there = [await users.account(rival.account.user) for rival in rivals]
    assert len([account for account in there if account]) == 1


async def test_a_device_is_announced_and_linked(users: UserStore, keys: KeyStore) -> None:
    user = (await registered(users)).account.user
    new = samples.pending(user)
    await users.put_pending(new)
    assert await users.pending(new.device) == new
    assert await users.device(new.device) is None
    await users.replace_device_list(user, b"list 2", 2, now_ms=NOW, link=(new.device, b"sealed"), revoke=[])
    account = await users.account(user)
    assert account is not None
    assert (account.device_list, account.list_version) == (b"list 2", 2)
    device = await users.device(new.device)
    assert device is not None
    assert (device.user, device.key, device.name, device.linked_ms) == (user, new.key, new.name, NOW)
    assert device in await users.devices(user)
    assert await users.pending(new.device) == dataclasses.replace(new, sealed=b"sealed")
    (bundle,) = await keys.claim(user, [new.device])
    assert bundle.kem_key == new.prekeys.kem_key


async def test_a_list_that_is_not_newer_is_stale(users: UserStore) -> None:
    made = await registered(users)
    with pytest.raises(Stale):
        await users.replace_device_list(
            made.account.user, b"x", 1, now_ms=NOW, link=None, revoke=[made.device.device]
        )
    assert await users.account(made.account.user) == made.account
    assert await users.devices(made.account.user) == [made.device]


async def test_a_list_may_be_several_versions_newer(users: UserStore) -> None:
    """After a restore the server has forgotten versions that people know."""
    made = await registered(users)
    await users.replace_device_list(made.account.user, b"list 7", 7, now_ms=NOW, link=None, revoke=[])
    account = await users.account(made.account.user)
    assert account is not None
    assert (account.device_list, account.list_version) == (b"list 7", 7)


async def test_of_many_changes_to_one_list_one_wins(users: UserStore) -> None:
    made = await registered(users)
    stale: list[bytes] = []

    async def change(signed: bytes) -> None:
        try:
            await users.replace_device_list(made.account.user, signed, 2, now_ms=NOW, link=None, revoke=[])
        except Stale:
            stale.append(signed)

    lists = [f"list {n}".encode() for n in range(6)]
    async with trio.open_nursery() as nursery:
        for signed in lists:
            nursery.start_soon(change, signed)
    account = await users.account(made.account.user)
    assert account is not None
    assert {*stale, account.device_list} == set(lists)
    assert len(stale) == 5


async def test_a_device_that_is_not_waiting_cannot_be_linked(users: UserStore) -> None:
    user = (await registered(users)).account.user
    expired = samples.pending(user, expires_ms=NOW)
    others = samples.pending((await registered(users)).account.user)
    await users.put_pending(expired)
    await users.put_pending(others)
    for device in (expired.device, others.device, DeviceId(samples.new_id())):
        with pytest.raises(Missing):
            await users.replace_device_list(user, b"x", 2, now_ms=NOW, link=(device, b""), revoke=[])
    account = await users.account(user)
    assert account is not None
    assert account.list_version == 1, "the list moved without its device"


async def test_a_device_is_linked_once(users: UserStore) -> None:
    made = await registered(users)
    again = dataclasses.replace(samples.pending(made.account.user), device=made.device.device)
    await users.put_pending(again)
    with pytest.raises(Taken):
        await users.replace_device_list(
            made.account.user, b"x", 2, now_ms=NOW, link=(again.device, b""), revoke=[]
        )


async def test_a_revoked_device_loses_its_keys_and_stays_known(users: UserStore, keys: KeyStore) -> None:
    made, other = await registered(users), await registered(users)
    user, device = made.account.user, made.device.device
    await keys.add_one_time(device, samples.one_time(1, 2), samples.one_time_kem(1))
    await users.replace_device_list(
        user, b"x", 2, now_ms=NOW, link=None, revoke=[device, other.device.device]
    )
    assert await users.devices(user) == []
    assert await users.device(device) == dataclasses.replace(made.device, revoked=True)
    assert await keys.count(device) == (0, 0)
    assert await keys.claim(user, [device]) == []
    assert await users.devices(other.account.user) == [other.device], "somebody else's device went with it"


async def test_contacts_are_listed_by_name(users: UserStore) -> None:
    owner = (await registered(users)).account.user
    found = [(await registered(users, name)).account for name in ("Carol", "adam", "Bob")]
    rows = [
        ContactRow(owner, a.user, a.username, "", a.phone if a.username == "Bob" else None) for a in found
    ]
    for row in rows:
        await users.put_contact(row, 10)
    assert [row.username for row in await users.contacts(owner)] == ["adam", "Bob", "Carol"]
    renamed = dataclasses.replace(rows[1], name="Zed")
    await users.put_contact(renamed, 10)
    assert await users.contacts(owner) == [rows[2], rows[0], renamed]
    assert await users.who_has_contact(found[0].user, [owner, found[1].user]) == {owner}
    assert await users.who_has_contact(owner, [found[0].user]) == set()
    await users.remove_contact(owner, found[0].user)
    await users.remove_contact(owner, found[0].user)
    assert await users.who_has_contact(found[0].user, [owner]) == set()
    assert await users.contacts(owner) == [rows[2], renamed]


async def test_a_full_list_takes_nobody_new_but_new_names(users: UserStore) -> None:
    owner, other = [(await registered(users)).account.user for _ in range(2)]
    found = [(await registered(users)).account for _ in range(3)]
    rows = [ContactRow(owner, a.user, a.username, "", None) for a in found]
    assert [await users.put_contact(row, 2) for row in rows] == [True, True, False]
    assert {row.user for row in await users.contacts(owner)} == {rows[0].user, rows[1].user}
    renamed = dataclasses.replace(rows[0], name="Renamed")
    assert await users.put_contact(renamed, 2)
    assert await users.put_contact(renamed, 1), "a list may be longer than a limit that was lowered"
    assert renamed in await users.contacts(owner)
    assert await users.put_contact(ContactRow(other, found[2].user, found[2].username, "", None), 2)
    await users.remove_contact(owner, rows[1].user)
    assert await users.put_contact(rows[2], 2)


async def test_a_list_does_not_outgrow_its_limit_by_haste(users: UserStore) -> None:
    owner = (await registered(users)).account.user
    found = [(await registered(users)).account for _ in range(8)]
    added: list[bool] = []

    async def add(account: Account) -> None:
        added.append(await users.put_contact(ContactRow(owner, account.user, account.username, "", None), 3))

    async with trio.open_nursery() as nursery:
        for account in found:
            nursery.start_soon(add, account)
    assert sorted(added) == [False] * 5 + [True] * 3
    assert len(await users.contacts(owner)) == 3


async def test_nobody_can_be_a_contact_without_an_account(users: UserStore) -> None:
    owner = (await registered(users)).account.user
    with pytest.raises(Missing):
        await users.put_contact(ContactRow(owner, UserId(samples.new_id()), "ghost", "", None), 10)


async def test_a_conversation_is_remembered_once(users: UserStore) -> None:
    members = UserId(samples.new_id()), UserId(samples.new_id())
    direct = Direct(direct_conversation(*members), members)
    assert await users.direct(direct.conv) is None
    await users.put_direct(direct)
    await users.put_direct(direct)
    assert await users.direct(direct.conv) == direct


async def test_settings_and_last_seen_are_kept(users: UserStore) -> None:
    one, two = [(await registered(users)).account.user for _ in range(2)]
    assert await users.person(one) == Person(one, Settings(), None)
    hidden = Settings(Privacy.NOBODY, Privacy.CONTACTS)
    await users.put_settings(one, hidden)
    await users.put_last_seen({one: 50, two: 60, UserId(samples.new_id()): 1})
    await users.put_last_seen({one: 40, two: NOW})
    await users.put_last_seen({})
    assert await users.person(one) == Person(one, hidden, 50)
    assert await users.people([one, two, UserId(samples.new_id())]) == {
        one: Person(one, hidden, 50),
        two: Person(two, Settings(), NOW),
    }
    await users.ping()


async def test_the_store_says_what_time_it_is_unless_its_clock_is_ours(
    users: UserStore, database_url: str
) -> None:
    before = time.time_ns() // 1_000_000
    said = await users.now_ms()
    after = time.time_ns() // 1_000_000
    if database_url.startswith("sqlite"):
        assert said is None
    else:  # a server, and here one on this machine
        assert said is not None
        assert before - 1 <= said <= after + 1
