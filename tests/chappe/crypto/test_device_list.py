"""The signed device list against a server that lies about it."""

from __future__ import annotations

import msgspec
import pytest

from chappe.crypto import device_list, keys, primitives
from chappe.crypto.device_list import MAX_DEVICES, Entry
from chappe.crypto.errors import BadDeviceList, BadKey, BadSignature, CryptoError, RolledBack
from chappe.ids import DeviceId, device_id

from .people import seeded
from .small_order import SMALL_ED25519

RANDOM = seeded(11)
ACCOUNT = keys.new_account_key(RANDOM)
MALLORY = keys.new_account_key(RANDOM)


def entry(name: str = "phone") -> Entry:
    public = keys.new_device(RANDOM, 0).public
    return Entry(device_id(public), public, name)


PHONE, LAPTOP, GHOST = entry("phone"), entry("laptop"), entry("ghost")


def test_a_list_comes_back_as_it_was_signed() -> None:
    signed = device_list.sign(ACCOUNT, 3, 1_000, [PHONE, LAPTOP])
    devices = device_list.verify(signed, ACCOUNT.public, at_least=3)
    assert (devices.version, devices.time_ms, devices.entries) == (3, 1_000, (PHONE, LAPTOP))


def test_an_older_list_is_refused() -> None:
    with_laptop = device_list.sign(ACCOUNT, 1, 0, [PHONE, LAPTOP])
    device_list.sign(ACCOUNT, 2, 1, [PHONE])
    with pytest.raises(RolledBack):
        device_list.verify(with_laptop, ACCOUNT.public, at_least=2)


def test_a_ghost_device_cannot_be_added() -> None:
    signed = device_list.sign(ACCOUNT, 1, 0, [PHONE])
    haunted = device_list.sign(MALLORY, 1, 0, [PHONE, GHOST])
    for forged in (haunted, signed[:64] + haunted[64:], bytes(64) + haunted[64:]):
        with pytest.raises(BadSignature):
            device_list.verify(forged, ACCOUNT.public, at_least=1)


def test_every_byte_and_every_length_counts() -> None:
    signed = device_list.sign(ACCOUNT, 1, 0, [PHONE, LAPTOP])
    for at in range(len(signed)):
        for bad in (signed[:at], signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :]):
            with pytest.raises(BadSignature):
                device_list.verify(bad, ACCOUNT.public, at_least=1)
    with pytest.raises(BadSignature):
        device_list.verify(signed + b"\0", ACCOUNT.public, at_least=1)


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([], id="nobody"),
        pytest.param([PHONE, PHONE], id="twice"),
        pytest.param([Entry(PHONE.device, LAPTOP.key, "swapped")], id="another's key"),
        pytest.param([Entry(DeviceId(PHONE.device[:15]), PHONE.key, "short")], id="short id"),
        pytest.param([Entry(PHONE.device, PHONE.key[:31], "short")], id="short key"),
        pytest.param([Entry(PHONE.device, PHONE.key, "n" * 257)], id="long name"),
        pytest.param([entry() for _ in range(MAX_DEVICES + 1)], id="too many"),
        *(
            pytest.param([Entry(device_id(key), key, "weak")], id=f"small order {key.hex()[:4]}")
            for key in SMALL_ED25519
        ),
    ],
)
def test_a_list_that_makes_no_sense_is_neither_made_nor_believed(entries: list[Entry]) -> None:
    with pytest.raises(BadDeviceList):
        device_list.sign(ACCOUNT, 1, 0, entries)
    payload = msgspec.msgpack.encode((1, 0, entries))
    signed = primitives.sign(ACCOUNT.seed, b"chappe device list 1" + payload) + payload
    with pytest.raises(BadDeviceList):
        device_list.verify(signed, ACCOUNT.public, at_least=0)


@pytest.mark.parametrize("version", [0, -1, 2**53])
def test_versions_start_at_one(version: int) -> None:
    with pytest.raises(BadDeviceList):
        device_list.sign(ACCOUNT, version, 0, [PHONE])


@pytest.mark.parametrize(
    "key", [*SMALL_ED25519, b"", bytes(31)], ids=lambda key: key.hex()[:8] + str(len(key))
)
def test_an_account_key_of_small_order_or_wrong_length_is_refused(key: bytes) -> None:
    signed = device_list.sign(ACCOUNT, 1, 0, [PHONE])
    with pytest.raises(BadKey):
        device_list.verify(signed, key, at_least=1)


def test_a_signature_made_for_something_else_is_no_device_list() -> None:
    payload = msgspec.msgpack.encode((1, 0, [PHONE]))
    with pytest.raises(CryptoError):
        device_list.verify(primitives.sign(ACCOUNT.seed, payload) + payload, ACCOUNT.public, at_least=1)


@pytest.mark.parametrize(
    "payload", [b"\x93\x01\x00\xa1\xff", b"\x91" * 100_000, b""], ids=["text", "depth", "none"]
)
def test_a_signed_list_that_does_not_decode_is_refused(payload: bytes) -> None:
    named = msgspec.msgpack.encode((1, 0, [PHONE])).replace(b"phone", b"\xff\xff\xff\xff\xff")
    for malformed in (payload, named):
        signed = primitives.sign(ACCOUNT.seed, b"chappe device list 1" + malformed) + malformed
        with pytest.raises(BadDeviceList):
            device_list.verify(signed, ACCOUNT.public, at_least=1)
