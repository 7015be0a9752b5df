"""The long-lived keys: the account's one, and each device's with its prekeys.

The client keeps both (sealed in its own store) and publishes the public halves; `handshake.py` uses them to
start sessions. A device is one Ed25519 key; its X25519 form follows by conversion. It signs its prekeys under
a label and their id, so that the server can neither make one up nor pass one off as another. Every function
returns a new value. Sources: Signal's PQXDH, section 3.2, https://signal.org/docs/specifications/pqxdh/.
"""

from __future__ import annotations

from typing import Final

from msgspec import field
from msgspec.structs import replace

from ..ids import DeviceId, device_id
from ..protocol.calls import OneTimeKem, OneTimeKey
from ..protocol.frames import PreKeys
from . import primitives
from .primitives import KEM_SEED_BYTES, KEY_BYTES, Random
from .secret import Secret

DAY_MS: Final = 24 * 60 * 60 * 1000
ROTATE_AFTER_MS: Final = 7 * DAY_MS
KEEP_RETIRED_MS: Final = 30 * DAY_MS
"""As long as the server keeps an offline device's messages: a later one cannot name an older prekey."""

MAX_ONE_TIME: Final = 1000
"""Private one-time keys kept of each sort.

Who claims keys and never writes makes the oldest useless, nothing more.
"""

_SIGNED_LABEL = b"chappe signed prekey 1"
_KEM_LABEL = b"chappe kem prekey 1"

verify_signature = primitives.is_signed


class AccountKey(Secret, frozen=True, tag=1):
    """The Ed25519 key of an account. It signs the device list and nothing else."""

    seed: bytes
    public: bytes


class PreKey(Secret, frozen=True):
    """A private prekey: 32 bytes of X25519 or a 64-byte ML-KEM seed.

    `retired_ms` is set once a newer one is out.
    """

    id: int
    private: bytes
    made_ms: int
    retired_ms: int = 0


class DeviceKeys(Secret, frozen=True, tag=1):
    """All private keys of a device.

    `signed` and `kem` hold the current prekey first, then the retired ones.
    """

    seed: bytes
    public: bytes
    next_id: int
    signed: tuple[PreKey, ...]
    kem: tuple[PreKey, ...]
    one_time: dict[int, bytes] = field(default_factory=dict)
    one_time_kem: dict[int, bytes] = field(default_factory=dict)

    @property
    def device_id(self) -> DeviceId:
        """The device's name, which follows from its public key."""
        return device_id(self.public)


def new_account_key(random: Random) -> AccountKey:
    """Make the key of a new account."""
    return account_key(random(KEY_BYTES))


def account_key(seed: bytes) -> AccountKey:
    """Return the account key of a 32-byte seed."""
    return AccountKey(seed, primitives.ed25519_public(seed))


def new_device(random: Random, now_ms: int) -> DeviceKeys:
    """Make the keys of a new device; it has no one-time keys yet."""
    seed = random(KEY_BYTES)
    empty = DeviceKeys(seed, primitives.ed25519_public(seed), next_id=1, signed=(), kem=())
    return rotate(empty, now_ms, random)


def rotate(device: DeviceKeys, now_ms: int, random: Random) -> DeviceKeys:
    """Return the device with a new signed prekey and a new last-resort KEM key; publish them with `prekeys`.

    The old ones keep working for 30 days, for first messages that are still on their way.
    """
    first = device.next_id
    return replace(
        device,
        next_id=first + 2,
        signed=(PreKey(first, random(KEY_BYTES), now_ms), *_retire(device.signed, now_ms)),
        kem=(PreKey(first + 1, random(KEM_SEED_BYTES), now_ms), *_retire(device.kem, now_ms)),
    )


def is_rotation_due(device: DeviceKeys, now_ms: int) -> bool:
    """Return whether the prekeys are a week old."""
    return now_ms - device.signed[0].made_ms >= ROTATE_AFTER_MS


def refill(
    device: DeviceKeys, one_time: int, kem: int, random: Random
) -> tuple[DeviceKeys, list[OneTimeKey], list[OneTimeKem]]:
    """Add so many one-time keys; returns the device and the public halves to publish.

    Store the device first.
    """
    first_kem = device.next_id + one_time
    curve_keys = {n: random(KEY_BYTES) for n in range(device.next_id, first_kem)}
    kem_keys = {n: random(KEM_SEED_BYTES) for n in range(first_kem, first_kem + kem)}
    filled = replace(
        device,
        next_id=first_kem + kem,
        one_time=_newest({**device.one_time, **curve_keys}),
        one_time_kem=_newest({**device.one_time_kem, **kem_keys}),
    )
    return (
        filled,
        [OneTimeKey(n, primitives.x25519_public(private)) for n, private in curve_keys.items()],
        [_signed_kem(device, n, seed) for n, seed in kem_keys.items()],
    )


def without_one_time(device: DeviceKeys, one_time_id: int, kem_id: int) -> DeviceKeys:
    """Return the device without these one-time keys; ids that are not there are ignored."""
    return replace(
        device,
        one_time={n: key for n, key in device.one_time.items() if n != one_time_id},
        one_time_kem={n: seed for n, seed in device.one_time_kem.items() if n != kem_id},
    )


def prekeys(device: DeviceKeys) -> PreKeys:
    """Return the public halves of the current signed prekey and last-resort KEM key, signed."""
    signed = device.signed[0]
    public = primitives.x25519_public(signed.private)
    kem = _signed_kem(device, device.kem[0].id, device.kem[0].private)
    return PreKeys(
        signed_id=signed.id,
        signed_key=public,
        signed_signature=primitives.sign(device.seed, signed_transcript(signed.id, public)),
        kem_id=kem.id,
        kem_key=kem.key,
        kem_signature=kem.signature,
    )


def sign_hello(device: DeviceKeys, transcript: bytes) -> bytes:
    """Return the device's signature (64 bytes) for HELLO; the transcript is `frames.hello_transcript`."""
    return primitives.sign(device.seed, transcript)


def signed_transcript(prekey_id: int, key: bytes) -> bytes:
    """Return the bytes that a device signs to publish a signed prekey."""
    return _SIGNED_LABEL + prekey_id.to_bytes(8, "big") + key


def kem_transcript(prekey_id: int, key: bytes) -> bytes:
    """Return the bytes that a device signs to publish a KEM key."""
    return _KEM_LABEL + prekey_id.to_bytes(8, "big") + key


def _signed_kem(device: DeviceKeys, prekey_id: int, seed: bytes) -> OneTimeKem:
    key = primitives.kem_public(seed)
    return OneTimeKem(prekey_id, key, primitives.sign(device.seed, kem_transcript(prekey_id, key)))


def _retire(keys: tuple[PreKey, ...], now_ms: int) -> tuple[PreKey, ...]:
    retired = (key if key.retired_ms else replace(key, retired_ms=now_ms) for key in keys)
    return tuple(key for key in retired if now_ms - key.retired_ms < KEEP_RETIRED_MS)


def _newest(keys: dict[int, bytes]) -> dict[int, bytes]:
    return dict(sorted(keys.items())[-MAX_ONE_TIME:])
