"""Device keys over time: rotation, refilling, what is signed, and what is stored."""

from __future__ import annotations

import pytest

from chappe import ids
from chappe.crypto import keys
from chappe.crypto.errors import BadState
from chappe.crypto.keys import DAY_MS, KEEP_RETIRED_MS, MAX_ONE_TIME, ROTATE_AFTER_MS, DeviceKeys

from .people import seeded


def device() -> DeviceKeys:
    return keys.new_device(seeded(1), now_ms=0)


def test_a_device_is_named_after_its_key() -> None:
    assert device().device_id == ids.device_id(device().public)


def test_every_key_is_another_draw_of_randomness() -> None:
    filled, _, _ = keys.refill(device(), 5, 5, seeded(2))
    drawn = [filled.seed, *(key.private for key in (*filled.signed, *filled.kem))]
    drawn += [*filled.one_time.values(), *filled.one_time_kem.values()]
    assert len(set(drawn)) == len(drawn) == 13


def test_published_keys_are_signed_by_the_device() -> None:
    filled, one_time, kem = keys.refill(device(), 2, 2, seeded(2))
    prekeys = keys.prekeys(filled)
    signed = [
        (keys.signed_transcript(prekeys.signed_id, prekeys.signed_key), prekeys.signed_signature),
        (keys.kem_transcript(prekeys.kem_id, prekeys.kem_key), prekeys.kem_signature),
        *((keys.kem_transcript(key.id, key.key), key.signature) for key in kem),
    ]
    for message, signature in signed:
        assert keys.verify_signature(filled.public, message, signature)
        assert not keys.verify_signature(filled.public, message + b"\0", signature)
    published = [prekeys.signed_id, prekeys.kem_id, *(key.id for key in (*one_time, *kem))]
    assert len(set(published)) == len(published)
    assert min(published) > 0


def test_hello_is_signed_by_the_device() -> None:
    proof = keys.sign_hello(device(), b"transcript")
    assert keys.verify_signature(device().public, b"transcript", proof)
    assert not keys.verify_signature(device().public, b"another", proof)


def test_prekeys_are_rotated_weekly_and_kept_for_thirty_days_more() -> None:
    old = device()
    assert not keys.is_rotation_due(old, ROTATE_AFTER_MS - 1)
    assert keys.is_rotation_due(old, ROTATE_AFTER_MS)
    new = keys.rotate(old, ROTATE_AFTER_MS, seeded(2))
    assert not keys.is_rotation_due(new, ROTATE_AFTER_MS)
    assert keys.prekeys(new) != keys.prekeys(old)
    first = old.signed[0].id
    kept_until = ROTATE_AFTER_MS + KEEP_RETIRED_MS
    for now_ms, is_kept in ((kept_until - 1, True), (kept_until, False)):
        later = keys.rotate(new, now_ms, seeded(3))
        assert (first in [key.id for key in later.signed]) is is_kept
        assert (first + 1 in [key.id for key in later.kem]) is is_kept


def test_weekly_rotation_keeps_a_handful() -> None:
    rotating = device()
    for week in range(1, 53):
        rotating = keys.rotate(rotating, week * 7 * DAY_MS, seeded(week))
    assert len(rotating.signed) == len(rotating.kem) == 6


def test_one_time_keys_are_spent_one_by_one() -> None:
    filled, one_time, kem = keys.refill(device(), 3, 2, seeded(2))
    spent = keys.without_one_time(filled, one_time[1].id, kem[0].id)
    assert set(spent.one_time) == {one_time[0].id, one_time[2].id}
    assert set(spent.one_time_kem) == {kem[1].id}
    assert keys.without_one_time(spent, one_time[1].id, 0) == spent


def test_one_time_keys_do_not_pile_up_for_ever() -> None:
    filled, _, _ = keys.refill(device(), MAX_ONE_TIME, 0, seeded(2))
    fuller, new, _ = keys.refill(filled, 10, 0, seeded(3))
    assert len(fuller.one_time) == MAX_ONE_TIME
    assert {key.id for key in new} <= set(fuller.one_time)


def test_ids_are_never_used_twice() -> None:
    filled, one_time, kem = keys.refill(device(), 3, 3, seeded(2))
    again, more, _ = keys.refill(keys.without_one_time(filled, one_time[-1].id, kem[-1].id), 1, 0, seeded(3))
    assert more[0].id > kem[-1].id
    assert keys.rotate(again, 1, seeded(4)).signed[0].id > more[0].id


def test_device_keys_can_be_stored() -> None:
    filled, _, _ = keys.refill(device(), 3, 3, seeded(2))
    assert DeviceKeys.from_bytes(filled.to_bytes()) == filled
    with pytest.raises(BadState, match="DeviceKeys"):
        DeviceKeys.from_bytes(filled.to_bytes()[:-1])
