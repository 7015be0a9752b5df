"""The safety number: Signal's, symmetric, and changed by any other key."""

from __future__ import annotations

from chappe.crypto import fingerprint
from chappe.ids import UserId

# libsignal, rust/protocol/src/fingerprint.rs, its test vector of version 1.
ALICE = (
    UserId(b"+14152222222"),
    bytes.fromhex("0506863bc66d02b40d27b8d49ca7c09e9239236f9d7d25d6fcca5ce13c7064d868"),
)
BOB = (
    UserId(b"+14153333333"),
    bytes.fromhex("05f781b6fb32fed9ba1cf2de978d4d5da28dc34046ae814402b5c0dbd96fda907b"),
)
NUMBER = "300354477692869396892869876765458257569162576843440918079131"


def test_both_sides_see_the_number_that_signal_would_show() -> None:
    assert fingerprint.safety_number(*ALICE, *BOB) == NUMBER
    assert fingerprint.safety_number(*BOB, *ALICE) == NUMBER


def test_another_key_or_another_person_changes_the_number() -> None:
    user, key = BOB
    swapped = key[:-1] + bytes([key[-1] ^ 1])
    assert fingerprint.safety_number(*ALICE, user, swapped) != NUMBER
    assert fingerprint.safety_number(*ALICE, UserId(b"+14153333334"), key) != NUMBER
