"""The signed list of an account's devices: who may speak for it, and whom to encrypt for.

Clients make it when a device is linked or revoked, the server stores it, everybody verifies it before any
use. The account key signs it, so the server cannot add a ghost device; versions only grow, so it cannot bring
a revoked device back to anyone who has seen a newer list. Remembering the newest version seen is the caller's
work.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from ..ids import device_id
from ..protocol.decoders import decoder_of
from ..protocol.frames import Counter, Device, Key, Text
from . import primitives
from .errors import BadDeviceList, BadKey, BadSignature, RolledBack
from .keys import AccountKey
from .primitives import SIGNATURE_BYTES

MAX_DEVICES: Final = 64

_LABEL = b"chappe device list 1"


class Entry(Struct, frozen=True, array_like=True):
    """One device: its id, its Ed25519 public key, and the name its owner gave it."""

    device: Device
    key: Key
    name: Text


class DeviceList(Struct, frozen=True, array_like=True):
    """A list that was verified. `time_ms` is the signer's clock, in milliseconds since 1970 (UTC)."""

    version: Annotated[int, Meta(ge=1, lt=2**53)]
    time_ms: Counter
    entries: Annotated[tuple[Entry, ...], Meta(min_length=1, max_length=MAX_DEVICES)]


def sign(account: AccountKey, version: int, now_ms: int, entries: Iterable[Entry]) -> bytes:
    """Return a signed list: 64 bytes of signature, then the list as msgpack.

    Raises: `BadDeviceList`, `BadKey` for a list that nobody would accept.
    """
    payload = msgspec.msgpack.encode(DeviceList(version, now_ms, tuple(entries)))
    _parse(payload)
    return primitives.sign(account.seed, _LABEL + payload) + payload


def verify(signed: bytes, account_public: bytes, at_least: int) -> DeviceList:
    """Return the list if the account signed it and it is no older than version `at_least`.

    Raises: `BadKey`, `BadSignature`, `RolledBack`, `BadDeviceList`.
    """
    primitives.ed25519_public_to_x25519(account_public)
    signature, payload = signed[:SIGNATURE_BYTES], signed[SIGNATURE_BYTES:]
    if not primitives.is_signed(account_public, _LABEL + payload, signature):
        raise BadSignature("This device list is not signed by the account's key; do not use it.")
    devices = _parse(payload)
    if devices.version < at_least:
        raise RolledBack(
            f"This device list is version {devices.version}, but version {at_least} is known; keep that."
        )
    return devices


def _parse(payload: bytes) -> DeviceList:
    try:
        devices = decoder_of(DeviceList).decode(payload)
    except (ValueError, RecursionError) as error:  # msgspec's errors, and text that is no UTF-8
        raise BadDeviceList("This device list is malformed; do not use it.") from error
    if len({entry.device for entry in devices.entries}) != len(devices.entries):
        raise BadDeviceList("This device list names a device twice; do not use it.")
    for entry in devices.entries:
        if entry.device != device_id(entry.key):
            raise BadDeviceList("This device list gives a device a key that is not its own; do not use it.")
        try:
            primitives.ed25519_public_to_x25519(entry.key)
        except BadKey as error:
            raise BadDeviceList("This device list holds a key of small order; do not use it.") from error
    return devices
