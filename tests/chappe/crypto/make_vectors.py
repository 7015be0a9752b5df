"""Writes `vectors.json`: what an implementation in another language must reproduce, byte for byte.

Run it (`python -m tests.chappe.crypto.make_vectors` in the repository) only when the format changes on
purpose; `test_vectors.py` makes them again and compares. All bytes are hexadecimal. Randomness is drawn, in
the order of the draws, from one SHAKE-256 stream per section, over the section's name. ML-KEM encapsulation
draws its own randomness, so the KEM key, ciphertext and secret are those of the first known answer for
ML-KEM-768 in `cryptography_vectors`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from chappe.crypto import device_list, envelope, fingerprint, handshake, keys, linking, ratchet, sessions
from chappe.crypto.handshake import Party
from chappe.crypto.sessions import PairSessions, Session
from chappe.ids import Cid, ConversationId, UserId
from chappe.protocol.calls import Bundle

from .test_primitives import records

PATH = Path(__file__).with_name("vectors.json")

ALICE, BOB = UserId(b"user alice 00001"), UserId(b"user bob 0000002")
AD = b"associated data"


class Stream:
    """Bytes of SHAKE-256 over a name, in order."""

    def __init__(self, name: str) -> None:
        self._name = name.encode()
        self._at = 0

    def __call__(self, length: int) -> bytes:
        self._at += length
        return hashlib.shake_256(self._name).digest(self._at)[-length:]


def make_keys() -> dict[str, Any]:
    random = Stream("keys")
    account = keys.new_account_key(random)
    device, one_time, kem = keys.refill(keys.new_device(random, 1_000), 1, 1, random)
    prekeys = keys.prekeys(device)
    entry = device_list.Entry(device.device_id, device.public, "phone")
    return {
        "account_seed": account.seed,
        "account_public": account.public,
        "device_seed": device.seed,
        "device_public": device.public,
        "device_id": device.device_id,
        "signed_private": device.signed[0].private,
        "signed_id": prekeys.signed_id,
        "signed_key": prekeys.signed_key,
        "signed_signature": prekeys.signed_signature,
        "kem_seed": device.kem[0].private,
        "kem_id": prekeys.kem_id,
        "kem_key": prekeys.kem_key,
        "kem_signature": prekeys.kem_signature,
        "one_time_private": device.one_time[one_time[0].id],
        "one_time_id": one_time[0].id,
        "one_time_key": one_time[0].key,
        "one_time_kem_seed": device.one_time_kem[kem[0].id],
        "one_time_kem_id": kem[0].id,
        "one_time_kem_key": kem[0].key,
        "one_time_kem_signature": kem[0].signature,
        "device_list": device_list.sign(account, 1, 1_000, [entry]),
    }


def make_sessions(with_one_time: bool) -> dict[str, Any]:
    """Alice writes first, Bob answers, and Alice writes again."""
    random = Stream("sessions with a one-time key" if with_one_time else "sessions without a one-time key")
    known = next(records("asymmetric/MLKEM/kat_MLKEM_768.rsp"))
    kem_answer = bytes.fromhex(known["ss"]), bytes.fromhex(known["ct"])
    accounts = [keys.new_account_key(random) for _ in range(2)]
    alice, bob = (keys.new_device(random, 0) for _ in range(2))
    bob, one_time, _ = keys.refill(bob, 1 if with_one_time else 0, 0, random)
    bob = replace(bob, kem=(replace(bob.kem[0], private=bytes.fromhex(known["d"] + known["z"])),))
    prekeys = keys.prekeys(bob)
    bundle = Bundle(
        bob.device_id,
        bob.public,
        prekeys.signed_id,
        prekeys.signed_key,
        prekeys.signed_signature,
        prekeys.kem_id,
        prekeys.kem_key,
        prekeys.kem_signature,
        one_time[0] if one_time else None,
    )
    me, peer = Party(ALICE, accounts[0].public, alice.public), Party(BOB, accounts[1].public, bob.public)
    agreed = handshake.initiate(alice, me, peer, bundle, random, encapsulate=lambda _: kem_answer)
    header = agreed.header.encode()
    session_id = hashlib.sha256(header).digest()[: sessions.ID_BYTES]
    state = ratchet.begin(agreed.secret, agreed.signed_public, random)
    of_alice = PairSessions(me, peer, Session(session_id, agreed.binding, header, state))
    messages = []
    of_alice, wrapped = sessions.wrap(of_alice, b"first", AD, random)
    messages.append(("alice", b"first", wrapped))
    to_bob = (bob, BOB, accounts[1].public, ALICE, accounts[0].public, alice.public)
    opened = sessions.unwrap(None, *to_bob, wrapped, AD, 0, random)
    of_bob, wrapped = sessions.wrap(opened.pair, b"second", AD, random)
    messages.append(("bob", b"second", wrapped))
    to_alice = (alice, ALICE, accounts[0].public, BOB, accounts[1].public, bob.public)
    opened = sessions.unwrap(of_alice, *to_alice, wrapped, AD, 0, random)
    _, wrapped = sessions.wrap(opened.pair, b"third", AD, random)
    messages.append(("alice", b"third", wrapped))
    assert sessions.unwrap(of_bob, *to_bob, wrapped, AD, 0, random).plaintext == b"third"
    return {
        "alice_user": ALICE,
        "alice_account_public": accounts[0].public,
        "alice_device_seed": alice.seed,
        "bob_user": BOB,
        "bob_account_public": accounts[1].public,
        "bob_device_seed": bob.seed,
        "bob_signed_private": bob.signed[0].private,
        "bob_kem_seed": bob.kem[0].private,
        "bob_one_time_private": bob.one_time[one_time[0].id] if one_time else None,
        "kem_secret": kem_answer[0],
        "header": header,
        "binding": agreed.binding,
        "secret": agreed.secret,
        "ad": AD,
        "messages": [
            {"sender": sender, "plaintext": plaintext, "wrap": wrapped}
            for sender, plaintext, wrapped in messages
        ],
    }


def make_envelope() -> dict[str, Any]:
    random = Stream("envelope")
    device = keys.new_device(random, 0).device_id
    context = envelope.Context(ConversationId(random(16)), ALICE, device, Cid(random(16)), 1)
    key, body = envelope.seal(b"Hello, Bob.", context, random)
    assert envelope.open(key, body, context) == b"Hello, Bob."
    return {
        "conv": context.conv,
        "sender": context.sender,
        "device": context.device,
        "cid": context.cid,
        "kind": context.kind,
        "ref": context.ref,
        "plaintext": b"Hello, Bob.",
        "key": key,
        "body": body,
        "padded": {
            str(length): envelope.padded_length(length) for length in (1, 160, 161, 1120, 1121, 50_000)
        },
    }


def make_fingerprint() -> dict[str, Any]:
    random = Stream("fingerprint")
    one, other = (keys.new_account_key(random).public for _ in range(2))
    number = fingerprint.safety_number(ALICE, one, BOB, other)
    return {"user": ALICE, "key": one, "other_user": BOB, "other_key": other, "number": number}


def make_linking() -> dict[str, Any]:
    random = Stream("linking")
    account, device = keys.new_account_key(random), keys.new_device(random, 0)
    secret, text = linking.new_code(device.public, random)
    sealed = linking.seal(text, account, random)
    assert linking.open(secret, sealed, account.public) == account
    return {
        "account_seed": account.seed,
        "device_key": secret.device_key,
        "private": secret.private,
        "echo": secret.echo,
        "text": text,
        "sealed": sealed,
    }


def make() -> str:
    """Return the whole file."""
    sections = {
        "keys": make_keys(),
        "session_with_one_time_key": make_sessions(with_one_time=True),
        "session_without_one_time_key": make_sessions(with_one_time=False),
        "envelope": make_envelope(),
        "fingerprint": make_fingerprint(),
        "linking": make_linking(),
    }
    return json.dumps({"version": 1, **sections}, indent=1, default=bytes.hex) + "\n"


if __name__ == "__main__":
    PATH.write_text(make(), encoding="ascii")
