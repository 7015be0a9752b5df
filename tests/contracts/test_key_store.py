"""What every `KeyStore` promises."""

from __future__ import annotations

import pytest
import trio

from chappe.domain.accounts import Registration
from chappe.ids import DeviceId, UserId
from chappe.ports import KeyStore, UserStore
from chappe.protocol.calls import Bundle, OneTimeKey

from . import samples


@pytest.fixture
async def owner(users: UserStore) -> Registration:
    registration = samples.registration()
    await users.create_account(registration)
    return registration


def bundle_of(owner: Registration, one_time: OneTimeKey | None = None) -> Bundle:
    p = owner.prekeys
    return Bundle(
        owner.device.device,
        owner.device.key,
        p.signed_id,
        p.signed_key,
        p.signed_signature,
        p.kem_id,
        p.kem_key,
        p.kem_signature,
        one_time,
    )


async def test_without_one_time_keys_the_last_resort_is_given(keys: KeyStore, owner: Registration) -> None:
    for _ in range(2):
        assert await keys.claim(owner.account.user, [owner.device.device]) == [bundle_of(owner)]


async def test_one_time_keys_go_out_once_and_oldest_first(keys: KeyStore, owner: Registration) -> None:
    user, device = owner.account.user, owner.device.device
    ec, kem = samples.one_time(5, 6), samples.one_time_kem(9)
    await keys.add_one_time(device, ec, kem)
    assert await keys.count(device) == (2, 1)
    given = [(await keys.claim(user, [device]))[0] for _ in range(3)]
    assert [bundle.one_time for bundle in given] == [*ec, None]
    assert (given[0].kem_id, given[0].kem_key, given[0].kem_signature) == (9, kem[0].key, kem[0].signature)
    assert [bundle.kem_id for bundle in given[1:]] == [owner.prekeys.kem_id] * 2
    assert await keys.count(device) == (0, 0)


async def test_a_repeated_upload_changes_nothing(keys: KeyStore, owner: Registration) -> None:
    user, device = owner.account.user, owner.device.device
    first = samples.one_time(1, 2)
    await keys.add_one_time(device, first, [])
    await keys.add_one_time(device, samples.one_time(2, 1), [])
    (bundle,) = await keys.claim(user, [device])
    assert bundle.one_time == first[0]
    # The client that did not hear the answer uploads again, after a key of its first upload went out.
    await keys.add_one_time(device, first, samples.one_time_kem(1))
    assert await keys.count(device) == (1, 1)
    assert (await keys.claim(user, [device]))[0].one_time == first[1]
    assert (await keys.claim(user, [device]))[0].one_time is None


async def test_prekeys_are_replaced(keys: KeyStore, owner: Registration) -> None:
    new = samples.prekeys()
    await keys.replace_prekeys(owner.device.device, new)
    (bundle,) = await keys.claim(owner.account.user, [owner.device.device])
    assert (bundle.signed_key, bundle.kem_key) == (new.signed_key, new.kem_key)


async def test_only_the_users_own_devices_are_claimed_in_the_order_asked(
    users: UserStore, keys: KeyStore, owner: Registration
) -> None:
    user = owner.account.user
    stranger = samples.registration()
    await users.create_account(stranger)
    await keys.add_one_time(stranger.device.device, samples.one_time(1), [])
    second = samples.pending(user)
    await users.put_pending(second)
    await users.replace_device_list(user, b"x", 2, now_ms=1, link=(second.device, b""), revoke=[])
    wanted = [second.device, stranger.device.device, DeviceId(samples.new_id()), owner.device.device]
    bundles = await keys.claim(user, wanted)
    assert [bundle.device for bundle in bundles] == [second.device, owner.device.device]
    assert await keys.count(stranger.device.device) == (1, 0)
    assert await keys.claim(UserId(samples.new_id()), wanted) == []


async def test_claims_at_the_same_time_never_share_a_key(keys: KeyStore, owner: Registration) -> None:
    user, device = owner.account.user, owner.device.device
    await keys.add_one_time(device, samples.one_time(*range(30)), samples.one_time_kem(*range(30)))
    given: list[Bundle] = []

    async def claim() -> None:
        for _ in range(5):
            given.extend(await keys.claim(user, [device]))

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(claim)
    numbers = [bundle.one_time.id for bundle in given if bundle.one_time is not None]
    kems = [bundle.kem_id for bundle in given if bundle.kem_id != owner.prekeys.kem_id]
    left = await keys.count(device)
    assert len(given) == 40
    assert len(set(numbers)) == len(numbers) == 30 - left[0]
    assert len(set(kems)) == len(kems) == 30 - left[1]
    # A claim that skipped a locked key may have found none free; whatever is left is still to be had.
    for _ in range(left[0]):
        (bundle,) = await keys.claim(user, [device])
        assert bundle.one_time is not None
        assert bundle.one_time.id not in numbers
