"""The chores: when keys are made, and what is forgotten."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chappe.client import keeper, outgoing
from chappe.client.store import profile
from chappe.crypto.keys import DAY_MS
from chappe.ids import floor_id
from chappe.protocol.calls import KeyCount
from chappe.protocol.frames import Receipt

from .post import Device, Post


def test_enough_fresh_keys_are_left_alone(alice: Device) -> None:
    assert alice.database.run_sync(keeper._new_keys, KeyCount(20, 20)) is None


def test_few_keys_are_filled_up_and_kept_here_first(alice: Device) -> None:
    before = alice.database.run_sync(profile.device)
    publish = alice.database.run_sync(keeper._new_keys, KeyCount(19, 98))
    assert publish is not None
    assert (len(publish.one_time), len(publish.kem)) == (81, 2)
    after = alice.database.run_sync(profile.device)
    assert {key.id for key in publish.one_time} <= after.one_time.keys()
    assert {key.id for key in publish.kem} <= after.one_time_kem.keys()
    assert after.signed == before.signed


def test_prekeys_are_new_every_week_and_the_old_ones_still_work(alice: Device, post: Post) -> None:
    before = alice.database.run_sync(profile.device)
    post.clock.ms += 7 * DAY_MS
    publish = alice.database.run_sync(keeper._new_keys, KeyCount(99, 99))
    assert publish is not None
    assert publish.prekeys is not None
    after = alice.database.run_sync(profile.device)
    assert after.signed[0].id == publish.prekeys.signed_id != before.signed[0].id
    assert after.signed[1].id == before.signed[0].id


def test_handled_controls_are_forgotten_when_they_cannot_come_again(alice: Device, post: Post) -> None:
    for age_days in (0, 30, 32):
        seen = floor_id(post.clock.ms - age_days * DAY_MS)
        alice.database.run_sync(
            lambda tx, seen=seen: tx.run("INSERT INTO seen VALUES (?, ?, ?)", alice.own.device, seen, seen)
        )
    alice.database.run_sync(keeper._tidy, alice.own)
    assert alice.database.run_sync(lambda tx: tx.one("SELECT count(*) FROM seen")) == (2,)


MARK = st.none() | st.integers(0, 6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(MARK, MARK), max_size=8))
def test_ticks_only_grow_whatever_receipts_say(
    alice: Device, bob: Device, post: Post, marks: list[tuple[int | None, int | None]]
) -> None:
    written = [alice.write(bob, "hello") for _ in range(3)]
    alice.flush()
    ids = [b"\0" * 16, *(event.id for event in post.log[-3:]), *(post.ids.next() for _ in range(3))]
    states = [
        alice.database.run_sync(outgoing._own_message, alice.own, message.cid).state for message in written
    ]
    for delivered, read in marks:
        receipt = Receipt(
            written[0].conv,
            None if delivered is None else ids[delivered],  # type: ignore[arg-type]
            None if read is None else ids[read],  # type: ignore[arg-type]
            bob.own.user,
        )
        alice.take([receipt])
        now = [
            alice.database.run_sync(outgoing._own_message, alice.own, message.cid).state
            for message in written
        ]
        assert all(new >= old for new, old in zip(now, states, strict=True))
        assert now == sorted(now, reverse=True)  # an earlier message is never behind a later one
        states = now
