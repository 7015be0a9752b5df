"""Our ratchet and key schedule against other people's: `doubleratchet` and `x3dh`, run in our configuration.

The two libraries let their KDFs and AEAD be chosen, so they can be made to speak our wire format: whatever
one side writes, the other must read, in any order and with any losses.
"""

from __future__ import annotations

import os
from collections.abc import Coroutine
from typing import Any

import pytest
from doubleratchet import AEAD, DoubleRatchet, EncryptedMessage, Header
from doubleratchet.recommended import (
    HashFunction,
    diffie_hellman_ratchet_curve25519,
    kdf_hkdf,
    kdf_separate_hmacs,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from x3dh import BaseState, IdentityKeyFormat
from x3dh import HashFunction as X3DHHash
from x3dh import Header as X3DHHeader
from x3dh.identity_key_pair import IdentityKeyPairSeed

from chappe.crypto import handshake, keys, primitives, ratchet

from .people import seeded

AD = b"associated data"


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("It waited.")


class RootKDF(kdf_hkdf.KDF):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256

    @staticmethod
    def _get_info() -> bytes:
        return ratchet.ROOT_INFO


class ChainKDF(kdf_separate_hmacs.KDF):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256


class XChaCha(AEAD):
    @staticmethod
    async def encrypt(plaintext: bytes, key: bytes, associated_data: bytes) -> bytes:
        return primitives.seal(key, plaintext, associated_data, os.urandom)

    @staticmethod
    async def decrypt(ciphertext: bytes, key: bytes, associated_data: bytes) -> bytes:
        return primitives.unseal(key, ciphertext, associated_data)


def encode(header: Header) -> bytes:
    return (
        header.ratchet_pub
        + header.previous_sending_chain_length.to_bytes(4, "big")
        + header.sending_chain_length.to_bytes(4, "big")
    )


class Other(DoubleRatchet):
    @staticmethod
    def _build_associated_data(associated_data: bytes, header: Header) -> bytes:
        return encode(header) + associated_data


CONFIGURATION: dict[str, Any] = {
    "diffie_hellman_ratchet_class": diffie_hellman_ratchet_curve25519.DiffieHellmanRatchet,
    "root_chain_kdf": RootKDF,
    "message_chain_kdf": ChainKDF,
    "message_chain_constant": b"\x02\x01",
    "dos_protection_threshold": ratchet.MAX_SKIP,
    "max_num_skipped_message_keys": ratchet.MAX_SKIPPED,
    "aead": XChaCha,
}


def parse(message: bytes) -> EncryptedMessage:
    previous, number = (int.from_bytes(message[at : at + 4], "big") for at in (32, 36))
    return EncryptedMessage(Header(message[:32], previous, number), message[40:])


class Ours:
    """One end that runs our ratchet."""

    def __init__(self, state: ratchet.Ratchet) -> None:
        self.state = state

    def encrypt(self, plaintext: bytes) -> bytes:
        self.state, message = ratchet.encrypt(self.state, plaintext, AD, os.urandom)
        return message

    def decrypt(self, message: bytes) -> bytes:
        self.state, plaintext = ratchet.decrypt(self.state, message, AD, 0, os.urandom)
        return plaintext


class Theirs:
    """One end that runs the other library."""

    def __init__(self, state: Other) -> None:
        self.state = state

    def encrypt(self, plaintext: bytes) -> bytes:
        message = run(self.state.encrypt_message(plaintext, AD))
        return encode(message.header) + message.ciphertext

    def decrypt(self, message: bytes) -> bytes:
        plaintext = run(self.state.decrypt_message(parse(message), AD))
        assert isinstance(plaintext, bytes)
        return plaintext


def ends(ours_begins: bool) -> tuple[Ours | Theirs, Ours | Theirs]:
    """Return both ends, each with one message received."""
    secret, private = os.urandom(32), os.urandom(32)
    public = primitives.x25519_public(private)
    ours: Ours
    theirs: Theirs
    if ours_begins:
        ours = Ours(ratchet.begin(secret, public, os.urandom))
        first = parse(ours.encrypt(b"first"))
        accepted = run(
            Other.decrypt_initial_message(
                **CONFIGURATION,
                shared_secret=secret,
                own_ratchet_priv=private,
                message=first,
                associated_data=AD,
            )
        )
        assert accepted[1] == b"first"
        theirs = Theirs(accepted[0])
        assert ours.decrypt(theirs.encrypt(b"second")) == b"second"
        return ours, theirs
    begun, sent = run(
        Other.encrypt_initial_message(
            **CONFIGURATION,
            shared_secret=secret,
            recipient_ratchet_pub=public,
            message=b"first",
            associated_data=AD,
        )
    )
    theirs = Theirs(begun)
    ours = Ours(ratchet.accept(secret, private, public))
    assert ours.decrypt(encode(sent.header) + sent.ciphertext) == b"first"
    assert theirs.decrypt(ours.encrypt(b"second")) == b"second"
    return theirs, ours


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ours_begins=st.booleans(), data=st.data())
def test_our_ratchet_and_doubleratchet_read_each_other(ours_begins: bool, data: st.DataObject) -> None:
    both = ends(ours_begins)
    waiting: tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]] = ([], [])
    for n in range(data.draw(st.integers(1, 40), label="steps")):
        side = data.draw(st.integers(0, 1), label="side")
        inbox = waiting[side]
        what = data.draw(st.sampled_from(["send", "receive", "lose"] if inbox else ["send"]), label="what")
        if what == "send":
            waiting[1 - side].append((b"%d" % n, both[side].encrypt(b"%d" % n)))
        else:
            plaintext, message = inbox.pop(data.draw(st.integers(0, len(inbox) - 1), label="which"))
            if what == "receive":
                assert both[side].decrypt(message) == plaintext


