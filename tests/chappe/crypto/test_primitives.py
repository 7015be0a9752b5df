"""The library calls against the vectors of their RFCs, and what they must refuse."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from importlib.resources import files

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from chappe.crypto import primitives
from chappe.crypto.errors import BadKey, Tampered

from .people import seeded
from .small_order import SMALL_ED25519, SMALL_X25519

VECTORS = files("cryptography_vectors")

ORDER = 2**252 + 27742317777372353535851937790883648493


def records(path: str) -> Iterator[dict[str, str]]:
    """Read a file of `name = value` lines; a record begins with its count. Names come back in lower case."""
    found: dict[str, str] = {}
    with VECTORS.joinpath(path).open(encoding="ascii") as lines:
        for line in lines:
            name, is_field, value = line.partition("=")
            if is_field and not line.startswith("#"):
                if name.strip().lower() == "count" and found:
                    yield found
                    found = {}
                found[name.strip().lower()] = value.strip()
    yield found


def test_x25519_gives_what_rfc_7748_says() -> None:
    tried = 0
    for record in records("asymmetric/X25519/rfc7748.txt"):
        if "output_u" in record:
            scalar, u = bytes.fromhex(record["input_scalar"]), bytes.fromhex(record["input_u"])
            assert primitives.x25519(scalar, u).hex() == record["output_u"]
            tried += 1
    assert tried >= 2


def test_ed25519_signs_and_verifies_as_rfc_8032_says() -> None:
    with VECTORS.joinpath("asymmetric/Ed25519/sign.input").open(encoding="ascii") as lines:
        for line in lines:
            secret, public, message, signed = (bytes.fromhex(field) for field in line.split(":")[:4])
            seed, signature = secret[:32], signed[:64]
            assert primitives.ed25519_public(seed) == public
            assert primitives.sign(seed, message) == signature
            assert primitives.is_signed(public, message, signature)


def test_hkdf_derives_what_rfc_5869_says() -> None:
    tried = 0
    for record in records("KDF/rfc-5869-HKDF-SHA256.txt"):
        okm = primitives.hkdf(
            bytes.fromhex(record["ikm"]),
            salt=bytes.fromhex(record["salt"]),
            info=bytes.fromhex(record["info"]),
            length=int(record["l"]),
        )
        assert okm.hex() == record["okm"]
        tried += 1
    assert tried >= 2


def test_ml_kem_768_opens_the_known_answers() -> None:
    for record in itertools.islice(records("asymmetric/MLKEM/kat_MLKEM_768.rsp"), 25):
        seed = bytes.fromhex(record["d"] + record["z"])
        assert primitives.kem_public(seed).hex() == record["pk"]
        assert primitives.kem_decapsulate(seed, bytes.fromhex(record["ct"])).hex() == record["ss"]


def test_xchacha20_poly1305_seals_as_the_draft_says() -> None:
    # draft-irtf-cfrg-xchacha-03, appendix A.3.1
    key, nonce = bytes(range(0x80, 0xA0)), bytes(range(0x40, 0x58))
    ad = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    plaintext = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it."
    )
    sealed = primitives.seal(key, plaintext, ad, lambda _: nonce)
    assert sealed == nonce + bytes.fromhex(
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39"
        "ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
        "21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49"
    )
    assert primitives.unseal(key, sealed, ad) == plaintext


def hchacha20(key: bytes, nonce: bytes) -> bytes:
    """Derive a subkey, section 2.2 of the draft: the only part of XChaCha20 that RFC 8439 does not have."""
    state = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *struct.unpack("<12I", key + nonce)]

    def quarter(a: int, b: int, c: int, d: int) -> None:
        for x, y, z, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[x] = (state[x] + state[y]) & 0xFFFFFFFF
            mixed = state[z] ^ state[x]
            state[z] = (mixed << bits | mixed >> (32 - bits)) & 0xFFFFFFFF

    for _ in range(10):
        for column in range(4):
            quarter(column, column + 4, column + 8, column + 12)
        for column in range(4):
            quarter(column, (column + 1) % 4 + 4, (column + 2) % 4 + 8, (column + 3) % 4 + 12)
    return struct.pack("<8I", *state[:4], *state[12:])


def test_openssl_seals_as_rfc_8439_says() -> None:
    # The oracle of the next test, on the vector of appendix A.5.
    record = next(records("ciphers/ChaCha20Poly1305/openssl.txt"))
    names = ("key", "iv", "plaintext", "aad", "ciphertext", "tag")
    key, nonce, plaintext, ad, ciphertext, tag = (bytes.fromhex(record[name]) for name in names)
    assert ChaCha20Poly1305(key).encrypt(nonce, plaintext, ad) == ciphertext + tag


@settings(deadline=None)
@given(
    key=st.binary(min_size=32, max_size=32),
    nonce=st.binary(min_size=24, max_size=24),
    plaintext=st.binary(),
    ad=st.binary(),
)
def test_xchacha20_poly1305_agrees_with_openssl(
    key: bytes, nonce: bytes, plaintext: bytes, ad: bytes
) -> None:
    other = ChaCha20Poly1305(hchacha20(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], plaintext, ad)
    assert primitives.seal(key, plaintext, ad, lambda _: nonce) == nonce + other


@pytest.mark.parametrize("public", SMALL_X25519, ids=lambda key: key.hex()[:8])
def test_x25519_refuses_keys_of_small_order(public: bytes) -> None:
    with pytest.raises(BadKey):
        primitives.x25519(seeded(1)(32), public)


@pytest.mark.parametrize("public", SMALL_ED25519, ids=lambda key: key.hex()[:8] + key.hex()[-2:])
def test_ed25519_keys_of_small_order_are_refused(public: bytes) -> None:
    with pytest.raises(BadKey):
        primitives.ed25519_public_to_x25519(public)
    identity = (1).to_bytes(32, "little")
    assert not any(primitives.is_signed(public, bytes([n]), identity + bytes(32)) for n in range(64))


def test_a_forgery_that_another_verifier_accepts_is_refused() -> None:
    """The identity as key and as R, with S = 0, satisfies the equation for every message."""
    key, forged = SMALL_ED25519[0], SMALL_ED25519[0] + bytes(32)
    Ed25519PublicKey.from_public_bytes(key).verify(forged, b"I owe you everything.")
    assert not primitives.is_signed(key, b"I owe you everything.", forged)


def test_a_signature_has_one_form() -> None:
    seed = seeded(1)(32)
    signature = primitives.sign(seed, b"once")
    larger = (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")
    assert not primitives.is_signed(primitives.ed25519_public(seed), b"once", signature[:32] + larger)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_keys_of_another_length_never_reach_the_library(length: int) -> None:
    key, good = bytes(length), seeded(1)(32)
    for call in (
        lambda: primitives.x25519(key, good),
        lambda: primitives.x25519(good, key),
        lambda: primitives.x25519_public(key),
        lambda: primitives.ed25519_public(key),
        lambda: primitives.ed25519_public_to_x25519(key),
        lambda: primitives.ed25519_seed_to_x25519(key),
        lambda: primitives.sign(key, b""),
    ):
        with pytest.raises(BadKey):
            call()
    assert not primitives.is_signed(key, b"", bytes(64))
    assert not primitives.is_signed(
        primitives.ed25519_public(good), b"", bytes(length if length != 64 else 65)
    )


def test_a_malformed_kem_key_is_refused() -> None:
    for key in (b"", bytes(1183), b"\xff" * 1184):
        with pytest.raises(BadKey):
            primitives.kem_encapsulate(key)


def test_encapsulation_and_decapsulation_agree() -> None:
    seed = seeded(1)(64)
    secret, ciphertext = primitives.kem_encapsulate(primitives.kem_public(seed))
    assert primitives.kem_decapsulate(seed, ciphertext) == secret


def test_a_flipped_or_cut_ciphertext_is_refused() -> None:
    key = seeded(1)(32)
    sealed = primitives.seal(key, b"plain", b"ad", seeded(2))
    for at in range(len(sealed)):
        flipped = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        for bad in (flipped, sealed[:at]):
            with pytest.raises(Tampered):
                primitives.unseal(key, bad, b"ad")
    with pytest.raises(Tampered):
        primitives.unseal(key, sealed, b"another")
