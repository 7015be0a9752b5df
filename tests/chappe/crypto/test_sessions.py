"""Sessions of a pair of devices: first messages, crossing starts, the archive, and interference."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chappe.crypto import keys, sessions
from chappe.crypto.errors import (
    BadBundle,
    BadKey,
    BadSignature,
    BadState,
    CryptoError,
    DecryptError,
    NoSession,
    Replayed,
    Tampered,
    WrongPeer,
)
from chappe.crypto.sessions import KEEP_ARCHIVED_MS, MAX_ARCHIVED, PairSessions

from .people import Person, talking, two
from .small_order import SMALL_ED25519, SMALL_X25519


def test_two_devices_talk() -> None:
    alice, bob = two()
    for n in range(3):
        text = b"to bob %d" % n
        assert bob.unwrap(alice, alice.wrap(bob, text, b"ad"), b"ad") == text
        text = b"to alice %d" % n
        assert alice.unwrap(bob, bob.wrap(alice, text, b"ad"), b"ad") == text


def test_first_messages_carry_the_handshake_until_a_reply_comes() -> None:
    alice, bob = two()
    first, second = alice.wrap(bob, b"1"), alice.wrap(bob, b"2")
    assert min(len(first), len(second)) > 1000
    assert [bob.unwrap(alice, second), bob.unwrap(alice, first)] == [b"2", b"1"]
    assert len(bob.wrap(alice, b"3")) < 200
    assert alice.unwrap(bob, bob.wrap(alice, b"4")) == b"4"
    assert len(alice.wrap(bob, b"5")) < 200


def test_one_time_keys_go_with_the_first_success_and_no_sooner() -> None:
    alice, bob = two(one_time=1, kem=1)
    wrapped = alice.wrap(bob, b"hello")
    with pytest.raises(Tampered):
        bob.unwrap(alice, wrapped[:-1] + bytes([wrapped[-1] ^ 1]))
    assert (len(bob.keys.one_time), len(bob.keys.one_time_kem)) == (1, 1)
    assert bob.unwrap(alice, wrapped) == b"hello"
    assert (len(bob.keys.one_time), len(bob.keys.one_time_kem)) == (0, 0)


def test_a_replayed_first_message_is_refused_when_its_session_is_gone() -> None:
    alice, bob = two(one_time=1, kem=1)
    wrapped = alice.wrap(bob, b"hello")
    bob.unwrap(alice, wrapped)
    bob.pairs.clear()
    with pytest.raises(NoSession):
        bob.unwrap(alice, wrapped)


def test_a_replayed_first_message_without_one_time_keys_is_refused() -> None:
    alice, bob = two(one_time=0, kem=0)
    first = alice.wrap(bob, b"hello")
    bob.unwrap(alice, first)
    for n in range(MAX_ARCHIVED + 1):
        alice.start(bob)
        bob.unwrap(alice, alice.wrap(bob, b"%d" % n))
    with pytest.raises(Replayed):
        bob.unwrap(alice, first)


def test_a_prekey_that_was_rotated_works_for_thirty_days() -> None:
    alice, bob = two()
    early, late = alice.wrap(bob, b"early"), two()[0]
    late.start(bob)
    bob.keys = keys.rotate(bob.keys, 7 * keys.DAY_MS, bob.random)
    bob.now_ms = 30 * keys.DAY_MS
    assert bob.unwrap(alice, early) == b"early"
    bob.keys = keys.rotate(bob.keys, 37 * keys.DAY_MS, bob.random)
    with pytest.raises(NoSession):
        bob.unwrap(late, late.wrap(bob, b"late"))


def test_crossing_starts_settle_on_one_session() -> None:
    alice, bob = two()
    from_alice, from_bob = alice.wrap(bob, b"a"), bob.wrap(alice, b"b")
    assert bob.unwrap(alice, from_alice) == b"a"
    assert alice.unwrap(bob, from_bob) == b"b"
    assert bob.unwrap(alice, alice.wrap(bob, b"again")) == b"again"
    assert alice.unwrap(bob, bob.wrap(alice, b"as well")) == b"as well"
    ours, theirs = alice.pair(bob), bob.pair(alice)
    assert ours is not None
    assert theirs is not None
    assert ours.active.id == theirs.active.id
    assert len(ours.archived) == len(theirs.archived) == 1


def test_the_archive_holds_five_sessions() -> None:
    alice, bob = talking()
    waiting = [alice.wrap(bob, b"0")]
    for n in range(1, MAX_ARCHIVED + 2):
        alice.start(bob)
        waiting.append(alice.wrap(bob, b"%d" % n))
        assert bob.unwrap(alice, alice.wrap(bob, b"newer")) == b"newer"
    with pytest.raises(NoSession):
        bob.unwrap(alice, waiting[0])
    for n in range(1, MAX_ARCHIVED + 2):
        assert bob.unwrap(alice, waiting[n]) == b"%d" % n


def test_the_archive_keeps_a_session_for_thirty_days() -> None:
    alice, bob = talking()
    bob.now_ms = 100 * keys.DAY_MS
    waiting = [alice.wrap(bob, b"%d" % n) for n in range(2)]
    alice.start(bob)
    bob.unwrap(alice, alice.wrap(bob, b"new"))
    bob.now_ms += KEEP_ARCHIVED_MS - 1
    assert bob.open(alice, waiting[0]).plaintext == b"0"
    bob.now_ms += 1
    bob.unwrap(alice, alice.wrap(bob, b"newer"))
    with pytest.raises(NoSession):
        bob.unwrap(alice, waiting[1])


@pytest.mark.parametrize("is_first", [True, False])
def test_every_byte_counts(is_first: bool) -> None:
    alice, bob = two() if is_first else talking()
    wrapped = alice.wrap(bob, b"exactly this", b"ad")
    before = bob.pair(alice)
    for at in range(len(wrapped)):
        for bit in (0x01, 0x80):
            flipped = wrapped[:at] + bytes([wrapped[at] ^ bit]) + wrapped[at + 1 :]
            with pytest.raises(DecryptError):
                bob.open(alice, flipped, b"ad")
    assert bob.pair(alice) is before
    assert bob.unwrap(alice, wrapped, b"ad") == b"exactly this"


@pytest.mark.parametrize("is_first", [True, False])
def test_every_truncation_and_extension_is_refused(is_first: bool) -> None:
    alice, bob = two() if is_first else talking()
    wrapped = alice.wrap(bob, b"exactly this", b"ad")
    for cut in range(len(wrapped)):
        with pytest.raises(DecryptError):
            bob.open(alice, wrapped[:cut], b"ad")
    with pytest.raises(Tampered):
        bob.open(alice, wrapped + b"\0", b"ad")
    assert bob.unwrap(alice, wrapped, b"ad") == b"exactly this"


@pytest.mark.parametrize("is_first", [True, False])
def test_other_associated_data_is_refused(is_first: bool) -> None:
    alice, bob = two() if is_first else talking()
    wrapped = alice.wrap(bob, b"exactly this", b"ad")
    for ad in (b"", b"a", b"ad\0", b"da"):
        with pytest.raises(Tampered):
            bob.open(alice, wrapped, ad)


def test_a_replay_is_refused_and_changes_nothing() -> None:
    alice, bob = two()
    first = alice.wrap(bob, b"first")
    bob.unwrap(alice, first)
    with pytest.raises(Replayed):
        bob.unwrap(alice, first)
    alice.unwrap(bob, bob.wrap(alice, b"reply"))
    second = alice.wrap(bob, b"second")
    assert bob.unwrap(alice, second) == b"second"
    for wrapped in (first, second):
        with pytest.raises(Replayed):
            bob.unwrap(alice, wrapped)
    assert bob.unwrap(alice, alice.wrap(bob, b"third")) == b"third"


def test_a_message_sent_back_to_its_sender_is_refused() -> None:
    alice, bob = two()
    with pytest.raises(DecryptError):
        alice.unwrap(bob, alice.wrap(bob, b"first"))
    alice, bob = talking()
    with pytest.raises(DecryptError):
        alice.unwrap(bob, alice.wrap(bob, b"later"))


def test_a_message_of_somebody_else_is_refused() -> None:
    alice, bob = two()
    mallory = Person(3)
    mallory.start(bob)
    with pytest.raises(Tampered):
        bob.unwrap(alice, mallory.wrap(bob, b"I am Alice."))


def test_a_message_for_somebody_else_is_refused() -> None:
    alice, bob = two()
    carol = Person(3)
    with pytest.raises(DecryptError):
        carol.unwrap(alice, alice.wrap(bob, b"for Bob"))


@pytest.mark.parametrize("which", ["user", "account key"])
def test_both_accounts_are_part_of_the_session(which: str) -> None:
    """A server that tells the two sides different owners of a device gets two sides that cannot talk."""
    alice, bob = two()
    wrapped = alice.wrap(bob, b"hello")
    mallory = Person(3)
    if which == "user":
        alice.user = mallory.user
    else:
        alice.account = mallory.account
    with pytest.raises(Tampered):
        bob.unwrap(alice, wrapped)


def test_sessions_are_with_one_set_of_keys() -> None:
    alice, bob = talking()
    wrapped = alice.wrap(bob, b"hello")
    alice.account = Person(3).account
    with pytest.raises(WrongPeer):
        bob.unwrap(alice, wrapped)
    with pytest.raises(WrongPeer):
        bob.start(alice)


def test_a_server_that_swaps_anything_in_a_bundle_is_noticed() -> None:
    alice, bob = two()
    honest, other = bob.bundle(), Person(3)
    other.refill(1, 1)
    swapped = other.bundle()
    assert swapped.one_time is not None
    assert honest.one_time is not None
    changes: list[tuple[dict[str, object], type[CryptoError]]] = [
        ({"device_key": swapped.device_key}, BadBundle),
        ({"device": swapped.device}, BadBundle),
        ({"signed_key": swapped.signed_key}, BadSignature),
        ({"signed_id": honest.signed_id + 1}, BadSignature),
        ({"signed_signature": swapped.signed_signature}, BadSignature),
        ({"signed_signature": honest.kem_signature}, BadSignature),
        ({"signed_key": swapped.signed_key, "signed_signature": swapped.signed_signature}, BadSignature),
        ({"kem_key": swapped.kem_key}, BadSignature),
        ({"kem_id": honest.kem_id + 1}, BadSignature),
        ({"kem_signature": swapped.kem_signature}, BadSignature),
        ({"kem_key": swapped.kem_key, "kem_signature": swapped.kem_signature}, BadSignature),
        ({"one_time": replace(honest.one_time, id=0)}, BadBundle),
    ]
    for change, refusal in changes:
        with pytest.raises(refusal):
            alice.start(bob, replace(honest, **change))
    # One-time keys are not signed: a swapped one is noticed when the message comes.
    alice.start(bob, replace(honest, one_time=swapped.one_time))
    with pytest.raises(DecryptError):
        bob.unwrap(alice, alice.wrap(bob, b"hello"))


@pytest.mark.parametrize("key", SMALL_X25519, ids=lambda key: key.hex()[:8])
def test_prekeys_of_small_order_are_refused(key: bytes) -> None:
    alice, bob = two()
    bundle = bob.bundle()
    assert bundle.one_time is not None
    with pytest.raises(BadKey):
        alice.start(bob, replace(bundle, one_time=replace(bundle.one_time, key=key)))
    signature = keys.sign_hello(bob.keys, keys.signed_transcript(bundle.signed_id, key))
    with pytest.raises(BadKey):
        alice.start(bob, replace(bundle, signed_key=key, signed_signature=signature))
    wrapped = alice.wrap(bob, b"hello")
    with pytest.raises(Tampered):
        bob.unwrap(alice, wrapped[:1] + key + wrapped[33:])


@pytest.mark.parametrize("key", SMALL_ED25519[:4], ids=lambda key: key.hex()[:8])
def test_a_peer_with_a_key_of_small_order_is_refused(key: bytes) -> None:
    alice, bob = two()
    wrapped = alice.wrap(bob, b"hello")
    alice.keys = replace(alice.keys, public=key)
    with pytest.raises(DecryptError):
        bob.unwrap(alice, wrapped)


def test_a_restored_backup_never_repeats_a_nonce() -> None:
    alice, bob = talking()
    backup = alice.pairs[bob.keys.device_id].to_bytes()
    lost = alice.wrap(bob, b"one thing")
    alice.pairs[bob.keys.device_id] = PairSessions.from_bytes(backup)
    again = alice.wrap(bob, b"two thing")
    nonce = slice(-16 - len(b"one thing") - 24, -16 - len(b"one thing"))
    assert lost[: nonce.start] == again[: nonce.start]
    assert lost[nonce] != again[nonce]
    assert bob.unwrap(alice, again) == b"two thing"
    with pytest.raises(Replayed):
        bob.unwrap(alice, lost)


def test_a_device_that_fell_behind_heals_with_a_new_session() -> None:
    alice, bob = talking()
    backup = alice.pairs[bob.keys.device_id].to_bytes()
    for _ in range(2):
        bob.unwrap(alice, alice.wrap(bob, b"on"))
        alice.unwrap(bob, bob.wrap(alice, b"and on"))
    alice.pairs[bob.keys.device_id] = PairSessions.from_bytes(backup)
    with pytest.raises(DecryptError):
        alice.unwrap(bob, bob.wrap(alice, b"you cannot read this"))
    alice.start(bob)
    assert bob.unwrap(alice, alice.wrap(bob, b"again")) == b"again"
    assert alice.unwrap(bob, bob.wrap(alice, b"from the start")) == b"from the start"


def test_stored_sessions_come_back_whole_or_not_at_all() -> None:
    alice, bob = talking()
    pair = alice.pairs[bob.keys.device_id]
    stored = pair.to_bytes()
    assert PairSessions.from_bytes(stored) == pair
    later_version = stored[:1] + b"\x02" + stored[2:]
    for damaged in (b"", stored[:-1], later_version, b"\xc0", alice.keys.to_bytes()):
        with pytest.raises(BadState):
            PairSessions.from_bytes(damaged)


def test_a_device_of_ones_own_account_is_a_peer_like_any_other() -> None:
    phone, laptop = two()
    laptop.user, laptop.account = phone.user, phone.account
    assert laptop.unwrap(phone, phone.wrap(laptop, b"note to self")) == b"note to self"
    assert phone.unwrap(laptop, laptop.wrap(phone, b"noted")) == b"noted"


def test_what_holds_a_secret_does_not_show_it() -> None:
    alice, bob = talking()
    opened = bob.open(alice, alice.wrap(bob, b"plaintext"))
    shown = [
        repr(value)
        for value in (opened, opened.pair.active, opened.pair.active.ratchet, bob.keys, bob.account)
    ]
    assert shown == ["<Opened>", "<Session>", "<Ratchet>", "<DeviceKeys>", "<AccountKey>"]
    assert opened.pair.active.ratchet.__rich_repr__() == []


def test_starting_again_keeps_the_sessions_there_were() -> None:
    alice, bob = talking()
    late = bob.wrap(alice, b"late")
    before = alice.pairs[bob.keys.device_id]
    after = alice.start(bob)
    assert isinstance(after, PairSessions)
    assert [session.id for session in after.archived] == [before.active.id]
    assert alice.unwrap(bob, late) == b"late"


def test_the_sort_of_a_wrap_is_checked() -> None:
    alice, bob = talking()
    wrapped = alice.wrap(bob, b"hello")
    with pytest.raises(Tampered):
        bob.open(alice, b"\x21" + wrapped[1:])
    with pytest.raises(NoSession):
        sessions.unwrap(
            None,
            bob.keys,
            bob.user,
            bob.account.public,
            alice.user,
            alice.account.public,
            alice.keys.public,
            wrapped,
            b"",
            0,
            bob.random,
        )
