"""Registering, linking and revoking devices, keys, contacts and settings: what the calls promise."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
import trio

from chappe.app import Node, now_ms
from chappe.crypto import device_list, keys
from chappe.ids import UserId
from chappe.protocol import calls
from chappe.protocol.codes import CloseCode, ErrorCode, RequestError
from chappe.protocol.frames import Error, Login, Register, Verify

from .raw import (
    Person,
    RawClient,
    connected,
    entry_of,
    linked,
    message,
    receive,
    register,
    running_node,
    send,
    settings,
    signed_in,
)


def registration(person: Person, **changes: object) -> tuple[object, ...]:
    """Return the fields of REGISTER after `rid`, some of them changed."""
    entry = device_list.Entry(person.device, person.keys.public, "first")
    fields = {
        "username": person.name,
        "phone": person.phone,
        "password": "correct horse",
        "user": person.user,
        "account_key": person.account.public,
        "device_key": person.keys.public,
        "device_list": device_list.sign(person.account, 1, now_ms(), [entry]),
        "prekeys": keys.prekeys(person.keys),
    }
    return tuple({**fields, **changes}.values())


async def code_of(client: RawClient, *fields: object) -> ErrorCode:
    """Try to register; return why that was refused."""
    with pytest.raises(RequestError) as refusal:
        await client.request(Register, *fields)
    return refusal.value.code


async def test_a_name_and_a_phone_belong_to_one_account(
    node: Node, alice: Person, codes: dict[str, str]
) -> None:
    other = Person("other", "+4915112345699")
    async with connected(node) as client:
        assert await code_of(client, *registration(other, username="ALICE")) is ErrorCode.USERNAME_TAKEN
        assert await code_of(client, *registration(other, phone=alice.phone)) is ErrorCode.PHONE_TAKEN


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("phone", "12345", ErrorCode.BAD_PHONE),
        ("phone", "+49", ErrorCode.BAD_PHONE),
        ("username", "a", ErrorCode.BAD_REQUEST),
        ("username", "<script>", ErrorCode.BAD_REQUEST),
        ("password", "short", ErrorCode.BAD_REQUEST),
        ("account_key", bytes(32), ErrorCode.BAD_SIGNATURE),
        ("account_key", b"\x01" * 32, ErrorCode.BAD_SIGNATURE),
        ("device_list", b"nonsense", ErrorCode.BAD_SIGNATURE),
        ("device_key", keys.new_device(secrets.token_bytes, 0).public, ErrorCode.BAD_SIGNATURE),
    ],
)
async def test_what_is_wrong_with_a_registration_is_said(
    node: Node, field: str, value: object, code: ErrorCode
) -> None:
    async with connected(node) as client:
        assert (
            await code_of(client, *registration(Person("erin", "+4915112345698"), **{field: value})) is code
        )


async def test_a_code_can_be_guessed_only_a_few_times(node: Node, codes: dict[str, str]) -> None:
    person = Person("erin", "+4915112345698")
    async with connected(node) as client:
        await client.request(Register, *registration(person))
        right = codes[person.phone]
        wrong = f"{(int(right) + 1) % 10**6:06}"
        for _ in range(node.settings.accounts.code_attempts):
            with pytest.raises(RequestError, match="Wrong code"):
                await client.request(Verify, person.phone, wrong)
        with pytest.raises(RequestError, match="No code is waiting"):
            await client.request(Verify, person.phone, right)


async def test_sign_ups_from_one_address_are_bounded(tmp_path: Path, codes: dict[str, str]) -> None:
    config = settings(tmp_path / "other", limits={"signups_per_address_burst": 2})
    async with running_node(config) as node, connected(node) as client:
        for _ in range(2):
            with pytest.raises(RequestError, match="No code is waiting"):
                await client.request(Verify, "+4915112345698", "1")
        with pytest.raises(RequestError) as refusal:
            await client.request(Verify, "+4915112345698", "1")
        assert refusal.value.code is ErrorCode.RATE_LIMITED


@pytest.mark.parametrize(("username", "password"), [("alice", "wrong horse"), ("nobody", "correct horse")])
async def test_a_wrong_password_and_an_unknown_user_are_told_apart_by_nobody(
    node: Node, alice: Person, username: str, password: str
) -> None:
    device = keys.new_device(secrets.token_bytes, now_ms())
    async with connected(node) as client:
        with pytest.raises(RequestError, match="Wrong user name or password") as refusal:
            await client.request(Login, username, password, device.public, keys.prekeys(device))
        assert refusal.value.code is ErrorCode.BAD_CREDENTIALS


async def test_a_linked_device_gets_what_is_sent_from_then_on(node: Node, alice: Person, bob: Person) -> None:
    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        conv = await a.open(bob)
        await send(a, message(conv, bob.device))
        second = await linked(node, bob, b)
        async with signed_in(node, second) as b2:
            await a.send(message(conv, bob.device))
            assert (await a.next(Error)).code is ErrorCode.MISMATCHED_DEVICES
            sent = await send(a, message(conv, bob.device, second.device))
            assert [event.id for event in await receive(b2)] == [sent.id]
            assert [event.id for event in await receive(b, 2)][-1] == sent.id


async def test_a_revoked_device_is_cut_off_and_gets_nothing_more(
    node: Node, alice: Person, bob: Person
) -> None:
    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        conv = await a.open(bob)
        second = await linked(node, bob, b)
        async with signed_in(node, second) as b2:
            signed = device_list.sign(bob.account, 3, now_ms(), [entry_of(bob)])
            await b.call("devices.update", calls.UpdateDevices(signed))
            assert (await b2.closed())[0] == CloseCode.FORBIDDEN
        async with connected(node) as b2:
            with pytest.raises(Exception, match="revoked"):
                await b2.hello(second)
        await send(a, message(conv, bob.device))
        with pytest.raises(RequestError):
            await a.call("keys.claim", calls.ClaimKeys(UserId(secrets.token_bytes(16)), []))
        bundles = await a.call("keys.claim", calls.ClaimKeys(bob.user, [bob.device, second.device]))
        assert isinstance(bundles, calls.Bundles)
        assert [bundle.device for bundle in bundles.bundles] == [bob.device]


async def test_only_a_newer_version_of_ones_own_list_is_taken(node: Node, alice: Person, bob: Person) -> None:
    async with signed_in(node, alice) as a:
        for signed, code in (
            (device_list.sign(alice.account, 1, now_ms(), [entry_of(alice)]), ErrorCode.STALE_DEVICE_LIST),
            (device_list.sign(bob.account, 2, now_ms(), [entry_of(bob)]), ErrorCode.BAD_SIGNATURE),
        ):
            with pytest.raises(RequestError) as refusal:
                await a.call("devices.update", calls.UpdateDevices(signed))
            assert refusal.value.code is code
        ghost = Person("ghost", "+4915112345697")
        signed = device_list.sign(alice.account, 2, now_ms(), [entry_of(alice), entry_of(ghost)])
        with pytest.raises(RequestError) as refusal:
            await a.call("devices.update", calls.UpdateDevices(signed, b"sealed"))
        assert refusal.value.code is ErrorCode.NOT_FOUND
        # After a restore people may know versions that the server has forgotten.
        later = device_list.sign(alice.account, 7, now_ms(), [entry_of(alice)])
        await a.call("devices.update", calls.UpdateDevices(later))
        got = await a.call("devices.get", calls.UserRef(alice.user))
        assert isinstance(got, calls.DeviceList)
        assert got.signed == later


async def test_a_one_time_key_is_handed_out_once_and_then_the_last_resort(
    node: Node, alice: Person, bob: Person
) -> None:
    async with signed_in(node, alice) as a, signed_in(node, bob) as b:
        _, one_time, kem = keys.refill(bob.keys, 3, 2, secrets.token_bytes)
        count = await b.call("keys.publish", calls.PublishKeys(one_time, kem))
        assert count == calls.KeyCount(3, 2)
        claimed = []
        for _ in range(4):
            bundles = await a.call("keys.claim", calls.ClaimKeys(bob.user, [bob.device]))
            assert isinstance(bundles, calls.Bundles)
            claimed += bundles.bundles
        assert {bundle.one_time.id for bundle in claimed if bundle.one_time} == {key.id for key in one_time}
        assert claimed[3].one_time is None
        last_resort = keys.prekeys(bob.keys).kem_id
        assert sorted(bundle.kem_id for bundle in claimed) == sorted(
            [*(key.id for key in kem), last_resort, last_resort]
        )
        assert await b.call("keys.count", calls.Nothing()) == calls.KeyCount(0, 0)


async def test_keys_that_the_device_did_not_sign_are_refused(node: Node, alice: Person) -> None:
    other = keys.new_device(secrets.token_bytes, now_ms())
    _, _, kem = keys.refill(other, 0, 1, secrets.token_bytes)
    async with signed_in(node, alice) as a:
        for args in (calls.PublishKeys([], kem), calls.PublishKeys([], [], keys.prekeys(other))):
            with pytest.raises(RequestError) as refusal:
                await a.call("keys.publish", args)
            assert refusal.value.code is ErrorCode.BAD_SIGNATURE


async def test_contacts_by_phone_and_by_name_with_own_names(node: Node, alice: Person, bob: Person) -> None:
    async with signed_in(node, alice) as a:
        by_phone = await a.call("contacts.add", calls.AddContact("+49 151 12345602", "Bobby"))
        assert by_phone == calls.Contact(bob.user, "bob", "Bobby", bob.phone)
        by_name = await a.call("contacts.add", calls.AddContact("BOB"))
        assert by_name == calls.Contact(bob.user, "bob", "bob", None)
        assert await a.call("contacts.list", calls.Nothing()) == calls.Contacts([by_name])
        await a.call("contacts.remove", calls.UserRef(bob.user))
        assert await a.call("contacts.list", calls.Nothing()) == calls.Contacts([])
        for who, code in (("nobody", ErrorCode.NOT_FOUND), ("+1", ErrorCode.BAD_PHONE)):
            with pytest.raises(RequestError) as refusal:
                await a.call("contacts.add", calls.AddContact(who))
            assert refusal.value.code is code
        assert await a.call("users.get", calls.UserRef(bob.user)) == calls.Profile(bob.user, "bob")


async def test_in_a_full_contact_list_names_can_still_be_changed(
    tmp_path: Path, codes: dict[str, str]
) -> None:
    people = [Person(name, f"+491511234560{number}") for number, name in enumerate(("ada", "ben", "cyd"), 3)]
    async with running_node(settings(tmp_path / "other", limits={"contacts_per_account": 1})) as node:
        for person in people:
            await register(node, person, codes)
        async with signed_in(node, people[0]) as a:
            await a.call("contacts.add", calls.AddContact("ben"))
            with pytest.raises(RequestError, match="full") as refusal:
                await a.call("contacts.add", calls.AddContact("cyd"))
            assert refusal.value.code is ErrorCode.FORBIDDEN
            renamed = await a.call("contacts.add", calls.AddContact("ben", "Benjamin"))
            assert await a.call("contacts.list", calls.Nothing()) == calls.Contacts([renamed])


async def test_a_code_expires(tmp_path: Path, codes: dict[str, str]) -> None:
    person = Person("erin", "+4915112345698")
    config = settings(tmp_path / "other", accounts={"code_ttl_s": 0.001})
    async with running_node(config) as node, connected(node) as client:
        await client.request(Register, *registration(person))
        await trio.sleep(0.01)
        with pytest.raises(RequestError, match="No code is waiting"):
            await client.request(Verify, person.phone, codes[person.phone])


async def test_registering_twice_with_one_phone_before_the_code_keeps_the_last(
    node: Node, codes: dict[str, str]
) -> None:
    first, second = Person("erin", "+4915112345698"), Person("erna", "+4915112345698")
    async with connected(node) as client:
        await client.request(Register, *registration(first))
    await register(node, second, codes)
    async with signed_in(node, second) as client:
        assert await client.call("users.get", calls.UserRef(second.user)) == calls.Profile(
            second.user, "erna"
        )
        with pytest.raises(RequestError):
            await client.call("users.get", calls.UserRef(first.user))
