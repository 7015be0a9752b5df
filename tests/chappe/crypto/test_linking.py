"""Linking a device through a server that would rather link its own."""

from __future__ import annotations

import msgspec
import pytest
from nacl.bindings import crypto_box_seal

from chappe.crypto import keys, linking
from chappe.crypto.errors import BadLink
from chappe.crypto.linking import PREFIX
from chappe.ids import device_id

from .people import seeded
from .small_order import SMALL_X25519

RANDOM = seeded(5)
ACCOUNT = keys.new_account_key(RANDOM)
LAPTOP = keys.new_device(RANDOM, 0)
SECRET, TEXT = linking.new_code(LAPTOP.public, RANDOM)


def test_the_account_key_arrives() -> None:
    assert linking.open(SECRET, linking.seal(TEXT, ACCOUNT, RANDOM), ACCOUNT.public) == ACCOUNT


def test_a_code_is_one_line_to_copy_and_says_which_device_it_is_of() -> None:
    assert TEXT.isascii()
    assert not set(TEXT) & set(" \n\t'\"\\")
    for copied in (TEXT, f"  {TEXT}\n", TEXT.removeprefix(PREFIX)):
        assert linking.read_code(copied).device == device_id(LAPTOP.public)


@pytest.mark.parametrize(
    "text", ["", PREFIX, "hello", "ümlaut", TEXT[:-8], TEXT + "AAAA", TEXT.replace("=", "!")]
)
def test_what_is_no_code_is_refused(text: str) -> None:
    with pytest.raises(BadLink):
        linking.seal(text, ACCOUNT, RANDOM)


def test_a_mistyped_code_is_refused() -> None:
    for at in range(len(PREFIX), len(TEXT) - 4):
        typo = TEXT[:at] + ("A" if TEXT[at] != "A" else "B") + TEXT[at + 1 :]
        with pytest.raises(BadLink):
            linking.read_code(typo)


def test_every_byte_and_every_length_of_the_blob_counts() -> None:
    sealed = linking.seal(TEXT, ACCOUNT, RANDOM)
    for at in range(len(sealed)):
        for bad in (sealed[:at], sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]):
            with pytest.raises(BadLink):
                linking.open(SECRET, bad, ACCOUNT.public)


def test_a_blob_is_for_one_code_only() -> None:
    other_secret, other_text = linking.new_code(LAPTOP.public, RANDOM)
    with pytest.raises(BadLink):
        linking.open(SECRET, linking.seal(other_text, ACCOUNT, RANDOM), ACCOUNT.public)
    assert linking.open(other_secret, linking.seal(other_text, ACCOUNT, RANDOM), ACCOUNT.public) == ACCOUNT


def test_a_server_that_saw_the_ephemeral_key_cannot_hand_over_its_own_account() -> None:
    mallory = keys.new_account_key(RANDOM)
    ephemeral = linking.read_code(TEXT).ephemeral
    for echo, device in ((bytes(32), LAPTOP.public), (linking.read_code(TEXT).echo, bytes(32))):
        forged = crypto_box_seal(
            msgspec.msgpack.encode(("chappe link 1", echo, device, mallory.seed)), ephemeral
        )
        with pytest.raises(BadLink, match="another code"):
            linking.open(SECRET, forged, mallory.public)


def test_a_blob_is_a_sealed_box_of_libsodium() -> None:
    code = linking.read_code(TEXT)
    handover = msgspec.msgpack.encode(("chappe link 1", code.echo, code.device_key, ACCOUNT.seed))
    assert linking.open(SECRET, crypto_box_seal(handover, code.ephemeral), ACCOUNT.public) == ACCOUNT


def test_the_key_of_another_account_is_refused() -> None:
    mallory = keys.new_account_key(RANDOM)
    with pytest.raises(BadLink, match="another account"):
        linking.open(SECRET, linking.seal(TEXT, mallory, RANDOM), ACCOUNT.public)


@pytest.mark.parametrize("key", SMALL_X25519, ids=lambda key: key.hex()[:8])
def test_a_code_with_a_key_of_small_order_is_refused(key: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linking.primitives, "x25519_public", lambda private: key)
    _, text = linking.new_code(LAPTOP.public, RANDOM)
    monkeypatch.undo()
    with pytest.raises(BadLink, match="small order"):
        linking.seal(text, ACCOUNT, RANDOM)


def test_codes_and_secrets_do_not_show_themselves() -> None:
    assert [repr(SECRET), repr(linking.read_code(TEXT))] == ["<LinkSecret>", "<LinkCode>"]