class X3DH(BaseState):
    @staticmethod
    def _encode_public_key(key_format: IdentityKeyFormat, pub: bytes) -> bytes:
        return pub


INFO = b"any info"


@pytest.mark.parametrize("seed", range(10))
def test_our_key_schedule_and_x3dh_agree(seed: int) -> None:
    """They begin, we answer; without the KEM, which X3DH does not have."""
    own = keys.new_device(seeded(seed), 0)
    identity = IdentityKeyPairSeed(own.seed)
    bob = X3DH.create(IdentityKeyFormat.ED_25519, X3DHHash.SHA_256, INFO, identity)
    bob.generate_pre_keys(1)
    assert bob.bundle.identity_key == own.public
    alice = X3DH.create(IdentityKeyFormat.ED_25519, X3DHHash.SHA_256, INFO)
    secret, _, header = run(alice.get_shared_secret_active(bob.bundle))
    assert secret == run(bob.get_shared_secret_passive(header))[0]
    signed, one_time = bob.model.signed_pre_key.priv, next(iter(bob.model.pre_keys))
    agreements = [
        primitives.x25519(signed, primitives.ed25519_public_to_x25519(header.identity_key)),
        primitives.x25519(primitives.ed25519_seed_to_x25519(own.seed), header.ephemeral_key),
        primitives.x25519(signed, header.ephemeral_key),
        primitives.x25519(one_time, header.ephemeral_key),
    ]
    assert handshake.derive(agreements, b"", INFO) == secret


@pytest.mark.parametrize("with_one_time", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_x3dh_reads_our_key_schedule(seed: int, with_one_time: bool) -> None:
    """We begin, they answer."""
    random = seeded(seed)
    own, ephemeral = keys.new_device(random, 0), random(32)
    bob = X3DH.create(IdentityKeyFormat.ED_25519, X3DHHash.SHA_256, INFO)
    bob.generate_pre_keys(1)
    bundle = bob.bundle
    one_time = next(iter(bundle.pre_keys)) if with_one_time else None
    agreements = [
        primitives.x25519(primitives.ed25519_seed_to_x25519(own.seed), bundle.signed_pre_key),
        primitives.x25519(ephemeral, primitives.ed25519_public_to_x25519(bundle.identity_key)),
        primitives.x25519(ephemeral, bundle.signed_pre_key),
        *([primitives.x25519(ephemeral, one_time)] if one_time else ()),
    ]
    header = X3DHHeader(own.public, primitives.x25519_public(ephemeral), bundle.signed_pre_key, one_time)
    theirs = run(bob.get_shared_secret_passive(header, require_pre_key=with_one_time))[0]
    assert theirs == handshake.derive(agreements, b"", INFO)
