"""How fast messages are wrapped and unwrapped, beside `doubleratchet` in the same run, on one core.

Run: `python -m bench.crypto [rounds]`. Ours is measured as the client uses it (`sessions.wrap`,
`sessions.unwrap`: ratchet, session lookup, header), the other library as its documentation shows, with its
recommended AES-CBC and HMAC. Three patterns: a one-way stream, a ping-pong in which every message turns the
ratchet, and a stream with every second message late. The body of a message is sealed once whatever the number
of devices; what is wrapped is its 32-byte key.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from doubleratchet import DoubleRatchet, Header
from doubleratchet.recommended import (
    HashFunction,
    aead_aes_hmac,
    diffie_hellman_ratchet_curve25519,
    kdf_hkdf,
    kdf_separate_hmacs,
)
from rich.console import Console
from rich.table import Table

from chappe.crypto import keys, sessions
from chappe.crypto.keys import DeviceKeys
from chappe.crypto.sessions import PairSessions
from chappe.ids import UserId
from chappe.protocol.calls import Bundle

KEY = bytes(32)
AD = bytes(64)


class Ours:
    """One device of this project."""

    def __init__(self) -> None:
        self.user = UserId(os.urandom(16))
        self.account = keys.new_account_key(os.urandom)
        self.device: DeviceKeys = keys.new_device(os.urandom, 0)
        self.pair: PairSessions | None = None
        self.peer: Ours

    def start(self) -> None:
        """Start a session with the peer."""
        peer, prekeys = self.peer, keys.prekeys(self.peer.device)
        bundle = Bundle(
            peer.device.device_id,
            peer.device.public,
            prekeys.signed_id,
            prekeys.signed_key,
            prekeys.signed_signature,
            prekeys.kem_id,
            prekeys.kem_key,
            prekeys.kem_signature,
        )
        self.pair = sessions.start(
            self.device, self.user, self.account.public, peer.user, peer.account.public, bundle, 0, os.urandom
        )

    def wrap(self) -> bytes:
        """Wrap one key for the peer."""
        assert self.pair is not None
        self.pair, wrapped = sessions.wrap(self.pair, KEY, AD, os.urandom)
        return wrapped

    def unwrap(self, wrapped: bytes) -> None:
        """Unwrap one key from the peer."""
        peer = self.peer
        opened = sessions.unwrap(
            self.pair,
            self.device,
            self.user,
            self.account.public,
            peer.user,
            peer.account.public,
            peer.device.public,
            wrapped,
            AD,
            0,
            os.urandom,
        )
        self.pair = opened.pair


class _RootKDF(kdf_hkdf.KDF):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256

    @staticmethod
    def _get_info() -> bytes:
        return b"root"


class _ChainKDF(kdf_separate_hmacs.KDF):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256


class _AEAD(aead_aes_hmac.AEAD):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256

    @staticmethod
    def _get_info() -> bytes:
        return b"message"


class _Ratchet(DoubleRatchet):
    @staticmethod
    def _build_associated_data(associated_data: bytes, header: Header) -> bytes:
        return (
            associated_data
            + header.ratchet_pub
            + header.sending_chain_length.to_bytes(8, "big")
            + header.previous_sending_chain_length.to_bytes(8, "big")
        )


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run one of the library's coroutines, none of which ever waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("The library waited; run it under an event loop.")


class Theirs:
    """One end of a session of the other library."""

    def __init__(self, state: _Ratchet) -> None:
        self.state = state

    def wrap(self) -> Any:
        """Encrypt one key for the peer."""
        return _run(self.state.encrypt_message(KEY, AD))

    def unwrap(self, message: Any) -> None:
        """Decrypt one key from the peer."""
        _run(self.state.decrypt_message(message, AD))


def our_ends() -> tuple[Ours, Ours]:
    """Return two devices with a session that both have used."""
    alice, bob = Ours(), Ours()
    alice.peer, bob.peer = bob, alice
    alice.start()
    bob.unwrap(alice.wrap())
    alice.unwrap(bob.wrap())
    return alice, bob


def their_ends() -> tuple[Theirs, Theirs]:
    """Return two ends of the other library that both have used."""
    configuration: dict[str, Any] = {
        "diffie_hellman_ratchet_class": diffie_hellman_ratchet_curve25519.DiffieHellmanRatchet,
        "root_chain_kdf": _RootKDF,
        "message_chain_kdf": _ChainKDF,
        "message_chain_constant": b"\x01\x02",
        "dos_protection_threshold": 1000,
        "max_num_skipped_message_keys": 2000,
        "aead": _AEAD,
        "shared_secret": os.urandom(32),
        "associated_data": AD,
    }
    private = os.urandom(32)
    curve = diffie_hellman_ratchet_curve25519.DiffieHellmanRatchet
    public = curve._derive_pub(private)
    begun, first = _run(
        _Ratchet.encrypt_initial_message(**configuration, recipient_ratchet_pub=public, message=KEY)
    )
    accepted, _ = _run(
        _Ratchet.decrypt_initial_message(**configuration, own_ratchet_priv=private, message=first)
    )
    alice, bob = Theirs(begun), Theirs(accepted)
    alice.unwrap(bob.wrap())
    return alice, bob


def stream(alice: Any, bob: Any, rounds: int) -> tuple[float, float]:
    """Alice writes; returns seconds for all wraps and for all unwraps."""
    began = time.perf_counter()
    wrapped = [alice.wrap() for _ in range(rounds)]
    between = time.perf_counter()
    for message in wrapped:
        bob.unwrap(message)
    return between - began, time.perf_counter() - between


def late(alice: Any, bob: Any, rounds: int) -> tuple[float, float]:
    """Alice writes; of every 500 messages, every second comes after the others."""
    began = time.perf_counter()
    wrapped = [alice.wrap() for _ in range(rounds)]
    between = time.perf_counter()
    for start in range(0, rounds, 500):
        part = wrapped[start : start + 500]
        for message in part[1::2] + part[0::2]:
            bob.unwrap(message)
    return between - began, time.perf_counter() - between


def ping_pong(alice: Any, bob: Any, rounds: int) -> tuple[float, float]:
    """Both write in turn."""
    wrapping = unwrapping = 0.0
    for _ in range(rounds // 2):
        for writer, reader in ((alice, bob), (bob, alice)):
            began = time.perf_counter()
            message = writer.wrap()
            between = time.perf_counter()
            reader.unwrap(message)
            wrapping += between - began
            unwrapping += time.perf_counter() - between
    return wrapping, unwrapping


def first_messages(rounds: int) -> tuple[float, float]:
    """Return seconds for so many new sessions: starting with a first wrap, and answering it."""
    alice, bob = our_ends()
    began = time.perf_counter()
    wrapped = []
    for _ in range(rounds):
        alice.pair = None
        alice.start()
        wrapped.append(alice.wrap())
    between = time.perf_counter()
    for message in wrapped:
        bob.pair = None
        bob.unwrap(message)
    return between - began, time.perf_counter() - between


def _measure(
    pattern: Callable[[Any, Any, int], tuple[float, float]], ends: Callable[[], tuple[Any, Any]], rounds: int
) -> tuple[float, float]:
    return pattern(*ends(), rounds)


def main() -> None:
    """Print the table. Each figure is the best of three runs."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    table = Table("pattern", "wrap/s", "unwrap/s", "doubleratchet wrap/s", "unwrap/s")

    def best(pattern: Callable[[], tuple[float, float]], count: int) -> list[str]:
        runs = [pattern() for _ in range(3)]
        return [f"{count / min(seconds):,.0f}" for seconds in zip(*runs, strict=True)]

    for name, pattern in (("stream", stream), ("ping-pong", ping_pong), ("half late", late)):
        ours = best(partial(_measure, pattern, our_ends, rounds), rounds)
        theirs = best(partial(_measure, pattern, their_ends, rounds), rounds)
        table.add_row(name, *ours, *theirs)
    table.add_row("new session", *best(lambda: first_messages(rounds // 20), rounds // 20), "", "")
    Console().print(table)


if __name__ == "__main__":
    main()
