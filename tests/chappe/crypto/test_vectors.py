"""`vectors.json` is what today's code makes: a difference is a new format, and needs a new version."""

from __future__ import annotations

import json

from chappe.crypto import device_list, envelope, keys, linking, sessions
from chappe.crypto.keys import DeviceKeys, PreKey
from chappe.crypto.linking import LinkSecret
from chappe.ids import Cid, ConversationId, DeviceId, UserId

from .make_vectors import PATH, make


def test_the_vectors_are_made_again_to_the_byte() -> None:
    assert make() == PATH.read_text(encoding="ascii")


def test_the_vectors_can_be_read_from_the_file_alone() -> None:
    """As another implementation would: nothing here comes from the script."""
    vectors = json.loads(PATH.read_text(encoding="ascii"))
    for name in ("session_with_one_time_key", "session_without_one_time_key"):
        data = vectors[name]
        raw = {key: bytes.fromhex(value) for key, value in data.items() if isinstance(value, str)}
        header = raw["header"]
        signed_id, kem_id, one_time_id = (int.from_bytes(header[at : at + 8], "big") for at in (32, 40, 48))
        one_time = {one_time_id: raw["bob_one_time_private"]} if one_time_id else {}
        alice_public = keys.primitives.ed25519_public(raw["alice_device_seed"])
        bob = DeviceKeys(
            raw["bob_device_seed"],
            keys.primitives.ed25519_public(raw["bob_device_seed"]),
            next_id=9,
            signed=(PreKey(signed_id, raw["bob_signed_private"], 0),),
            kem=(PreKey(kem_id, raw["bob_kem_seed"], 0),),
            one_time=one_time,
        )
        message = data["messages"][0]
        opened = sessions.unwrap(
            None,
            bob,
            UserId(raw["bob_user"]),
            raw["bob_account_public"],
            UserId(raw["alice_user"]),
            raw["alice_account_public"],
            alice_public,
            bytes.fromhex(message["wrap"]),
            raw["ad"],
            0,
            bytes,
        )
        assert opened.plaintext.hex() == message["plaintext"]

    data = {key: value for key, value in vectors["envelope"].items() if isinstance(value, str)}
    raw = {key: bytes.fromhex(value) for key, value in data.items()}
    context = envelope.Context(
        ConversationId(raw["conv"]),
        UserId(raw["sender"]),
        DeviceId(raw["device"]),
        Cid(raw["cid"]),
        vectors["envelope"]["kind"],
    )
    assert envelope.open(raw["key"], raw["body"], context) == raw["plaintext"]

    signed, account = (bytes.fromhex(vectors["keys"][name]) for name in ("device_list", "account_public"))
    assert device_list.verify(signed, account, 1).entries[0].device.hex() == vectors["keys"]["device_id"]

    link = vectors["linking"]
    secret = LinkSecret(*(bytes.fromhex(link[name]) for name in ("device_key", "private", "echo")))
    seed = bytes.fromhex(link["account_seed"])
    assert linking.open(secret, bytes.fromhex(link["sealed"]), keys.account_key(seed).public).seed == seed
